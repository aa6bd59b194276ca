//! Prefixes and addresses, and which of them can be answered for.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::Ipv6Net;

use super::ValueError;
use crate::model::{Method, RulePrefix};
use crate::suggest::closest;

/// Beyond this a prefix would claim other people's networks.
pub const SHORTEST_PREFIX: u8 = 16;

/// Reads a prefix such as `2001:db8::/64`, or a single address as one of 128 bits; no bits beyond
/// the length may be set.
///
/// # Errors
///
/// What is wrong, and where.
pub fn prefix(text: &str) -> Result<Ipv6Net, ValueError> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let parsed = self::address(address)?;
    let Some(length) = length else {
        return Ok(Ipv6Net::from(parsed));
    };
    let at = address.len() + 1..text.len();
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let net = length
        .parse::<u8>()
        .ok()
        .filter(|_| digits)
        .and_then(|length| Ipv6Net::new(parsed, length).ok())
        .ok_or_else(|| {
            ValueError::new(at, format!("`{length}` is not the length of a prefix"))
                .label("expected 0 to 128")
        })?;
    if net.trunc().addr() != parsed {
        let error =
            ValueError::new(0..text.len(), format!("bits beyond the length of `{text}` are set"));
        let error = if net.prefix_len() < SHORTEST_PREFIX {
            error.label(format!("the length must be {SHORTEST_PREFIX} or more"))
        } else {
            error.label(format!("did you mean `{}`?", net.trunc()))
        };
        return Err(error.help(format!("`{parsed}/128` or `{parsed}` is this one address")));
    }
    Ok(net)
}

/// Checks that nodes other than this one can have addresses of a prefix, and that it is not too
/// large for a subnet.
///
/// # Errors
///
/// What is wrong with `net`; the place is all of it.
pub fn check_prefix(net: Ipv6Net) -> Result<(), ValueError> {
    let whole = 0..net.to_string().len();
    let refuse =
        |message: String, label: &str| Err(ValueError::new(whole.clone(), message).label(label));
    if net.addr().is_multicast() {
        return refuse(
            format!("`{net}` is multicast"),
            "solicitations ask for unicast addresses only (RFC 4861 section 4.3)",
        );
    }
    if net.addr().is_unicast_link_local() {
        return refuse(format!("`{net}` is link-local"), "link-local addresses stay on their link");
    }
    if net.prefix_len() == 128 && (net.addr().is_unspecified() || net.addr().is_loopback()) {
        return refuse(format!("`{net}` is not an address of a node"), "nobody can ask for it");
    }
    if net.prefix_len() < SHORTEST_PREFIX {
        return refuse(
            format!("`{net}` is too large"),
            "the length must be 16 or more: this would claim other people's networks",
        );
    }
    Ok(())
}

/// Reads an address.
pub(super) fn address(text: &str) -> Result<Ipv6Addr, ValueError> {
    let whole = 0..text.len();
    text.parse().map_err(|_| {
        let expected = "expected something like 2001:db8:7::/64 or 2001:db8:7::1";
        if text.is_empty() {
            return ValueError::new(whole, "an address is missing")
                .label("missing here")
                .help(expected);
        }
        if let Some(percent) = text.find('%') {
            return ValueError::new(percent..text.len(), "addresses here have no zone")
                .label("leave this out");
        }
        if text.parse::<Ipv4Addr>().is_ok() {
            return ValueError::new(whole, format!("`{text}` is IPv4"))
                .label("only IPv6 has Neighbor Discovery")
                .help(expected);
        }
        match text.find(|c: char| !c.is_ascii_hexdigit() && c != ':' && c != '.') {
            Some(strange) => {
                let end = text
                    .get(strange..)
                    .and_then(|rest| rest.chars().next())
                    .map_or(text.len(), |c| strange + c.len_utf8());
                ValueError::new(strange..end, format!("`{text}` is not an IPv6 address"))
                    .label("unexpected here")
                    .help(expected)
            }
            None => ValueError::new(whole, format!("`{text}` is not an IPv6 address"))
                .label("not an IPv6 address")
                .help(expected),
        }
    })
}

impl FromStr for RulePrefix {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let similar = text.starts_with("auto") || closest(text, ["auto"]).is_some();
        if similar && !text.contains(':') {
            return Err(ValueError::new(0..text.len(), format!("`{text}` is not a prefix"))
                .label("did you mean `auto`?"));
        }
        let net = prefix(text)?;
        check_prefix(net).map_err(|error| {
            let error = ValueError { span: 0..text.len(), ..error };
            if net.prefix_len() < SHORTEST_PREFIX {
                error.help("`auto` means the prefixes of the relay itself")
            } else {
                error
            }
        })?;
        Ok(Self::Net(net))
    }
}

impl fmt::Display for RulePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Net(net) if net.prefix_len() == 128 => net.addr().fmt(f),
            Self::Net(net) => net.fmt(f),
        }
    }
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Static, Self::Route, Self::Probe, Self::Deny];

    /// Its name in a configuration.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Route => "route",
            Self::Probe => "probe",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

impl FromStr for Method {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::ALL.into_iter().find(|method| method.label() == text).ok_or_else(|| {
            let error = ValueError::new(0..text.len(), format!("`{text}` is not a method"))
                .help("the methods are static, route, probe and deny");
            match closest(text, Self::ALL.map(Self::label)) {
                _ if text == "auto" => error.label("what ndppd calls `auto` is `route`"),
                Some(meant) => error.label(format!("did you mean `{meant}`?")),
                None => error,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_rules_are_read_and_written() {
        for text in ["auto", "2001:db8::/64", "2001:db8::1", "fd00::/16"] {
            let read: RulePrefix = text.parse().expect(text);
            assert_eq!(read.to_string(), text);
        }
        assert_eq!("2001:DB8::1/128".parse::<RulePrefix>().unwrap().to_string(), "2001:db8::1");
    }

    #[test]
    fn what_is_no_prefix_is_refused_at_its_place() {
        for (text, span, message) in [
            ("2001:db8::1/64", 0..14, "bits beyond"),
            ("2001:db8::/129", 11..14, "length"),
            ("2001:db8::/", 11..11, "length"),
            ("2001:db8::/+6", 11..13, "length"),
            ("2001:dg8::/64", 6..7, "not an IPv6 address"),
            ("2001:db8:/64", 0..9, "not an IPv6 address"),
            ("10.0.0.0/8", 0..8, "IPv4"),
            ("2001:db8::1%eth0", 11..16, "zone"),
            ("ff02::1", 0..7, "multicast"),
            ("fe80::/64", 0..9, "link-local"),
            ("::/0", 0..4, "too large"),
            ("::1", 0..3, "not an address of a node"),
            ("aut", 0..3, "not a prefix"),
            ("automatic", 0..9, "not a prefix"),
            ("", 0..0, "missing"),
        ] {
            let error = text.parse::<RulePrefix>().expect_err(text);
            assert_eq!(error.span, span, "{text}");
            assert!(error.message.contains(message), "{text}: {error}");
        }
    }
}
