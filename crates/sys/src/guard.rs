//! Keeps the kernel's hands off Neighbor Discovery that is not for this host.
//!
//! A router that proxies receives Neighbor Solicitations by unicast for addresses of other hosts:
//! they confirm that a neighbor is still reachable (RFC 4861 section 7.3). The kernel would forward
//! them with a decremented hop limit, redirect their sender, or answer that the target is beyond
//! the scope of the source. The guard is a packet filter that drops them before that. Packet
//! sockets for all protocols still see them; messages to groups and to this host's own addresses
//! pass, and so does everything that is not addressed to the link's own link-layer address.
//!
//! The filter looks at what a link hands to the kernel's protocols. What a bridge only passes on
//! from port to port is not among that, even if `br_netfilter` shows it to the filters of IPv6.
//! Kernels that cannot look up routes there get the filter among those of IPv6 instead, which does
//! the same, except on a bridge with `br_netfilter`: the probes that it drops do not reach the
//! bridge's packet sockets, so that whoever asks has to ask a group before it is answered, and
//! probes for a macvlan on top of the bridge are not dropped.
//!
//! The filter belongs to a netlink socket: it is gone when the process is, however it ends.

use std::ffi::CStr;
use std::io;
use std::time::{Duration, Instant};

use magpie_wire::LinkAddr;
use netlink_bindings::nftables::{
    CmpOps, FibFlags, MetaKeys, Nfgenmsg, OpBatchBeginDo, OpBatchEndDo, OpDeltableDo, OpGetchainDo,
    OpGettableDo, OpNewchainDo, OpNewruleDo, OpNewsetDo, OpNewsetelemDo, OpNewtableDo, PayloadBase,
    TableFlags, VerdictCode,
};

use crate::clock::boottime_ns;
use crate::netlink::attribute::{push_nested, push_octets, push_text, push_word};
use crate::netlink::batch::{ACK, CREATE, EXCLUSIVE};
use crate::netlink::{Batch, Errno, Family, KernelError, NetlinkError, NetlinkSocket};

/// A filter that drops Neighbor Discovery which other hosts should answer, on some links.
///
/// Dropping the value removes the filter.
#[derive(Debug)]
pub struct Guard {
    socket: NetlinkSocket,
    batch: Batch,
    table: String,
    hook: Hook,
    /// There were links, and so there is a chain with rules.
    has_chain: bool,
}

/// A link to be guarded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GuardedLink {
    /// Its index.
    pub ifindex: u32,
    /// Its present name.
    pub name: String,
    /// Its own link-layer address, if it has one: only what is sent to it is filtered.
    pub lladdr: Option<LinkAddr>,
}

impl Guard {
    /// Installs the filter in the calling thread's network namespace for messages that arrive on
    /// `links`.
    ///
    /// # Errors
    ///
    /// [`GuardError::Unavailable`] if this kernel cannot do it, [`GuardError::Refused`] if it does
    /// not want to, because a link is not there for example, or [`GuardError::Netlink`].
    pub fn install(links: &[GuardedLink]) -> Result<Self, GuardError> {
        let socket =
            NetlinkSocket::open(Family::Netfilter).map_err(|error| match error.errno() {
                Some(Errno::PROTONOSUPPORT) => {
                    GuardError::Unavailable { source: io::Error::from(Errno::PROTONOSUPPORT) }
                }
                _ => GuardError::Netlink { source: error },
            })?;
        // Processes that share a network namespace need not share a namespace of process numbers.
        let table = format!("magpie-{}-{:08x}", std::process::id(), boottime_ns() & 0xffff_ffff);
        let batch = Batch::new();
        let mut guard = Self { socket, batch, table, hook: Hook::Ingress, has_chain: false };
        let action = "install the guard against forwarded Neighbor Discovery";
        match guard.transact(action, |draft| draft.push_all(links)) {
            Err(GuardError::Unavailable { .. }) => {
                guard.hook = Hook::Prerouting;
                guard.transact(action, |draft| draft.push_all(links))?;
            }
            result => result?,
        }
        guard.has_chain = !links.is_empty();
        Ok(guard)
    }

    /// Puts `links` in the place of the links that are guarded, in one step.
    ///
    /// # Errors
    ///
    /// [`GuardError`]; the links are then the ones from before.
    pub fn update(&mut self, links: &[GuardedLink]) -> Result<(), GuardError> {
        self.transact("change the links of the guard", |draft| {
            draft.push_removal();
            draft.push_all(links);
        })?;
        self.has_chain = !links.is_empty();
        Ok(())
    }

