//! What others can do to the packet filter's tables: list them, delete one, flush them all.

use std::error::Error;
use std::os::fd::OwnedFd;

use magpie_testnet::Node;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::common::Outcome;

/// The names of the tables in a node.
pub(crate) fn tables(node: &Node) -> Result<Vec<String>, Box<dyn Error>> {
    let socket = open(node)?;
    send(&socket, &message(SUBSYSTEM | GET_TABLE, REQUEST | DUMP, 0, &[]))?;
    let mut names = Vec::new();
    loop {
        let answer = receive(&socket)?;
        let mut rest = answer.as_slice();
        while let Some((header, _)) = rest.split_first_chunk::<16>() {
            let [a, b, c, d, kind_low, kind_high, ..] = *header;
            let length = usize::try_from(u32::from_ne_bytes([a, b, c, d]))?;
            let kind = u16::from_ne_bytes([kind_low, kind_high]);
            if kind == DONE {
                return Ok(names);
            }
            // Behind both headers comes the name, as the first attribute.
            let attribute = rest.get(20..length).ok_or("a short message")?;
            let (header, name) = attribute.split_first_chunk::<4>().ok_or("no attribute")?;
            let [low, high, ..] = *header;
            let name = name.get(..usize::from(u16::from_ne_bytes([low, high])) - 5);
            names.push(String::from_utf8_lossy(name.ok_or("a short name")?).into_owned());
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// Asks for all tables to be deleted, as `nft flush ruleset` does.
pub(crate) fn flush(node: &Node) -> Outcome {
    match delete_tables(node, 0, &[])? {
        0 => Ok(()),
        errno => Err(format!("the ruleset cannot be flushed: errno {errno}").into()),
    }
}

/// Asks for one table to be deleted; tells whether it was.
pub(crate) fn delete(node: &Node, table: &str) -> Result<bool, Box<dyn Error>> {
    let mut attribute = u16::try_from(table.len() + 5)?.to_ne_bytes().to_vec();
    attribute.extend_from_slice(&TABLE_NAME.to_ne_bytes());
    attribute.extend_from_slice(table.as_bytes());
    attribute.push(0);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    match delete_tables(node, NETDEV, &attribute)? {
        0 => Ok(true),
        NOT_PERMITTED => Ok(false),
        errno => Err(format!("asking to delete {table} was answered with errno {errno}").into()),
    }
}

/// The `errno` value with which the kernel answers.
fn delete_tables(node: &Node, family: u8, attributes: &[u8]) -> Result<i32, Box<dyn Error>> {
    let socket = open(node)?;
    let mut batch = message(BATCH_BEGIN, REQUEST, 0, &[]);
    batch.extend(message(SUBSYSTEM | DELETE_TABLE, REQUEST | ACK, family, attributes));
    batch.extend(message(BATCH_END, REQUEST, 0, &[]));
    send(&socket, &batch)?;
    let answer = receive(&socket)?;
    let errno = answer.get(16..20).ok_or("a short answer")?;
    Ok(-i32::from_ne_bytes(errno.try_into()?))
}

fn open(node: &Node) -> Result<OwnedFd, Box<dyn Error>> {
    let _inside = node.enter()?;
    let family = AddressFamily::NETLINK;
    let netfilter = Some(rustix::net::netlink::NETFILTER);
    Ok(rustix::net::socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, netfilter)?)
}

fn send(socket: &OwnedFd, bytes: &[u8]) -> Outcome {
    rustix::net::send(socket, bytes, SendFlags::empty())?;
    Ok(())
}

fn receive(socket: &OwnedFd) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut buffer = vec![0; 65_536];
    let (length, _) = rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty())?;
    buffer.truncate(length);
    Ok(buffer)
}

/// A message with the headers of netlink and of its part for packet filters.
fn message(kind: u16, flags: u16, family: u8, attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(20 + attributes.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    // Where a batch begins and ends, the last field tells whose it is.
    let [high, low] = match kind {
        BATCH_BEGIN | BATCH_END => (SUBSYSTEM >> 8).to_be_bytes(),
        _ => [0, 0],
    };
    bytes.extend_from_slice(&[family, 0, high, low]);
    bytes.extend_from_slice(attributes);
    bytes
}

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;
const TABLE_NAME: u16 = 1;
/// `NFPROTO_NETDEV`.
const NETDEV: u8 = 5;
const DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
/// `EPERM`.
const NOT_PERMITTED: i32 = 1;
