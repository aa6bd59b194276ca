//! The Internet checksum (RFC 1071), alone and over the pseudo-headers of IPv6 (RFC 8200 section
//! 8.1) and of UDP over IPv4 (RFC 768).

use std::net::{IpAddr, Ipv6Addr};

/// Returns the checksum of an upper-layer message over IPv6.
///
/// Over a message that carries its checksum already, the result is 0 exactly if it is right.
pub fn checksum(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, message: &[u8]) -> u16 {
    transport_checksum(IpAddr::V6(source), IpAddr::V6(destination), next_header, message)
}

/// Returns the checksum of an upper-layer message over either version of IP.
pub(crate) fn transport_checksum(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    message: &[u8],
) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut sum = 0;
    for address in [source, destination] {
        match address {
            IpAddr::V4(address) => add(&mut sum, &address.octets()),
            IpAddr::V6(address) => add(&mut sum, &address.octets()),
        }
    }
    add(&mut sum, &length);
    add(&mut sum, &[0, protocol]);
    add(&mut sum, message);
    fold(sum)
}

/// Returns the checksum of octets that need no pseudo-header: an IPv4 header.
pub(crate) fn plain_checksum(octets: &[u8]) -> u16 {
    let mut sum = 0;
    add(&mut sum, octets);
    fold(sum)
}

fn fold(mut sum: u64) -> u16 {
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
