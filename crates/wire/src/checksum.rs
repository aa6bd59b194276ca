//! The Internet checksum over the IPv6 pseudo-header (RFC 8200 section 8.1).

use std::net::Ipv6Addr;

/// Returns the checksum of an upper-layer message.
///
/// Over a message that carries its checksum already, the result is 0 exactly if it is right.
pub fn checksum(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut sum = 0;
    add(&mut sum, &source.octets());
    add(&mut sum, &destination.octets());
    add(&mut sum, &length);
    add(&mut sum, &[0, next_header]);
    add(&mut sum, message);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

fn add(sum: &mut u64, octets: &[u8]) {
    let (pairs, last) = octets.as_chunks::<2>();
    for pair in pairs {
        *sum += u64::from(u16::from_be_bytes(*pair));
    }
    if let [odd] = last {
        *sum += u64::from(*odd) << 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_its_checksum_sums_to_zero() {
        let source = "fe80::1".parse().unwrap();
        let destination = "ff02::1:ff00:21".parse().unwrap();
        for length in [8, 24, 31, 32] {
            let mut message: Vec<u8> = (0..length).map(|octet| octet * 7).collect();
            message[2..4].fill(0);
            let sum = checksum(source, destination, 58, &message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            assert_eq!(checksum(source, destination, 58, &message), 0, "length {length}");
            message[5] ^= 1;
            assert_ne!(checksum(source, destination, 58, &message), 0, "length {length}");
        }
    }
}