    /// Asks the kernel whether the filter is there.
    ///
    /// Nobody else can change or remove it, not even with all other filters, but some kernels remove
    /// it themselves when the last of its links goes.
    ///
    /// # Errors
    ///
    /// [`GuardError`].
    pub fn is_in_place(&mut self) -> Result<bool, GuardError> {
        let mut header = Nfgenmsg::new();
        header.nfgen_family = self.hook.family();
        self.batch.clear();
        let (table, batch) = (self.table.as_bytes(), &mut self.batch);
        if self.has_chain {
            batch.push(message(GET_CHAIN), ACK, |buffer| {
                OpGetchainDo::encode_request(buffer, &header)
                    .push_table_bytes(table)
                    .push_name(CHAIN);
            });
        } else {
            batch.push(message(GET_TABLE), ACK, |buffer| {
                OpGettableDo::encode_request(buffer, &header).push_name_bytes(table);
            });
        }
        let action = "look for the guard";
        match self.exchange(action, 1)? {
            None => Ok(true),
            Some((_, KernelError { errno: Errno::NOENT, .. })) => Ok(false),
            Some((_, source)) => Err(GuardError::Refused { action, source }),
        }
    }

    /// Carries out requests together or not at all.
    fn transact(
        &mut self,
        action: &'static str,
        fill: impl FnOnce(&mut Draft<'_>),
    ) -> Result<(), GuardError> {
        let mut header = Nfgenmsg::new();
        header.set_res_id(SUBSYSTEM);
        self.batch.clear();
        self.batch.push(BATCH_BEGIN, 0, |buffer| {
            OpBatchBeginDo::encode_request(buffer, &header);
        });
        let mut draft = Draft {
            batch: &mut self.batch,
            table: self.table.as_bytes(),
            hook: self.hook,
            chain_seq: None,
        };
        fill(&mut draft);
        let chain_seq = draft.chain_seq;
        self.batch.push(BATCH_END, 0, |buffer| {
            OpBatchEndDo::encode_request(buffer, &header);
        });
        // The first and the last message are answered only if they fail.
        let answers = self.batch.len().saturating_sub(2);
        match self.exchange(action, answers)? {
            None => Ok(()),
            // A device is not there any more.
            Some((seq, source @ KernelError { errno: Errno::NOENT, .. }))
                if chain_seq == Some(seq) =>
            {
                Err(GuardError::Refused { action, source })
            }
            // No nf_tables; no `fib` expression; no tables that vanish with their owner.
            Some((_, KernelError { errno: errno @ (Errno::OPNOTSUPP | Errno::NOENT), .. })) => {
                Err(GuardError::Unavailable { source: errno.into() })
            }
            Some((_, source)) => Err(GuardError::Refused { action, source }),
        }
    }

    /// Sends the batch and waits for that many answers, or for the first refusal, which it returns.
    fn exchange(
        &mut self,
        action: &'static str,
        answers: usize,
    ) -> Result<Option<(u32, KernelError)>, NetlinkError> {
        let (count, last_seq) = (self.batch.len(), self.batch.last_seq());
        let mut left = answers;
        let mut refusal = None;
        let deadline = Instant::now() + LIMIT;
        self.socket.send(&self.batch)?;
        while left > 0 && refusal.is_none() {
            if !self.socket.wait_readable(deadline)? {
                return Err(NetlinkError::Timeout { action: action.to_owned(), limit: LIMIT });
            }
            self.socket.read_acks(|seq, verdict| {
                // Answers to an earlier transaction that was given up may still come.
                let age = usize::try_from(last_seq.wrapping_sub(seq)).unwrap_or(usize::MAX);
                if age < count {
                    left = left.saturating_sub(1);
                    refusal = refusal.take().or(verdict.err().map(|source| (seq, source)));
                }
            })?;
        }
        Ok(refusal)
    }
}

/// The guard could not be installed or changed.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The kernel lacks what it takes.
    #[error(
        "this kernel cannot guard Neighbor Discovery: it takes Linux 5.12 with nf_tables and its \
         fib expression (modules nf_tables, nft_fib_ipv6 and preferably nft_fib_netdev)"
    )]
    Unavailable {
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused the filter.
    #[error("cannot {action}")]
    Refused {
        /// What was attempted.
        action: &'static str,
        /// What the kernel said.
        source: KernelError,
    },
    /// The kernel could not be talked to.
    #[error("cannot talk to the kernel about the guard")]
    Netlink {
        /// Why.
        #[from]
        source: NetlinkError,
    },
}

