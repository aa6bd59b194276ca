//! Entries of `allow` and `deny`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::ValueError;
use super::prefix::{address, prefix};
use crate::model::Pattern;
use crate::suggest::closest;

impl FromStr for Pattern {
    type Err = ValueError;

    /// Reads an entry. Whether an expression makes sense is seen only with the others of its list.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Some((kind, rest)) = text.split_once(':') {
            let offset = kind.len() + 1;
            match kind {
                "iid" => return interface_identifier(rest).map_err(|error| error.within(offset)),
                "oui" => return oui(rest).map_err(|error| error.within(offset)),
                "expr" => return expression(rest).map_err(|error| error.within(offset)),
                _ => {}
            }
            let letters = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphabetic());
            if letters && !is_group(kind) {
                let error =
                    ValueError::new(0..kind.len(), format!("`{kind}:` is no kind of pattern"));
                return Err(match closest(kind, KINDS) {
                    Some(meant) => error.label(format!("did you mean `{meant}:`?")),
                    None => error.label("expected `iid:`, `oui:`, `expr:`, or an address"),
                });
            }
        }
        match text.split_once('-') {
            Some((first, last)) => range(first, last),
            None => prefix(text).map(Self::Prefix),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(net) if net.prefix_len() == 128 => net.addr().fmt(f),
            Self::Prefix(net) => net.fmt(f),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::InterfaceIdentifier { mask, value } => write_identifier(f, *mask, *value),
            Self::Oui([a, b, c]) => write!(f, "oui:{a:02x}:{b:02x}:{c:02x}"),
            Self::Expression(text) => write!(f, "expr:{text}"),
        }
    }
}

/// `021d:55**:*:*`, or `021d:5500::/ffff:fc00:0:0`-like: value and mask, both in four groups.
fn interface_identifier(text: &str) -> Result<Pattern, ValueError> {
    let (pattern, mask) = match text.split_once('/') {
        Some((pattern, mask)) => (pattern, Some(mask)),
        None => (text, None),
    };
    let (digits_known, value) = groups(pattern, mask.is_none())?;
    let Some(mask) = mask else {
        return Ok(Pattern::InterfaceIdentifier { mask: digits_known, value });
    };
    let offset = pattern.len() + 1;
    let (_, mask) = groups(mask, false).map_err(|error| error.within(offset))?;
    if value & !mask != 0 {
        return Err(ValueError::new(
            0..pattern.len(),
            format!("`{text}` never matches: it has bits set that its mask leaves out"),
        )
        .label(format!("did you mean `{}`?", Groups(value & mask))));
    }
    Ok(Pattern::InterfaceIdentifier { mask, value })
}

/// Reads four groups: which bits are given, and what they are.
fn groups(text: &str, stars: bool) -> Result<(u64, u64), ValueError> {
    let (mut mask, mut value) = (0, 0);
    let mut offset = 0;
    let mut count = 0;
    for group in text.split(':') {
        let at = offset..offset + group.len();
        offset = at.end + 1;
        count += 1;
        let (known, digits) = self::group(group, stars).map_err(|error| error.within(at.start))?;
        mask = mask << 16 | u64::from(known);
        value = value << 16 | u64::from(digits);
        if count > 4 {
            break;
        }
    }
    if count == 4 {
        return Ok((mask, value));
    }
    Err(ValueError::new(0..text.len(), "an interface identifier has four groups")
        .label(if count > 4 { "more than four" } else { "fewer than four" })
        .help(
            "`iid:021d:55**:*:*`: hexadecimal digits, `*` for any digit, and alone for any group",
        ))
}

