//! Checks against the real kernel that the guard stays where it was put.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use libtest_mimic::Arguments;
use magpie_sys::guard::{Guard, GuardedLink};
use magpie_testnet::{Node, connect};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::common::{Outcome, chain, trial};

fn main() -> ExitCode {
    if let Err(error) = magpie_testnet::enter() {
        eprintln!("cannot run these tests: {}", chain(&error));
        return ExitCode::FAILURE;
    }
    let tests = vec![
        trial("nobody_else_can_remove_the_guard", nobody_else_can_remove_the_guard),
        trial("the_guard_survives_its_links", the_guard_survives_its_links),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn nobody_else_can_remove_the_guard() -> Outcome {
    let (node, _peer) = cabled()?;
    let _inside = node.enter()?;
    let mut guard = Guard::install(&[])?;
    assert!(guard.is_in_place()?);
    // What is flushed is what nobody owns.
    let others = Tables::open()?;
    for links in [&[link(&node)?][..], &[]] {
        guard.update(links)?;
        assert_eq!(others.change(NEW_TABLE, REQUEST | ACK | CREATE, Some("others"))?, 0);
        assert_eq!(others.find("others")?, 0);
        assert_eq!(others.change(DELETE_TABLE, REQUEST | ACK, None)?, 0);
        assert_eq!(others.find("others")?, -Errno::NOENT.raw_os_error());
        assert!(guard.is_in_place()?);
    }
    Ok(())
}

fn the_guard_survives_its_links() -> Outcome {
    let (node, _peer) = cabled()?;
    let _inside = node.enter()?;
    let mut guard = Guard::install(&[link(&node)?])?;
    node.delete_link(LINK)?;
    // Kernels differ in whether a chain outlives the last device that it was for.
    guard.is_in_place()?;
    let peer = Node::switch("another")?;
    connect(&node.plug(LINK), &peer.plug(LINK))?;
    guard.update(&[link(&node)?])?;
    assert!(guard.is_in_place()?);
    Ok(())
}

/// A node with a link that has a peer.
fn cabled() -> Result<(Node, Node), Box<dyn Error>> {
    let (node, peer) = (Node::switch("node")?, Node::switch("peer")?);
    connect(&node.plug(LINK), &peer.plug(LINK))?;
    Ok((node, peer))
}

fn link(node: &Node) -> Result<GuardedLink, Box<dyn Error>> {
    let lladdr = Some(node.lladdr(LINK)?);
    Ok(GuardedLink { ifindex: node.ifindex(LINK)?, name: LINK.to_owned(), lladdr })
}

/// Somebody else who changes packet filters, as nft(8) does.
struct Tables {
    socket: OwnedFd,
}

impl Tables {
    fn open() -> Result<Self, Box<dyn Error>> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::NETFILTER),
        )?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { socket })
    }

    /// Makes or deletes a table; without a name, all tables, which is to flush the ruleset. Returns
    /// the kernel's verdict.
    fn change(&self, kind: u16, flags: u16, name: Option<&str>) -> Result<i32, Box<dyn Error>> {
        self.ask(
            &[
                message(BATCH_BEGIN, REQUEST, NFTABLES, None),
                message(NFTABLES << 8 | kind, flags, 0, name),
                message(BATCH_END, REQUEST, NFTABLES, None),
            ]
            .concat(),
        )
    }

    /// Looks for a table; returns the kernel's verdict.
    fn find(&self, name: &str) -> Result<i32, Box<dyn Error>> {
        self.ask(&message(NFTABLES << 8 | GET_TABLE, REQUEST | ACK, 0, Some(name)))
    }

    fn ask(&self, request: &[u8]) -> Result<i32, Box<dyn Error>> {
        rustix::net::send(&self.socket, request, SendFlags::empty())?;
        loop {
            let mut answer = [0; 4096];
            rustix::net::recv(&self.socket, &mut answer[..], RecvFlags::empty())?;
            let (kind, verdict) = (answer.get(4..6), answer.get(16..20));
            let (kind, verdict) = kind.zip(verdict).ok_or("no answer")?;
            if kind == ERROR.to_ne_bytes() {
                return Ok(i32::from_ne_bytes(verdict.try_into()?));
            }
        }
    }
}

/// A message about all of `nf_tables`, or about a table for devices.
fn message(kind: u16, flags: u16, resource: u16, table: Option<&str>) -> Vec<u8> {
    let mut body = vec![if table.is_some() { NETDEV } else { 0 }, 0];
    body.extend(resource.to_be_bytes());
    if let Some(name) = table {
        let octets = [name.as_bytes(), &[0]].concat();
        body.extend(u16::try_from(4 + octets.len()).unwrap_or_default().to_ne_bytes());
        body.extend(TABLE_NAME.to_ne_bytes());
        body.extend(octets);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut message = u32::try_from(16 + body.len()).unwrap_or_default().to_ne_bytes().to_vec();
    message.extend([kind, flags].map(u16::to_ne_bytes).as_flattened());
    message.extend([0; 8]);
    message.extend(body);
    message
}

const LINK: &str = "eth0";
/// `NFNL_SUBSYS_NFTABLES`.
const NFTABLES: u16 = 10;
/// `NFNL_MSG_BATCH_BEGIN`.
const BATCH_BEGIN: u16 = 16;
/// `NFNL_MSG_BATCH_END`.
const BATCH_END: u16 = 17;
/// `NFT_MSG_NEWTABLE`.
const NEW_TABLE: u16 = 0;
/// `NFT_MSG_GETTABLE`.
const GET_TABLE: u16 = 1;
/// `NFT_MSG_DELTABLE`.
const DELETE_TABLE: u16 = 2;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`.
const ACK: u16 = 0x4;
/// `NLM_F_CREATE`.
const CREATE: u16 = 0x400;
/// `NLMSG_ERROR`, which acknowledgements are, too.
const ERROR: u16 = 2;
/// `NFTA_TABLE_NAME`.
const TABLE_NAME: u16 = 1;
/// `NFPROTO_NETDEV`.
const NETDEV: u8 = 5;
