//! Which addresses in answers are of use on another link.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::filter::Place;
use super::settings::Addresses;
use super::view::Verdict;

/// What a relay knows of who can be reached from where.
pub(crate) trait Reach {
    /// Whether it knows anything: without Neighbor Discovery it does not.
    fn is_informed(&self) -> bool;

    /// Whether an address is this host's own.
    fn is_own(&self, address: IpAddr) -> bool;

    /// Whether hosts on `to` reach `address`, which is said to be on `from`, through the relay.
    fn is_reachable(&self, address: Ipv6Addr, from: Place, to: Place) -> bool;
}

/// Whether an address means nothing, or something else, on another link (RFC 4291 section 2.5,
/// RFC 3927 section 2.7, RFC 6890 section 2.2.2), or is none of a host.
pub(crate) fn is_link_scoped(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.octets()[0] == 0
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || address == Ipv4Addr::BROADCAST
        }
        IpAddr::V6(address) => {
            address.is_unspecified()
                || address.is_loopback()
                || address.is_unicast_link_local()
                || address.is_multicast()
                || address.to_ipv4_mapped().is_some()
        }
    }
}

impl Addresses {
    /// Whether an address that is said to be on `from` crosses to `to`.
    pub(super) fn check(
        self,
        address: IpAddr,
        from: Place,
        to: Place,
        reach: &impl Reach,
    ) -> Result<(), Verdict> {
        if is_link_scoped(address) {
            return Err(Verdict::LinkScoped);
        }
        let is_useful = self == Self::All
            || !reach.is_informed()
            || reach.is_own(address)
            || match address {
                IpAddr::V4(_) => self == Self::WithIpv4,
                IpAddr::V6(address) => reach.is_reachable(address, from, to),
            };
        if is_useful { Ok(()) } else { Err(Verdict::Unreachable) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LinkId, Member};

    const FROM: Place = Place { link: LinkId(2), member: Member(0) };
    const TO: Place = Place { link: LinkId(3), member: Member(1) };

    /// One address is reachable, one is our own.
    struct Known {
        is_informed: bool,
    }

    impl Reach for Known {
        fn is_informed(&self) -> bool {
            self.is_informed
        }

        fn is_own(&self, address: IpAddr) -> bool {
            ["192.0.2.1", "2001:db8::1"].map(|own| own.parse().unwrap()).contains(&address)
        }

        fn is_reachable(&self, address: Ipv6Addr, from: Place, to: Place) -> bool {
            (from, to) == (FROM, TO) && address == "2001:db8::41".parse::<Ipv6Addr>().unwrap()
        }
    }

    #[test]
    fn what_is_of_no_use_elsewhere_never_crosses() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "169.254.1.2",
            "224.0.0.251",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "ff02::fb",
            "::ffff:192.0.2.1",
        ] {
            let address = address.parse().unwrap();
            for addresses in [Addresses::Reachable, Addresses::WithIpv4, Addresses::All] {
                let known = Known { is_informed: false };
                let verdict = addresses.check(address, FROM, TO, &known);
                assert_eq!(verdict, Err(Verdict::LinkScoped), "{address}");
            }
        }
    }

    #[test]
    fn addresses_cross_where_they_can_be_reached() {
        use Addresses::{All, Reachable, WithIpv4};
        for (address, from, crosses_with) in [
            ("2001:db8::41", FROM, [true, true, true]),
            ("2001:db8::41", TO, [false, false, true]),
            ("2001:db8::42", FROM, [false, false, true]),
            ("192.0.2.41", FROM, [false, true, true]),
            ("192.0.2.1", FROM, [true, true, true]),
            ("2001:db8::1", TO, [true, true, true]),
        ] {
            let address = address.parse().unwrap();
            let to = if from == FROM { TO } else { FROM };
            for (addresses, crosses) in [Reachable, WithIpv4, All].into_iter().zip(crosses_with) {
                let known = Known { is_informed: true };
                let expected = if crosses { Ok(()) } else { Err(Verdict::Unreachable) };
                assert_eq!(addresses.check(address, from, to, &known), expected, "{address}");
                let known = Known { is_informed: false };
                assert_eq!(addresses.check(address, from, to, &known), Ok(()), "{address}");
            }
        }
    }
}