/// Reads one group.
fn group(text: &str, stars: bool) -> Result<(u16, u16), ValueError> {
    let whole = 0..text.len();
    if text == "*" && stars {
        return Ok((0, 0));
    }
    let (mut mask, mut value) = (0u16, 0u16);
    for (offset, c) in text.char_indices() {
        let digit = match c.to_digit(16) {
            Some(digit) => (0xf, u16::try_from(digit).unwrap_or_default()),
            None if c == '*' && stars => (0, 0),
            None => {
                let error = ValueError::new(
                    offset..offset + c.len_utf8(),
                    format!("`{c}` is not a hexadecimal digit"),
                );
                return Err(match c {
                    '*' => error.label("where a mask is given, digits stand before it"),
                    _ => error.label("expected 0 to 9, a to f, or `*`"),
                });
            }
        };
        mask = mask << 4 | digit.0;
        value = value << 4 | digit.1;
    }
    match text.len() {
        0 => Err(ValueError::new(whole, "a group of the interface identifier is empty")
            .label("write all four groups: `0` or `*` here")),
        1..4 if text.contains('*') => {
            Err(ValueError::new(whole, format!("it cannot be told which digits `{text}` means"))
                .label("write all four characters of a group with `*`"))
        }
        // Fewer digits have zeros before them, as in addresses.
        1..=4 if !text.contains('*') => Ok((u16::MAX, value)),
        4 => Ok((mask, value)),
        _ => Err(ValueError::new(whole, format!("`{text}` is too long for a group"))
            .label("at most four digits")),
    }
}

/// `00:1d:55`.
fn oui(text: &str) -> Result<Pattern, ValueError> {
    let separator = if text.contains('-') { '-' } else { ':' };
    let octets: Option<Vec<u8>> = text
        .split(separator)
        .map(|octet| match octet.len() {
            1 | 2 if !octet.starts_with('+') => u8::from_str_radix(octet, 16).ok(),
            _ => None,
        })
        .collect();
    match octets.as_deref() {
        Some(&[a, b, c]) => Ok(Pattern::Oui([a, b, c])),
        _ => Err(ValueError::new(0..text.len(), format!("`{text}` is not an OUI"))
            .label("expected the first three octets of a link-layer address")
            .help(
                "`oui:00:1d:55`: as in the link-layer address, not as in the interface identifier",
            )),
    }
}

fn expression(text: &str) -> Result<Pattern, ValueError> {
    match text.trim() {
        "" => Err(ValueError::new(0..text.len(), "the expression is empty")
            .label("expected something like `(HOST & 0xffff) == 0x77`")),
        text => Ok(Pattern::Expression(text.to_owned())),
    }
}

fn range(first: &str, last: &str) -> Result<Pattern, ValueError> {
    let offset = first.len() + 1;
    let (from, to): (Ipv6Addr, Ipv6Addr) = (
        address(first.trim()).map_err(|error| error.within(leading(first)))?,
        address(last.trim()).map_err(|error| error.within(offset + leading(last)))?,
    );
    if from > to {
        return Err(ValueError::new(0..offset + last.len(), "the range ends before it begins")
            .label(format!("did you mean `{to}-{from}`?")));
    }
    Ok(Pattern::Range(from, to))
}

/// Octets of blanks at the beginning.
fn leading(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// Whether a text can be a group of an address.
fn is_group(text: &str) -> bool {
    text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn write_identifier(f: &mut fmt::Formatter<'_>, mask: u64, value: u64) -> fmt::Result {
    let value = value & mask;
    let nibbles = (0..16).rev().map(|index| (index, mask >> (4 * index) & 0xf));
    if nibbles.clone().any(|(_, bits)| bits != 0 && bits != 0xf) {
        return write!(f, "iid:{}/{}", Groups(value), Groups(mask));
    }
    f.write_str("iid:")?;
    for group in (0..4).rev() {
        if mask >> (16 * group) & u64::from(u16::MAX) == 0 {
            f.write_str("*")?;
        } else {
            for (index, bits) in nibbles.clone().filter(|(index, _)| index / 4 == group) {
                match bits {
                    0 => f.write_str("*")?,
                    _ => write!(f, "{:x}", value >> (4 * index) & 0xf)?,
                }
            }
        }
        if group > 0 {
            f.write_str(":")?;
        }
    }
    Ok(())
}

/// Four groups of hexadecimal digits.
struct Groups(u64);

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = |index: u32| self.0 >> (16 * index) & 0xffff;
        write!(f, "{:x}:{:x}:{:x}:{:x}", group(3), group(2), group(1), group(0))
    }
}

