//! Keeps the kernel's hands off Neighbor Discovery that is not for this host.
//!
//! A router that proxies receives Neighbor Solicitations by unicast for addresses of other hosts:
//! they confirm that a neighbor is still reachable (RFC 4861 section 7.3). The kernel would forward
//! them with a decremented hop limit, redirect their sender, or answer that the target is beyond
//! the scope of the source. The guard is a packet filter that drops them before that. Packet
//! sockets still see them; messages to groups and to this host's own addresses pass.
//!
//! The filter belongs to a netlink socket: it is gone when the process is, however it ends.

use std::ffi::CStr;
use std::io;
use std::time::{Duration, Instant};

use netlink_bindings::nftables::{
    CmpOps, FibFlags, MetaKeys, Nfgenmsg, OpBatchBeginDo, OpBatchEndDo, OpDelsetelemDo,
    OpNewchainDo, OpNewruleDo, OpNewsetDo, OpNewsetelemDo, OpNewtableDo, PayloadBase, TableFlags,
    VerdictCode,
};

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
}

impl Guard {
    /// Installs the filter in the calling thread's network namespace for messages that arrive on
    /// `links`.
    ///
    /// # Errors
    ///
    /// [`GuardError::Unavailable`] if this kernel cannot do it, [`GuardError::Refused`] or
    /// [`GuardError::Netlink`] otherwise.
    pub fn install(links: &[u32]) -> Result<Self, GuardError> {
        let socket =
            NetlinkSocket::open(Family::Netfilter).map_err(|error| match error.errno() {
                Some(Errno::PROTONOSUPPORT) => {
                    GuardError::Unavailable { source: io::Error::from(Errno::PROTONOSUPPORT) }
                }
                _ => GuardError::Netlink { source: error },
            })?;
        let table = format!("magpie-{}", std::process::id());
        let mut guard = Self { socket, batch: Batch::new(), table };
        guard.transact(
            "install the guard against forwarded Neighbor Discovery",
            |batch, table| {
                push_table(batch, table);
                push_set(batch, table, LINKS, TYPE_LINK);
                push_elements(batch, table, LINKS, links);
                push_set(batch, table, ELSEWHERE, TYPE_FIB_ADDRESS);
                push_elements(batch, table, ELSEWHERE, &ELSEWHERE_TYPES);
                push_chain(batch, table);
                push_rule(batch, table);
            },
        )?;
        Ok(guard)
    }

    /// Puts `links` in the place of the links that are guarded, in one step.
    ///
    /// # Errors
    ///
    /// [`GuardError`]; the links are then the ones from before.
    pub fn update(&mut self, links: &[u32]) -> Result<(), GuardError> {
        self.transact("change the links of the guard", |batch, table| {
            batch.push(message(DELETE_ELEMENTS), ACK, |buffer| {
                OpDelsetelemDo::encode_request(buffer, &header())
                    .push_table_bytes(table.as_bytes())
                    .push_set_bytes(LINKS.as_bytes());
            });
            push_elements(batch, table, LINKS, links);
        })
    }

    /// Carries out requests together or not at all.
    fn transact(
        &mut self,
        action: &'static str,
        fill: impl FnOnce(&mut Batch, &str),
    ) -> Result<(), GuardError> {
        let mut header = Nfgenmsg::new();
        header.set_res_id(SUBSYSTEM);
        self.batch.clear();
        self.batch.push(BATCH_BEGIN, 0, |buffer| {
            OpBatchBeginDo::encode_request(buffer, &header);
        });
        fill(&mut self.batch, &self.table);
        self.batch.push(BATCH_END, 0, |buffer| {
            OpBatchEndDo::encode_request(buffer, &header);
        });
        // The first and the last message are answered only if they fail.
        let mut left = self.batch.len().saturating_sub(2);
        let mut refusal = None;
        let deadline = Instant::now() + LIMIT;
        self.socket.send(&self.batch)?;
        while left > 0 && refusal.is_none() {
            if !self.socket.wait_readable(deadline)? {
                return Err(
                    NetlinkError::Timeout { action: action.to_owned(), limit: LIMIT }.into()
                );
            }
            self.socket.read_acks(|_, verdict| {
                left = left.saturating_sub(1);
                refusal = refusal.take().or(verdict.err());
            })?;
        }
        match refusal {
            None => Ok(()),
            // No nf_tables; no `fib` expression; no tables that vanish with their owner.
            Some(KernelError { errno: errno @ (Errno::OPNOTSUPP | Errno::NOENT), .. }) => {
                Err(GuardError::Unavailable { source: errno.into() })
            }
            Some(source) => Err(GuardError::Refused { action, source }),
        }
    }
}

/// The guard could not be installed or changed.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The kernel lacks what it takes.
    #[error(
        "this kernel cannot guard Neighbor Discovery: it takes Linux 5.12 with nf_tables for IPv6 \
         and its fib expression (modules nf_tables and nft_fib_ipv6)"
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

fn push_table(batch: &mut Batch, table: &str) {
    batch.push(message(NEW_TABLE), ACK | CREATE | EXCLUSIVE, |buffer| {
        OpNewtableDo::encode_request(buffer, &header())
            .push_name_bytes(table.as_bytes())
            .push_flags(TableFlags::Owner as u32);
    });
}

