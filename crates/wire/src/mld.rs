//! What a router says to multicast listeners and to the switches that snoop on them: Multicast
//! Router Discovery (RFC 4286). Listener queries and reports (RFC 3810) are recognized, not read.

use std::time::Duration;

use crate::BufferTooSmall;
use crate::writer::Writer;

/// A Router Alert for MLD, padded to eight octets (RFC 2711 section 2.1), as the hop-by-hop
/// header in front of an ICMPv6 message.
pub(crate) const ROUTER_ALERT: [u8; 8] = [crate::ipv6::ICMPV6, 0, 5, 2, 0, 0, 1, 0];

/// A Multicast Router Advertisement (RFC 4286 section 4): traffic for groups that nobody joined
/// is wanted on this port all the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MulticastRouterAdvert {
    /// Time between advertisements, 4 to 180 seconds; fractions are dropped.
    pub interval: Duration,
    /// MLD's Query Interval, or zero where no querier speaks; at most 65 535 seconds.
    pub query_interval: Duration,
    /// MLD's Robustness Variable, or zero.
    pub robustness: u16,
}

impl MulticastRouterAdvert {
    /// The interval stands in the place of the ICMPv6 code.
    pub(crate) fn code(&self) -> u8 {
        u8::try_from(self.interval.as_secs()).unwrap_or(u8::MAX)
    }

    pub(crate) fn parse(code: u8, body: &[u8]) -> Option<Self> {
        let [a, b, c, d, ..] = *body else { return None };
        Some(Self {
            interval: Duration::from_secs(code.into()),
            query_interval: Duration::from_secs(u16::from_be_bytes([a, b]).into()),
            robustness: u16::from_be_bytes([c, d]),
        })
    }

    pub(crate) fn emit(&self, to: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        let query_interval = u16::try_from(self.query_interval.as_secs()).unwrap_or(u16::MAX);
        to.put(&query_interval.to_be_bytes())?;
        to.put(&self.robustness.to_be_bytes())
    }
}