const KINDS: [&str; 3] = ["iid", "oui", "expr"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_and_written() {
        let identifier = |mask, value| Pattern::InterfaceIdentifier { mask, value };
        for (text, pattern, written) in [
            ("2001:db8::1", Pattern::Prefix("2001:db8::1/128".parse().unwrap()), "2001:db8::1"),
            ("abcd::/16", Pattern::Prefix("abcd::/16".parse().unwrap()), "abcd::/16"),
            ("::/0", Pattern::Prefix("::/0".parse().unwrap()), "::/0"),
            (
                "2001:db8::10 - 2001:db8::1f",
                Pattern::Range("2001:db8::10".parse().unwrap(), "2001:db8::1f".parse().unwrap()),
                "2001:db8::10-2001:db8::1f",
            ),
            (
                "iid:021d:55**:*:*",
                identifier(0xffff_ff00_0000_0000, 0x021d_5500_0000_0000),
                "iid:021d:55**:*:*",
            ),
            ("iid:*:*:*:1", identifier(0xffff, 1), "iid:*:*:*:0001"),
            ("iid:*:*:*:****", identifier(0, 0), "iid:*:*:*:*"),
            ("iid:0:0:0:8/0:0:0:c", identifier(0xc, 0x8), "iid:0:0:0:8/0:0:0:c"),
            ("oui:00:1D:55", Pattern::Oui([0, 0x1d, 0x55]), "oui:00:1d:55"),
            ("oui:00-1d-55", Pattern::Oui([0, 0x1d, 0x55]), "oui:00:1d:55"),
            (
                "expr: HOST == 0x77",
                Pattern::Expression("HOST == 0x77".to_owned()),
                "expr:HOST == 0x77",
            ),
        ] {
            let read: Pattern = text.parse().expect(text);
            assert_eq!(read, pattern, "{text}");
            assert_eq!(read.to_string(), written, "{text}");
            assert_eq!(written.parse(), Ok(pattern), "{written}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_at_its_place() {
        for (text, span, message) in [
            ("iid:021d:55", 4..11, "four groups"),
            ("iid:1:2:3:4:5", 4..13, "four groups"),
            ("iid:021d:5g**:*:*", 10..11, "hexadecimal"),
            ("iid:021d:5*:*:*", 9..11, "which digits"),
            ("iid:021d::*:*", 9..9, "empty"),
            ("iid:021d:12345:*:*", 9..14, "too long"),
            ("iid:0:0:0:8/0:0:0:7", 4..11, "never matches"),
            ("iid:0:0:0:*/0:0:0:7", 10..11, "hexadecimal"),
            ("oui:00:1d", 4..9, "not an OUI"),
            ("oui:00:1d:55:aa", 4..15, "not an OUI"),
            ("oui:+0:1d:55", 4..12, "not an OUI"),
            ("uoi:00:1d:55", 0..3, "no kind"),
            ("mac:00:1d:55", 0..3, "no kind"),
            ("expr:", 5..5, "empty"),
            ("2001:db8::2-2001:db8::1", 0..23, "ends before"),
            ("2001:db8::2-1f", 12..14, "not an IPv6 address"),
            ("2001:db8::2/64", 0..14, "bits beyond"),
        ] {
            let error = text.parse::<Pattern>().expect_err(text);
            assert_eq!(error.span, span, "{text}: {error}");
            assert!(error.message.contains(message), "{text}: {error}");
        }
    }
}
