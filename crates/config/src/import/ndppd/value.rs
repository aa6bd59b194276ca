//! Reads the values of ndppd's keys as ndppd 0.2 does, which takes anything for something.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

/// A boolean, as it is meant and as it is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Flag {
    /// What the text says.
    pub(super) meant: bool,
    /// What ndppd 0.2 makes of it.
    pub(super) read: bool,
    /// Whether the text says anything at all.
    pub(super) clear: bool,
}

/// Reads a boolean; only `yes` and `true` are true to ndppd.
pub(super) fn flag(text: &str) -> Flag {
    let lower = text.to_ascii_lowercase();
    let read = matches!(lower.as_str(), "yes" | "true");
    let (meant, clear) = match bare(&lower) {
        "" if text.is_empty() => (true, true),
        "yes" | "true" | "on" | "1" => (true, true),
        "no" | "false" | "off" | "0" => (false, true),
        _ => (false, false),
    };
    Flag { meant, read, clear }
}

/// Reads a number as C's `atoi` does, and says whether it is nothing but that number.
pub(super) fn number(text: &str) -> (i64, bool) {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits: String = unsigned.chars().take_while(char::is_ascii_digit).collect();
    let exact = !digits.is_empty() && digits.len() == bare(unsigned).len();
    let value = match digits.parse::<i32>() {
        Ok(value) => i64::from(value),
        Err(_) if digits.is_empty() => 0,
        Err(_) => i64::from(i32::MAX),
    };
    (if text.starts_with('-') { -value } else { value }, exact)
}

/// A rule's address, with what is odd about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Address {
    pub(super) net: Ipv6Net,
    pub(super) oddity: Option<Oddity>,
}

/// An address that ndppd does not take as it looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Oddity {
    /// There is no length: it is a single address, although it looks like a prefix.
    SingleAddress,
    /// The length is none that ndppd understands: it takes it for 128.
    LengthTaken128,
}

/// An address that cannot be imported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refused {
    /// ndppd 0.2 reads `::/128`, 1.0 does not start.
    NoAddress,
}

/// Reads the address of a rule.
pub(super) fn address(text: &str) -> Result<Address, Refused> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    // ndppd 0.2 has no form with a dotted quad, and mapped addresses are no neighbors.
    let parsed: Ipv6Addr = match address.parse() {
        Ok(parsed) if !address.contains('.') => parsed,
        _ => return Err(Refused::NoAddress),
    };
    let (length, oddity) = match length {
        None if address.ends_with("::") => (128, Some(Oddity::SingleAddress)),
        None => (128, None),
        // The end of the text counts as 0, as the original's conversion has it.
        Some("") => (0, None),
        Some(length) => match length.parse::<u8>() {
            Ok(length @ 0..=128) if !text.contains('+') => (length, None),
            _ => (128, Some(Oddity::LengthTaken128)),
        },
    };
    let net = Ipv6Net::new(parsed, length).map_err(|_| Refused::NoAddress)?;
    Ok(Address { net: net.trunc(), oddity })
}

/// A word without the punctuation that other configuration files end statements with.
pub(super) fn bare(word: &str) -> &str {
    word.trim_end_matches([';', ','])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_and_true_are_true_to_ndppd() {
        for (text, meant, read, clear) in [
            ("yes", true, true, true),
            ("TRUE", true, true, true),
            ("no", false, false, true),
            ("false", false, false, true),
            ("on", true, false, true),
            ("1", true, false, true),
            ("yes;", true, false, true),
            ("no;", false, false, true),
            ("", true, false, true),
            ("perhaps", false, false, false),
            (";", false, false, false),
        ] {
            assert_eq!(flag(text), Flag { meant, read, clear }, "{text}");
        }
    }

    #[test]
    fn numbers_are_read_as_atoi_does() {
        for (text, expected) in [
            ("30000", (30_000, true)),
            ("30000;", (30_000, true)),
            ("30s", (30, false)),
            ("-1", (-1, true)),
            ("abc", (0, false)),
            ("", (0, false)),
            ("99999999999", (i64::from(i32::MAX), true)),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn addresses_mean_what_they_mean_to_ndppd() {
        let fine = |net: &str| Ok((net.to_owned(), None));
        let odd = |net: &str, oddity| Ok((net.to_owned(), Some(oddity)));
        for (text, expected) in [
            ("2001:db8::/64", fine("2001:db8::/64")),
            ("2001:db8::5/64", fine("2001:db8::/64")),
            ("2001:db8::5/064", fine("2001:db8::/64")),
            ("2001:db8::1", fine("2001:db8::1/128")),
            ("1111::", odd("1111::/128", Oddity::SingleAddress)),
            ("2001:db8::/64x", odd("2001:db8::/128", Oddity::LengthTaken128)),
            ("2001:db8::/abc", odd("2001:db8::/128", Oddity::LengthTaken128)),
            ("2001:db8::/130", odd("2001:db8::/128", Oddity::LengthTaken128)),
            ("2001:db8::5/-1", odd("2001:db8::5/128", Oddity::LengthTaken128)),
            ("::/0", fine("::/0")),
            ("2001:db8::5/", fine("::/0")),
            ("2001:db8::zz/64", Err(Refused::NoAddress)),
            ("fe80::1%eth0/64", Err(Refused::NoAddress)),
            ("::ffff:192.0.2.1/128", Err(Refused::NoAddress)),
            ("eth0", Err(Refused::NoAddress)),
        ] {
            let read = address(text).map(|it| (it.net.to_string(), it.oddity));
            assert_eq!(read, expected, "{text}");
        }
    }
}
