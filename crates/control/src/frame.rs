//! Cuts a stream of octets into messages, and turns values into messages: JSON, then a zero octet.

use serde::Serialize;

/// Collects octets until they make up whole messages.
#[derive(Clone, Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the first message that was not taken yet starts.
    start: usize,
    /// Up to where no end of message was found after `start`.
    scanned: usize,
    limit: usize,
}

/// A message is longer than what the decoder accepts.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a message is longer than {limit} octets")]
pub struct TooLong {
    /// Most octets that a message may have.
    pub limit: usize,
}

impl Decoder {
    /// Starts a stream whose messages have `limit` octets at most, without the zero octet.
    pub const fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, scanned: 0, limit }
    }

    /// Adds octets that were received.
    ///
    /// Take all messages out before adding more: what is held is then never more than one message
    /// and what was added last.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(octets);
    }

    /// Takes the next whole message, without its zero octet, or `None` when there is none yet.
    ///
    /// # Errors
    ///
    /// [`TooLong`], from which the stream does not recover.
    pub fn take(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let unseen = self.buffer.get(self.scanned..).unwrap_or_default();
        let end = unseen.iter().position(|octet| *octet == 0).map(|offset| self.scanned + offset);
        let start = self.start;
        let stop = end.unwrap_or(self.buffer.len());
        if stop - start > self.limit {
            return Err(TooLong { limit: self.limit });
        }
        self.scanned = stop;
        if end.is_none() {
            return Ok(None);
        }
        self.start = stop + 1;
        self.scanned = stop + 1;
        Ok(self.buffer.get(start..stop))
    }
}

/// Appends `value` as one message to `buffer`.
///
/// # Errors
///
/// When `value` has no form in JSON, such as a map whose keys are not strings.
pub fn encode(value: &impl Serialize, buffer: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let start = buffer.len();
    let written = serde_json::to_writer(&mut *buffer, value);
    if written.is_err() {
        buffer.truncate(start);
        return written;
    }
    // JSON never contains a zero octet: in strings it is written as an escape.
    buffer.push(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_come_out_whole_however_they_arrive() {
        let mut decoder = Decoder::new(16);
        decoder.push(b"one\0tw");
        assert_eq!(decoder.take(), Ok(Some(b"one".as_slice())));
        assert_eq!(decoder.take(), Ok(None));
        decoder.push(b"o\0\0three");
        assert_eq!(decoder.take(), Ok(Some(b"two".as_slice())));
        assert_eq!(decoder.take(), Ok(Some(b"".as_slice())));
        assert_eq!(decoder.take(), Ok(None));
        decoder.push(b"\0");
        assert_eq!(decoder.take(), Ok(Some(b"three".as_slice())));
        assert_eq!(decoder.take(), Ok(None));
    }

    #[test]
    fn a_message_may_be_as_long_as_the_limit_and_no_longer() {
        let mut decoder = Decoder::new(4);
        decoder.push(b"four\0fiver");
        assert_eq!(decoder.take(), Ok(Some(b"four".as_slice())));
        assert_eq!(decoder.take(), Err(TooLong { limit: 4 }));
    }

    #[test]
    fn an_endless_message_is_refused_before_its_end() {
        let mut decoder = Decoder::new(4);
        decoder.push(b"1234");
        assert_eq!(decoder.take(), Ok(None));
        decoder.push(b"5");
        assert_eq!(decoder.take(), Err(TooLong { limit: 4 }));
    }

    #[test]
    fn a_zero_in_a_string_does_not_end_the_message() {
        let mut buffer = Vec::new();
        encode(&"a\0b", &mut buffer).unwrap();
        assert_eq!(buffer, b"\"a\\u0000b\"\0");
    }

    proptest! {
        #[test]
        fn cutting_the_stream_differently_makes_no_difference(
            messages in prop::collection::vec(prop::collection::vec(1_u8.., 0..20), 0..8),
            cuts in prop::collection::vec(1_usize..9, 1..20),
        ) {
            let stream: Vec<u8> =
                messages.iter().flat_map(|message| message.iter().copied().chain([0])).collect();
            let mut decoder = Decoder::new(20);
            let mut taken = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                rest = after;
                decoder.push(chunk);
                while let Some(message) = decoder.take().unwrap() {
                    taken.push(message.to_vec());
                }
            }
            prop_assert_eq!(taken, messages);
        }

        #[test]
        fn no_stream_makes_it_panic_or_hold_more_than_it_may(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..30),
        ) {
            let mut decoder = Decoder::new(50);
            'stream: for chunk in chunks {
                decoder.push(&chunk);
                loop {
                    match decoder.take() {
                        Ok(Some(message)) => prop_assert!(message.len() <= 50),
                        Ok(None) => break,
                        Err(TooLong { limit }) => {
                            prop_assert_eq!(limit, 50);
                            break 'stream;
                        }
                    }
                }
                prop_assert!(decoder.buffer.len() <= 50 + 40);
            }
        }
    }
}
