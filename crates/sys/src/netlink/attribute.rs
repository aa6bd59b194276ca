//! Appends attributes for which the codec has no method, or a wrong one.

use netlink_bindings::utils;

/// Appends an attribute that consists of the attributes that `fill` appends.
pub(crate) fn push_nested(buffer: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = utils::push_nested_header(buffer, kind);
    fill(buffer);
    utils::finalize_nested_header(buffer, start);
}

/// Appends a text with a zero octet at its end.
pub(crate) fn push_text(buffer: &mut Vec<u8>, kind: u16, text: &str) {
    let start = utils::write_header(buffer, kind);
    buffer.extend_from_slice(text.as_bytes());
    buffer.push(0);
    utils::finalize_nested_header(buffer, start);
}

/// Appends a word of 32 bits, in the byte order that the attribute demands.
pub(crate) fn push_word(buffer: &mut Vec<u8>, kind: u16, word: [u8; 4]) {
    utils::push_header(buffer, kind, 4);
    buffer.extend_from_slice(&word);
}

/// Appends some octets.
pub(crate) fn push_octets(buffer: &mut Vec<u8>, kind: u16, octets: &[u8]) {
    let start = utils::write_header(buffer, kind);
    buffer.extend_from_slice(octets);
    utils::finalize_nested_header(buffer, start);
}
