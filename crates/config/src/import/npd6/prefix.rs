//! Reads prefixes as npd6 writes them: groups with a colon after each, and a mask perhaps.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use crate::value::SHORTEST_PREFIX;

/// A prefix, and what npd6 makes of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Prefix {
    /// The prefix, without the bits beyond its length.
    pub(super) net: Ipv6Net,
    /// What is odd about it.
    pub(super) oddity: Option<Oddity>,
}

/// A prefix that npd6 does not take as it looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Oddity {
    /// There is no mask, and the groups do not make the usual 64 bits.
    ImpliedLength,
    /// The mask 9999 stands for none.
    MaskIgnored,
    /// The mask is followed by something that npd6 does not look at.
    MaskTrailer,
    /// Bits are set beyond the length, in the octet where it ends: npd6 matches nothing.
    NeverMatches,
}

/// A prefix that cannot be imported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refused {
    /// npd6 says "Invalid prefix" and exits.
    Invalid,
    /// npd6 goes on with whatever is in its memory.
    Garbage,
    /// The mask is 0 or no number: npd6 matches every address.
    MatchesAll,
    /// The mask is beyond 128: npd6 matches nothing, and logs an error each time.
    MatchesNothing,
    /// Shorter than anything that is one user's.
    TooShort,
}

/// Reads a prefix; `text` has no blanks.
pub(super) fn parse(text: &str) -> Result<Prefix, Refused> {
    let (groups, mask) = match text.split_once('/') {
        Some((groups, mask)) => (groups, Some(mask)),
        None => (text, None),
    };
    // It pads beyond the `/`, which garbles the prefix if there is a colon.
    if mask.is_some_and(|mask| mask.contains(':')) {
        return Err(Refused::Garbage);
    }
    let (padded, implied) = pad(groups).ok_or(Refused::Invalid)?;
    let address: Ipv6Addr = padded.parse().map_err(|_| Refused::Garbage)?;
    let (length, mut oddity) = match mask {
        None => (implied, (implied != 64 && implied != 128).then_some(Oddity::ImpliedLength)),
        Some(mask) => {
            let digits = mask.bytes().take_while(u8::is_ascii_digit).count();
            let (number, trailer) = mask.split_at(digits);
            match number.parse::<u32>() {
                Ok(NO_MASK) => (implied, Some(Oddity::MaskIgnored)),
                Ok(0) | Err(_) if number.len() < 9 => return Err(Refused::MatchesAll),
                Ok(length @ 1..=128) => (
                    u8::try_from(length).unwrap_or(128),
                    (!trailer.is_empty()).then_some(Oddity::MaskTrailer),
                ),
                Ok(_) | Err(_) => return Err(Refused::MatchesNothing),
            }
        }
    };
    let net = Ipv6Net::new(address, length).map_err(|_| Refused::Invalid)?;
    if length < SHORTEST_PREFIX {
        return Err(Refused::TooShort);
    }
    if never_matches(address, length) {
        oddity = Some(Oddity::NeverMatches);
    }
    Ok(Prefix { net: net.trunc(), oddity })
}

/// Fills the groups up with zeros to a whole address, and says how many bits were written. Only
/// the length of the text decides whether npd6 takes it.
fn pad(groups: &str) -> Option<(String, u8)> {
    let mut text: Vec<char> = groups.chars().collect();
    let mut at = 0;
    while at < GROUPS * GROUP {
        // A group at the end without a colon is left as it is.
        let colon = text.iter().skip(at).take(GROUP - 1).position(|c| *c == ':');
        if let Some(digits) = colon
            && digits > 0
        {
            text.splice(at..at, std::iter::repeat_n('0', GROUP - 1 - digits));
        }
        at += GROUP;
    }
    if text.ends_with(&[':', ':']) {
        text.pop();
    }
    let length = text.len();
    let mut text: String = text.into_iter().collect();
    if length == GROUPS * GROUP - 1 {
        return Some((text, 128));
    }
    let written = length / GROUP;
    if !length.is_multiple_of(GROUP) || !(1..GROUPS).contains(&written) {
        return None;
    }
    text.push_str(&vec!["0000"; GROUPS - written].join(":"));
    Some((text, u8::try_from(written * 16).ok()?))
}