/// Where in a packet's way through the kernel the filter is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hook {
    /// Where the link hands it to the kernel's protocols.
    Ingress,
    /// Before the kernel's IPv6 decides where it goes.
    Prerouting,
}

impl Hook {
    /// The family of the tables that can be used there: `NFPROTO_NETDEV`, `NFPROTO_IPV6`.
    fn family(self) -> u8 {
        match self {
            Self::Ingress => 5,
            Self::Prerouting => 10,
        }
    }
}

/// Whether frames on a link name their destination.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Addressing {
    Ethernet,
    Bare,
}

/// A transaction in the making.
struct Draft<'a> {
    batch: &'a mut Batch,
    table: &'a [u8],
    hook: Hook,
    /// The request that names devices.
    chain_seq: Option<u32>,
}

impl Draft<'_> {
    /// Everything that the guard consists of.
    fn push_all(&mut self, links: &[GuardedLink]) {
        self.push_table();
        // A chain at the ingress of no device is refused.
        if links.is_empty() {
            return;
        }
        self.push_set(LINKS, TYPE_LINK_AND_LLADDR, LINK_KEY_LEN);
        self.push_elements(LINKS, links.iter().filter_map(link_key));
        let bare = || links.iter().filter(|link| link.lladdr.is_none());
        self.push_set(BARE_LINKS, TYPE_LINK, 4);
        self.push_elements(BARE_LINKS, bare().map(|link| link.ifindex.to_ne_bytes()));
        self.push_set(ELSEWHERE, TYPE_FIB_ADDRESS, 4);
        self.push_elements(ELSEWHERE, ELSEWHERE_TYPES.map(u32::to_ne_bytes));
        self.push_chain(links);
        if bare().count() < links.len() {
            self.push_rule(Addressing::Ethernet);
        }
        if bare().next().is_some() {
            self.push_rule(Addressing::Bare);
        }
    }

    fn push_table(&mut self) {
        let header = self.header();
        self.batch.push(message(NEW_TABLE), ACK | CREATE | EXCLUSIVE, |buffer| {
            OpNewtableDo::encode_request(buffer, &header)
                .push_name_bytes(self.table)
                .push_flags(TableFlags::Owner as u32);
        });
    }

    /// The table with all that is in it.
    fn push_removal(&mut self) {
        let header = self.header();
        self.batch.push(message(DELETE_TABLE), ACK, |buffer| {
            OpDeltableDo::encode_request(buffer, &header).push_name_bytes(self.table);
        });
    }

    fn push_set(&mut self, set: &str, key_type: u32, key_len: u32) {
        let header = self.header();
        self.batch.push(message(NEW_SET), ACK | CREATE | EXCLUSIVE, |buffer| {
            OpNewsetDo::encode_request(buffer, &header)
                .push_table_bytes(self.table)
                .push_name_bytes(set.as_bytes())
                .push_key_type(key_type)
                .push_key_len(key_len)
                // Tells sets apart within one transaction; the key types do as well.
                .push_id(key_type);
        });
    }

    fn push_elements<Key: AsRef<[u8]>>(&mut self, set: &str, keys: impl IntoIterator<Item = Key>) {
        let mut keys = keys.into_iter().peekable();
        // No elements at all are refused.
        if keys.peek().is_none() {
            return;
        }
        let header = self.header();
        self.batch.push(message(NEW_ELEMENTS), ACK | CREATE, |buffer| {
            let mut list = OpNewsetelemDo::encode_request(buffer, &header)
                .push_table_bytes(self.table)
                .push_set_bytes(set.as_bytes())
                .nested_elements();
            for key in keys {
                list = list
                    .nested_elem()
                    .nested_key()
                    .push_value(key.as_ref())
                    .end_nested()
                    .end_nested();
            }
            list.end_nested();
        });
    }

    fn push_chain(&mut self, links: &[GuardedLink]) {
        let header = self.header();
        let seq = self.batch.push(message(NEW_CHAIN), ACK | CREATE | EXCLUSIVE, |buffer| {
            let hook = OpNewchainDo::encode_request(buffer, &header)
                .push_table_bytes(self.table)
                .push_name(CHAIN)
                .push_type(c"filter")
                .push_policy(VerdictCode::Accept as u32)
                .nested_hook()
                .push_num(HOOK_NUMBER)
                .push_priority(PRIORITY_RAW);
            if self.hook == Hook::Ingress {
                let mut devices = hook.nested_devs();
                for link in links {
                    devices = devices.push_name_bytes(link.name.as_bytes());
                }
                devices.end_nested().end_nested();
            } else {
                hook.end_nested();
            }
        });
        self.chain_seq = Some(seq);
    }

    /// A rule: ICMPv6 of type 133 to 137 whose destination is elsewhere, sent to the link-layer
    /// address of the guarded link that it arrived on, or arrived on one that has none. The
    /// cheapest conditions come first, as every packet passes here.
    fn push_rule(&mut self, addressing: Addressing) {
        let header = self.header();
        self.batch.push(message(NEW_RULE), ACK | CREATE | APPEND, |buffer| {
            OpNewruleDo::encode_request(buffer, &header)
                .push_table_bytes(self.table)
                .push_chain(CHAIN);
            push_nested(buffer, RULE_EXPRESSIONS, |buffer| {
                push_load_meta(buffer, MetaKeys::Protocol);
                push_compare(buffer, CmpOps::Eq, &ETHERTYPE_IPV6.to_be_bytes());
                push_load_meta(buffer, MetaKeys::L4Proto);
                push_compare(buffer, CmpOps::Eq, &[ICMPV6]);
                push_load_payload(buffer, PayloadBase::TransportHeader, 1, REGISTER);
                push_compare(buffer, CmpOps::Gte, &[ROUTER_SOLICITATION]);
                push_compare(buffer, CmpOps::Lte, &[REDIRECT]);
                match addressing {
                    Addressing::Ethernet => {
                        // Most solicitations go to groups, and loading the destination is what
                        // takes longest.
                        push_load_meta(buffer, MetaKeys::Pkttype);
                        push_compare(buffer, CmpOps::Eq, &[PACKET_HOST]);
                        push_load_meta(buffer, MetaKeys::Iif);
                        // The destination is what a frame begins with.
                        push_load_payload(buffer, PayloadBase::LinkLayerHeader, 6, NEXT_REGISTER);
                        push_lookup(buffer, LINKS);
                    }
                    Addressing::Bare => {
                        push_load_meta(buffer, MetaKeys::Iif);
                        push_lookup(buffer, BARE_LINKS);
                    }
                }
                push_expression(buffer, "fib", |data| {
                    push_number(data, FIB_DREG, REGISTER);
                    push_number(data, FIB_RESULT, FIB_RESULT_ADDRESS_TYPE);
                    push_number(data, FIB_FLAGS, FibFlags::Daddr as u32);
                });
                push_lookup(buffer, ELSEWHERE);
                push_expression(buffer, "immediate", |data| {
                    push_number(data, IMMEDIATE_DREG, VERDICT_REGISTER);
                    push_nested(data, IMMEDIATE_DATA, |data| {
                        push_nested(data, DATA_VERDICT, |data| {
                            push_number(data, VERDICT_CODE, VerdictCode::Drop as u32);
                        });
                    });
                });
            });
        });
    }

    fn header(&self) -> Nfgenmsg {
        let mut header = Nfgenmsg::new();
        header.nfgen_family = self.hook.family();
        header
    }
}

