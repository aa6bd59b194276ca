//! Writes frames as a pcapng file (draft-ietf-opsawg-pcapng), which Wireshark and tcpdump read.

use crate::Frame;

/// Encodes a capture of `links` by name; each frame comes with the index of its link.
pub(crate) fn encode<'a>(
    links: &[String],
    frames: impl IntoIterator<Item = (u32, &'a Frame)>,
) -> Vec<u8> {
    let mut file = Vec::new();
    block(&mut file, SECTION_HEADER, |body| {
        body.extend_from_slice(&BYTE_ORDER_MAGIC.to_ne_bytes());
        body.extend_from_slice(&1_u16.to_ne_bytes());
        body.extend_from_slice(&0_u16.to_ne_bytes());
        // The length of the section is not told.
        body.extend_from_slice(&u64::MAX.to_ne_bytes());
    });
    for link in links {
        block(&mut file, INTERFACE_DESCRIPTION, |body| {
            body.extend_from_slice(&ETHERNET.to_ne_bytes());
            body.extend_from_slice(&[0; 2]);
            // Frames of any length.
            body.extend_from_slice(&0_u32.to_ne_bytes());
            option(body, IF_NAME, link.as_bytes());
            option(body, IF_TSRESOL, &[NANOSECONDS]);
            option(body, END_OF_OPTIONS, &[]);
        });
    }
    for (link, frame) in frames {
        block(&mut file, ENHANCED_PACKET, |body| {
            let high = u32::try_from(frame.time_ns >> 32).unwrap_or(u32::MAX);
            let low = u32::try_from(frame.time_ns & u64::from(u32::MAX)).unwrap_or(u32::MAX);
            let len = u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX);
            for word in [link, high, low, len, len] {
                body.extend_from_slice(&word.to_ne_bytes());
            }
            body.extend_from_slice(&frame.bytes);
            pad(body);
            let direction: u32 = if frame.outgoing { 2 } else { 1 };
            option(body, EPB_FLAGS, &direction.to_ne_bytes());
            option(body, END_OF_OPTIONS, &[]);
        });
    }
    file
}

fn block(file: &mut Vec<u8>, kind: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    write(&mut body);
    pad(&mut body);
    // Type and length before the body, the length again after it.
    let len = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_ne_bytes();
    file.extend_from_slice(&kind.to_ne_bytes());
    file.extend_from_slice(&len);
    file.extend_from_slice(&body);
    file.extend_from_slice(&len);
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..value.len().min(MAX_OPTION)).unwrap_or_default();
    body.extend_from_slice(&code.to_ne_bytes());
    body.extend_from_slice(&u16::try_from(value.len()).unwrap_or_default().to_ne_bytes());
    body.extend_from_slice(value);
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// `LINKTYPE_ETHERNET`.
const ETHERNET: u16 = 1;
const END_OF_OPTIONS: u16 = 0;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
/// Ten to the power of minus nine.
const NANOSECONDS: u8 = 9;
/// Far more than a link's name has.
const MAX_OPTION: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_has_its_length_at_both_ends() {
        let frame = Frame { bytes: vec![0xab; 61], time_ns: 0x1_0000_0002, outgoing: true };
        let file = encode(&["eth0 of host".to_owned(), "b".to_owned()], [(1, &frame)]);
        let mut kinds = Vec::new();
        let mut rest = &file[..];
        while !rest.is_empty() {
            let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().unwrap());
            let len = usize::try_from(word(4)).unwrap();
            assert_eq!(word(len - 4), word(4));
            kinds.push(word(0));
            rest = &rest[len..];
        }
        assert_eq!(
            kinds,
            [SECTION_HEADER, INTERFACE_DESCRIPTION, INTERFACE_DESCRIPTION, ENHANCED_PACKET]
        );
        let packet = [1_u32, 1, 2, 61, 61].map(u32::to_ne_bytes).concat();
        assert!(file.windows(packet.len()).any(|window| window == packet));
    }
}