/// npd6 compares whole octets, and in the last one the masked target with the prefix as written.
fn never_matches(address: Ipv6Addr, length: u8) -> bool {
    let octet = address.octets().get(usize::from(length / 8)).copied().unwrap_or(0);
    !length.is_multiple_of(8) && octet & (0xff >> (length % 8)) != 0
}

/// Groups of an address.
const GROUPS: usize = 8;
/// Characters of a group, with its colon.
const GROUP: usize = 5;
/// The mask that npd6 keeps for prefixes without one.
const NO_MASK: u32 = 9999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_mean_what_they_mean_to_npd6() {
        let fine = |net: &str| Ok((net.to_owned(), None));
        let odd = |net: &str, oddity| Ok((net.to_owned(), Some(oddity)));
        for (text, expected) in [
            ("2001:db8:1:0:", fine("2001:db8:1::/64")),
            ("2001:0db8:0001:0000:", fine("2001:db8:1::/64")),
            ("2a01:0123:4567:89aa:", fine("2a01:123:4567:89aa::/64")),
            ("2001:db8:1:0::/64", fine("2001:db8:1::/64")),
            ("2001:db8:1::/64", fine("2001:db8:1::/64")),
            ("2001:db8:1::", odd("2001:db8:1::/48", Oddity::ImpliedLength)),
            ("2000:11:22:33:8000::", odd("2000:11:22:33:8000::/80", Oddity::ImpliedLength)),
            ("2000:11:22:33:8000::/65", fine("2000:11:22:33:8000::/65")),
            ("2001:db8:1:0", Err(Refused::Invalid)),
            ("2001:db8:1::1", Err(Refused::Invalid)),
            ("2001:db8:1::1:", Err(Refused::Invalid)),
            ("2001:db8:1:0:#lan", Err(Refused::Invalid)),
            ("::", Err(Refused::Invalid)),
            ("::/0", Err(Refused::Invalid)),
            ("2001:db8:1:0:0:0:0:77", Err(Refused::Invalid)),
            ("2001:db8:1:0:0:0:0:0:", Err(Refused::Invalid)),
            ("2001:db8:1:0:0:0:0:0077", fine("2001:db8:1::77/128")),
            ("2001:db8:1:0:0:0:0:0077/48", fine("2001:db8:1::/48")),
            ("2001:db8:1:0:0:0:0::", odd("2001:db8:1::/112", Oddity::ImpliedLength)),
            ("zzzz:", Err(Refused::Garbage)),
            ("20010:db8:1:0:", Err(Refused::Garbage)),
            ("2001:db8:1:0:/64:", Err(Refused::Garbage)),
            ("0::/0", Err(Refused::MatchesAll)),
            ("2001:db8:1:0:/0", Err(Refused::MatchesAll)),
            ("2001:db8:1:0:/-1", Err(Refused::MatchesAll)),
            ("2001:db8:1:0:/abc", Err(Refused::MatchesAll)),
            ("2001:db8:1:0:/", Err(Refused::MatchesAll)),
            ("2001:db8:1:0://lan", Err(Refused::MatchesAll)),
            ("2001:db8:1:0:/200", Err(Refused::MatchesNothing)),
            ("2001:db8:1:0:/99999999999", Err(Refused::MatchesNothing)),
            ("2001:db8:1:0:/9999", odd("2001:db8:1::/64", Oddity::MaskIgnored)),
            ("2001:db8:1:0:/64x", odd("2001:db8:1::/64", Oddity::MaskTrailer)),
            ("2001:db8:1:0:/64//lan", odd("2001:db8:1::/64", Oddity::MaskTrailer)),
            ("2001:db8:1:0:7000::/66", odd("2001:db8:1:0:4000::/66", Oddity::NeverMatches)),
            ("2001:db8:1:0:00ff::/64", fine("2001:db8:1::/64")),
            ("2000::/8", Err(Refused::TooShort)),
        ] {
            let read = parse(text).map(|prefix| (prefix.net.to_string(), prefix.oddity));
            assert_eq!(read, expected, "{text}");
        }
    }
}