/// What two adjacent registers hold of a frame that is for this link; none if frames there name no
/// destination.
fn link_key(link: &GuardedLink) -> Option<[u8; LINK_KEY_LEN as usize]> {
    let octets = link.ifindex.to_ne_bytes().into_iter().chain(link.lladdr?.0);
    let mut key = [0; LINK_KEY_LEN as usize];
    for (place, octet) in key.iter_mut().zip(octets) {
        *place = octet;
    }
    Some(key)
}

fn push_load_meta(buffer: &mut Vec<u8>, key: MetaKeys) {
    push_expression(buffer, "meta", |data| {
        push_number(data, META_DREG, REGISTER);
        push_number(data, META_KEY, key as u32);
    });
}

/// The octets at the beginning of a header.
fn push_load_payload(buffer: &mut Vec<u8>, base: PayloadBase, len: u32, register: u32) {
    push_expression(buffer, "payload", |data| {
        push_number(data, PAYLOAD_DREG, register);
        push_number(data, PAYLOAD_BASE, base as u32);
        push_number(data, PAYLOAD_OFFSET, 0);
        push_number(data, PAYLOAD_LEN, len);
    });
}

fn push_compare(buffer: &mut Vec<u8>, operation: CmpOps, value: &[u8]) {
    push_expression(buffer, "cmp", |data| {
        push_number(data, CMP_SREG, REGISTER);
        push_number(data, CMP_OP, operation as u32);
        push_nested(data, CMP_DATA, |data| push_octets(data, DATA_VALUE, value));
    });
}