fn push_set(batch: &mut Batch, table: &str, set: &str, key_type: u32) {
    batch.push(message(NEW_SET), ACK | CREATE | EXCLUSIVE, |buffer| {
        OpNewsetDo::encode_request(buffer, &header())
            .push_table_bytes(table.as_bytes())
            .push_name_bytes(set.as_bytes())
            .push_key_type(key_type)
            .push_key_len(4)
            // Tells sets apart within one transaction; the key types do as well.
            .push_id(key_type);
    });
}

fn push_elements(batch: &mut Batch, table: &str, set: &str, elements: &[u32]) {
    if elements.is_empty() {
        return;
    }
    batch.push(message(NEW_ELEMENTS), ACK | CREATE, |buffer| {
        let mut list = OpNewsetelemDo::encode_request(buffer, &header())
            .push_table_bytes(table.as_bytes())
            .push_set_bytes(set.as_bytes())
            .nested_elements();
        for element in elements {
            list = list
                .nested_elem()
                .nested_key()
                .push_value(&element.to_ne_bytes())
                .end_nested()
                .end_nested();
        }
        list.end_nested();
    });
}

fn push_chain(batch: &mut Batch, table: &str) {
    batch.push(message(NEW_CHAIN), ACK | CREATE | EXCLUSIVE, |buffer| {
        OpNewchainDo::encode_request(buffer, &header())
            .push_table_bytes(table.as_bytes())
            .push_name(CHAIN)
            .push_type(c"filter")
            .push_policy(VerdictCode::Accept as u32)
            .nested_hook()
            .push_num(HOOK_PREROUTING)
            .push_priority(PRIORITY_RAW)
            .end_nested();
    });
}

/// The one rule: ICMPv6 of type 133 to 137, arrived on a guarded link, whose destination is
/// elsewhere. The cheapest conditions come first, as every packet of the host passes here.
fn push_rule(batch: &mut Batch, table: &str) {
    batch.push(message(NEW_RULE), ACK | CREATE | APPEND, |buffer| {
        OpNewruleDo::encode_request(buffer, &header())
            .push_table_bytes(table.as_bytes())
            .push_chain(CHAIN);
        push_nested(buffer, RULE_EXPRESSIONS, |buffer| {
            push_load_meta(buffer, MetaKeys::L4Proto);
            push_compare(buffer, CmpOps::Eq, ICMPV6);
            push_expression(buffer, "payload", |data| {
                push_number(data, PAYLOAD_DREG, REGISTER);
                push_number(data, PAYLOAD_BASE, PayloadBase::TransportHeader as u32);
                push_number(data, PAYLOAD_OFFSET, 0);
                push_number(data, PAYLOAD_LEN, 1);
            });
            push_compare(buffer, CmpOps::Gte, ROUTER_SOLICITATION);
            push_compare(buffer, CmpOps::Lte, REDIRECT);
            push_load_meta(buffer, MetaKeys::Iif);
            push_lookup(buffer, LINKS);
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

fn push_load_meta(buffer: &mut Vec<u8>, key: MetaKeys) {
    push_expression(buffer, "meta", |data| {
        push_number(data, META_DREG, REGISTER);
        push_number(data, META_KEY, key as u32);
    });
}

fn push_compare(buffer: &mut Vec<u8>, operation: CmpOps, value: u8) {
    push_expression(buffer, "cmp", |data| {
        push_number(data, CMP_SREG, REGISTER);
        push_number(data, CMP_OP, operation as u32);
        push_nested(data, CMP_DATA, |data| push_octets(data, DATA_VALUE, &[value]));
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

fn header() -> Nfgenmsg {
    let mut header = Nfgenmsg::new();
    header.nfgen_family = NFPROTO_IPV6;
    header
}

const fn message(kind: u16) -> u16 {
    SUBSYSTEM << 8 | kind
}

/// The set of guarded links.
const LINKS: &str = "links";
/// The set of kinds of routes that lead away from this host.
const ELSEWHERE: &str = "elsewhere";
/// `RTN_UNICAST`, `RTN_BLACKHOLE`, `RTN_UNREACHABLE`, `RTN_PROHIBIT`.
const ELSEWHERE_TYPES: [u32; 4] = [1, 6, 7, 8];
const CHAIN: &CStr = c"prerouting";
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
/// `NFT_MSG_NEWCHAIN`.
const NEW_CHAIN: u16 = 3;
/// `NFT_MSG_NEWRULE`.
const NEW_RULE: u16 = 6;
/// `NFT_MSG_NEWSET`.
const NEW_SET: u16 = 9;
/// `NFT_MSG_NEWSETELEM`.
const NEW_ELEMENTS: u16 = 12;
/// `NFT_MSG_DELSETELEM`; without elements it empties the set.
const DELETE_ELEMENTS: u16 = 14;
const NFPROTO_IPV6: u8 = 10;
/// `NF_INET_PRE_ROUTING`.
const HOOK_PREROUTING: u32 = 0;
/// `NF_IP6_PRI_RAW`: before connection tracking.
const PRIORITY_RAW: i32 = -300;
/// How nft(8) shows the elements of a set: as links.
const TYPE_LINK: u32 = 20;
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
/// `NFT_FIB_RESULT_ADDRTYPE`, which the codec's `FibResult` numbers one too low.
const FIB_RESULT_ADDRESS_TYPE: u32 = 3;
const ICMPV6: u8 = 58;
const ROUTER_SOLICITATION: u8 = 133;
const REDIRECT: u8 = 137;
/// `NLM_F_APPEND`.
const APPEND: u16 = 0x800;
