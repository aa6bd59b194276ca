//! Collects requests, each with its own sequence number, to be sent in one system call.

use netlink_bindings::builtin::Nlmsghdr;
use netlink_bindings::utils;

/// Requests to be sent together; keeps its memory from one use to the next.
///
/// Every request is answered under the sequence number that the method which added it returned,
/// most of them by an acknowledgement. Use one batch per socket for as long as the socket lives: numbers go on from use to
/// use, so that answers can always be told apart.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    count: usize,
    last_seq: u32,
}

impl Batch {
    /// Makes an empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the requests, after they were sent; keeps the memory and the count of numbers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    /// How many requests wait in it.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no request waits in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The sequence number of the request that was added last.
    pub fn last_seq(&self) -> u32 {
        self.last_seq
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a request of which `encode` appends what follows the message's header; returns its
    /// sequence number.
    pub(crate) fn push(&mut self, kind: u16, flags: u16, encode: impl FnOnce(&mut Vec<u8>)) -> u32 {
        // The kernel uses zero for its own messages.
        self.last_seq = self.last_seq.checked_add(1).unwrap_or(1);
        let start = self.bytes.len();
        let header =
            Nlmsghdr { len: 0, r#type: kind, flags: REQUEST | flags, seq: self.last_seq, pid: 0 };
        self.bytes.extend_from_slice(header.as_slice());
        encode(&mut self.bytes);
        utils::align(&mut self.bytes);
        let len = u32::try_from(self.bytes.len() - start)
            .expect("a request has a few attributes of bounded length");
        if let Some(field) = self.bytes.get_mut(start..start + 4) {
            field.copy_from_slice(&len.to_ne_bytes());
        }
        self.count += 1;
        self.last_seq
    }
}

/// `NLM_F_REQUEST`.
const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`.
pub(crate) const ACK: u16 = 0x4;
/// `NLM_F_DUMP`.
pub(crate) const DUMP: u16 = 0x300;
/// `NLM_F_REPLACE`.
pub(crate) const REPLACE: u16 = 0x100;
/// `NLM_F_EXCL`.
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_CREATE`.
pub(crate) const CREATE: u16 = 0x400;
