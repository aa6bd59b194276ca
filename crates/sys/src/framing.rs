//! Tells how packets stand in the frames of a link.

/// What a frame on a link begins with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Framing {
    /// An Ethernet header.
    #[default]
    Ethernet,
    /// The IPv6 header: the link has no link-layer addresses, such as a tunnel or PPP,
    /// or hides them.
    Bare,
}

impl Framing {
    /// Tells how frames look on links of a kind, given as an `ARPHRD_` number.
    ///
    /// There is none for the loopback link, which has no neighbors, and for links whose addresses
    /// are of another kind, such as IP over InfiniBand and IEEE 802.15.4: Neighbor Discovery has
    /// options of other sizes there.
    pub fn of(link_type: u16) -> Option<Self> {
        match link_type {
            libc::ARPHRD_ETHER => Some(Self::Ethernet),
            libc::ARPHRD_NONE
            | libc::ARPHRD_PPP
            | libc::ARPHRD_TUNNEL
            | libc::ARPHRD_TUNNEL6
            | libc::ARPHRD_SIT
            | libc::ARPHRD_IPGRE
            | ARPHRD_IP6GRE
            | ARPHRD_RAWIP => Some(Self::Bare),
            _ => None,
        }
    }
}

/// Tunnels that carry GRE over IPv6.
const ARPHRD_IP6GRE: u16 = 823;
/// Modems that take IP packets as they are.
const ARPHRD_RAWIP: u16 = 519;

#[cfg(test)]
mod tests {
    use super::Framing;

    #[test]
    fn kinds_of_links_are_told_apart() {
        for (link_type, framing) in [
            (1, Some(Framing::Ethernet)),
            (512, Some(Framing::Bare)),
            (519, Some(Framing::Bare)),
            (768, Some(Framing::Bare)),
            (769, Some(Framing::Bare)),
            (776, Some(Framing::Bare)),
            (778, Some(Framing::Bare)),
            (823, Some(Framing::Bare)),
            (65534, Some(Framing::Bare)),
            (32, None),
            (772, None),
            (803, None),
            (804, None),
            (65535, None),
        ] {
            assert_eq!(Framing::of(link_type), framing, "{link_type}");
        }
    }
}
