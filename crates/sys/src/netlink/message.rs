//! Splits what a netlink socket received into messages, and reads acknowledgements.

use std::io;

use netlink_bindings::builtin::Nlmsghdr;
use netlink_bindings::utils;
use rustix::io::Errno;

use super::KernelError;

/// One message, without its header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) seq: u32,
    pub(crate) payload: &'a [u8],
}

impl Message<'_> {
    /// What an acknowledgement, an error or the end of a dump says; `None` for other messages.
    pub(crate) fn verdict(&self) -> Option<Result<(), KernelError>> {
        if self.kind != ERROR && self.kind != DONE {
            return None;
        }
        // The end of a dump may come without a status from old kernels.
        let status = utils::parse_i32(self.payload).unwrap_or(0);
        if status >= 0 {
            return Some(Ok(()));
        }
        let errno = Errno::from_io_error(&io::Error::from_raw_os_error(status.saturating_neg()))
            .unwrap_or(Errno::IO);
        Some(Err(KernelError { errno, message: self.explanation() }))
    }

    fn explanation(&self) -> Option<Box<str>> {
        if self.flags & FLAG_ACK_TLVS == 0 {
            return None;
        }
        let rest = self.payload.get(STATUS_LEN..)?;
        let attributes = if self.kind == DONE {
            rest
        } else {
            // The request follows: all of it, or the header alone if the answer is capped.
            let len = if self.flags & FLAG_CAPPED != 0 {
                Nlmsghdr::len()
            } else {
                usize::try_from(utils::parse_u32(rest)?).ok()?.next_multiple_of(utils::NLA_ALIGNTO)
            };
            rest.get(len..)?
        };
        let text = utils::find_attr(attributes, ATTRIBUTE_MESSAGE)?;
        let text = text.strip_suffix(&[0]).unwrap_or(text);
        Some(String::from_utf8_lossy(text).into())
    }
}

/// The messages of one received datagram; ends early where the framing is broken.
#[derive(Clone, Debug)]
pub(crate) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    pub(crate) fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let header = Nlmsghdr::new_from_slice(self.rest.get(..Nlmsghdr::len())?)?;
        let len = usize::try_from(header.len).ok()?;
        let message = self.rest.get(..len)?;
        let payload = message.get(Nlmsghdr::len()..)?;
        let aligned = len.checked_next_multiple_of(utils::NLA_ALIGNTO)?;
        self.rest = self.rest.get(aligned..).unwrap_or_default();
        Some(Message { kind: header.r#type, flags: header.flags, seq: header.seq, payload })
    }
}

/// `NLMSG_ERROR`: an error, or an acknowledgement if the status is zero.
const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
pub(crate) const DONE: u16 = 3;
/// `NLM_F_CAPPED`: the answer repeats no more than the header of the request.
const FLAG_CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: attributes follow the request.
const FLAG_ACK_TLVS: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`: an explanation for people.
const ATTRIBUTE_MESSAGE: u16 = 1;
/// Octets of the status at the start of an answer.
const STATUS_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_framing_ends_the_messages_without_a_panic() {
        let mut good = message(ERROR, 0, 7, &0_i32.to_ne_bytes());
        good.extend(message(DONE, 0, 8, &[]));
        let sequence: Vec<u32> = Messages::new(&good).map(|message| message.seq).collect();
        assert_eq!(sequence, [7, 8]);
        for len in 0..good.len() {
            assert!(Messages::new(&good[..len]).count() <= 1, "{len}");
        }
        for claimed in [0_u32, 1, 15, 17, u32::MAX] {
            let mut bad = good.clone();
            bad[..4].copy_from_slice(&claimed.to_ne_bytes());
            assert!(Messages::new(&bad).count() <= 2, "{claimed}");
        }
    }

    #[test]
    fn an_error_carries_its_explanation_capped_or_not() {
        let mut text = Vec::new();
        utils::push_header(&mut text, ATTRIBUTE_MESSAGE, 5);
        text.extend(b"nope\0");
        let request = message(24, 0, 3, &[0; 12]);
        for (flags, echoed) in
            [(FLAG_ACK_TLVS | FLAG_CAPPED, &request[..16]), (FLAG_ACK_TLVS, &request[..])]
        {
            let payload = [&(-17_i32).to_ne_bytes()[..], echoed, &text].concat();
            let answer = message(ERROR, flags, 3, &payload);
            let verdict = Messages::new(&answer).next().unwrap().verdict().unwrap();
            assert_eq!(
                verdict,
                Err(KernelError { errno: Errno::EXIST, message: Some("nope".into()) })
            );
        }
    }

    fn message(kind: u16, flags: u16, seq: u32, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(16 + payload.len()).unwrap();
        let mut bytes = Vec::from(len.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(seq.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        utils::align(&mut bytes);
        bytes
    }
}