fn push_lookup(buffer: &mut Vec<u8>, set: &str) {
    push_expression(buffer, "lookup", |data| {
        push_text(data, LOOKUP_SET, set);
        push_number(data, LOOKUP_SREG, REGISTER);
    });
}

fn push_expression(buffer: &mut Vec<u8>, name: &str, fill: impl FnOnce(&mut Vec<u8>)) {
    push_nested(buffer, LIST_ELEMENT, |buffer| {
        push_text(buffer, EXPRESSION_NAME, name);
        push_nested(buffer, EXPRESSION_DATA, fill);
    });
}

/// Unlike rtnetlink, `nf_tables` counts in network byte order.
fn push_number(buffer: &mut Vec<u8>, kind: u16, number: u32) {
    push_word(buffer, kind, number.to_be_bytes());
}

const fn message(kind: u16) -> u16 {
    SUBSYSTEM << 8 | kind
}

/// The set of guarded links and their link-layer addresses.
const LINKS: &str = "links";
/// The set of guarded links that have no link-layer address.
const BARE_LINKS: &str = "bare";
/// The set of kinds of routes that lead away from this host.
const ELSEWHERE: &str = "elsewhere";
/// `RTN_UNICAST`, `RTN_BLACKHOLE`, `RTN_UNREACHABLE`, `RTN_PROHIBIT`.
const ELSEWHERE_TYPES: [u32; 4] = [1, 6, 7, 8];
const CHAIN: &CStr = c"guard";
/// More than the kernel ever needs: it answers before the system call that asks returns.
const LIMIT: Duration = Duration::from_secs(5);
/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
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
/// `NFT_MSG_NEWCHAIN`.
const NEW_CHAIN: u16 = 3;
/// `NFT_MSG_GETCHAIN`.
const GET_CHAIN: u16 = 4;
/// `NFT_MSG_NEWRULE`.
const NEW_RULE: u16 = 6;
/// `NFT_MSG_NEWSET`.
const NEW_SET: u16 = 9;
/// `NFT_MSG_NEWSETELEM`.
const NEW_ELEMENTS: u16 = 12;
/// `NF_NETDEV_INGRESS` as well as `NF_INET_PRE_ROUTING`.
const HOOK_NUMBER: u32 = 0;
/// `NF_IP6_PRI_RAW`: before connection tracking.
const PRIORITY_RAW: i32 = -300;
/// How nft(8) shows the elements of a set: as links with link-layer addresses.
const TYPE_LINK_AND_LLADDR: u32 = 20 << 6 | 9;
/// How nft(8) shows the elements of a set: as links.
const TYPE_LINK: u32 = 20;
/// Registers are words: an index, and an address in two.
const LINK_KEY_LEN: u32 = 12;
/// How nft(8) shows the elements of a set: as kinds of addresses.
const TYPE_FIB_ADDRESS: u32 = 38;
// Of the attributes of expressions the codec has some wrong; these are the kernel's.
const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const META_DREG: u16 = 1;
const META_KEY: u16 = 2;
const CMP_SREG: u16 = 1;
const CMP_OP: u16 = 2;
const CMP_DATA: u16 = 3;
const PAYLOAD_DREG: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LEN: u16 = 4;
const LOOKUP_SET: u16 = 1;
const LOOKUP_SREG: u16 = 2;
const FIB_DREG: u16 = 1;
const FIB_RESULT: u16 = 2;
const FIB_FLAGS: u16 = 3;
const IMMEDIATE_DREG: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
/// `NFT_REG_VERDICT`.
const VERDICT_REGISTER: u32 = 0;
/// `NFT_REG_1`.
const REGISTER: u32 = 1;
/// `NFT_REG32_01`, the second word of that.
const NEXT_REGISTER: u32 = 9;
/// `NFT_FIB_RESULT_ADDRTYPE`, which the codec's `FibResult` numbers one too low.
const FIB_RESULT_ADDRESS_TYPE: u32 = 3;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ICMPV6: u8 = 58;
const ROUTER_SOLICITATION: u8 = 133;
const REDIRECT: u8 = 137;
/// Kind of a frame that was sent to the link-layer address of the device (packet(7)).
const PACKET_HOST: u8 = 0;
/// `NLM_F_APPEND`.
const APPEND: u16 = 0x800;
