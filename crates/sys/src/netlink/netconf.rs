//! Reads what the kernel announces about settings of links.

/// Forwarding of IPv6 packets was switched on or off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ForwardingEvent {
    /// The link; none if it is for all of them (`net.ipv6.conf.all.forwarding`).
    pub ifindex: Option<u32>,
    /// It is on.
    pub on: bool,
}

/// Reads a notification; `None` if it is of another family, about another setting, or about
/// everything of a link, which is how the kernel presents a new one.
pub(crate) fn decode(payload: &[u8]) -> Option<ForwardingEvent> {
    let (header, mut rest) = payload.split_at_checked(HEADER_LEN)?;
    if header.first() != Some(&AF_INET6) {
        return None;
    }
    let (mut ifindex, mut on) = (None, None);
    while let Some((&[length_low, length_high, kind_low, kind_high], _)) = rest.split_first_chunk()
    {
        let length = usize::from(u16::from_ne_bytes([length_low, length_high]));
        let kind = u16::from_ne_bytes([kind_low, kind_high]);
        let value = rest.get(ATTRIBUTE_LEN..length)?;
        match kind {
            IFINDEX => ifindex = Some(number(value)?),
            FORWARDING => on = Some(number(value)? != 0),
            _ => return None,
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    let ifindex = match ifindex? {
        ALL => None,
        // What new links begin with is no concern of those that are there.
        other => Some(u32::try_from(other).ok()?),
    };
    Some(ForwardingEvent { ifindex, on: on? })
}

fn number(value: &[u8]) -> Option<i32> {
    value.try_into().ok().map(i32::from_ne_bytes)
}

/// `RTM_NEWNETCONF`.
pub(crate) const NEW: u16 = 80;
/// `struct netconfmsg`, aligned.
const HEADER_LEN: usize = 4;
/// `struct nlattr`.
const ATTRIBUTE_LEN: usize = 4;
/// `NETCONFA_IFINDEX`.
const IFINDEX: u16 = 1;
/// `NETCONFA_FORWARDING`.
const FORWARDING: u16 = 2;
/// `NETCONFA_IFINDEX_ALL`.
const ALL: i32 = -1;
const AF_INET6: u8 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_news_of_forwarding_are_read() {
        let on = |ifindex, on| Some(ForwardingEvent { ifindex, on });
        for (family, attributes, expected) in [
            (AF_INET6, &[(IFINDEX, 7), (FORWARDING, 1)][..], on(Some(7), true)),
            (AF_INET6, &[(IFINDEX, ALL), (FORWARDING, 0)], on(None, false)),
            (AF_INET6, &[(IFINDEX, -2), (FORWARDING, 0)], None),
            (AF_INET6, &[(FORWARDING, 0)], None),
            (AF_INET6, &[(IFINDEX, 7)], None),
            (AF_INET6, &[(IFINDEX, 7), (FORWARDING, 0), (4, 0), (5, 0)], None),
            (2, &[(IFINDEX, 7), (FORWARDING, 1)], None),
        ] {
            let whole = message(family, attributes);
            assert_eq!(decode(&whole), expected, "{attributes:?}");
            for length in (0..whole.len()).filter(|_| expected.is_some()) {
                assert_eq!(decode(whole.get(..length).unwrap()), None, "{attributes:?}, {length}");
            }
        }
    }

    #[test]
    fn nonsense_ends() {
        for length in [0_u16, 3, 4, 5, 200] {
            let mut payload = vec![AF_INET6, 0, 0, 0];
            payload.extend(length.to_ne_bytes());
            payload.extend(IFINDEX.to_ne_bytes());
            payload.push(7);
            assert_eq!(decode(&payload), None, "{length}");
        }
    }

    fn message(family: u8, attributes: &[(u16, i32)]) -> Vec<u8> {
        let mut payload = vec![family, 0, 0, 0];
        for (kind, value) in attributes {
            payload.extend(8_u16.to_ne_bytes());
            payload.extend(kind.to_ne_bytes());
            payload.extend(value.to_ne_bytes());
        }
        payload
    }
}
