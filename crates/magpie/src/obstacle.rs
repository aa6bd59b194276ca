//! Says why a link that was asked for is not served.

use std::collections::BTreeMap;
use std::fmt;

/// Why a link that was asked for is not served, or not any longer.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Obstacle {
    /// There is no device of that name.
    Missing,
    /// The device is none of those that were asked for any longer.
    Released,
    /// It is a port of a bridge, which gets all frames instead.
    BridgePort {
        /// Name of the bridge, if it can be used in its stead.
        bridge: Option<String>,
    },
    /// Frames on it have a header that is neither that of Ethernet nor none at all.
    OtherLinkLayer,
    /// It is the loopback device under another name.
    Loopback,
    /// It cannot carry IPv6.
    SmallMtu,
    /// It, or its bridge, is served as another link.
    Taken,
    /// It stands on another link of the relay, or that on it, so that they cannot hear each other.
    Deaf {
        /// The other link.
        other: String,
    },
    /// It belongs to another VRF than the first link of the relay.
    OtherVrf,
}

/// What it takes until a link can be served.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Cure {
    /// Waiting: things of that kind change by themselves.
    Time,
    /// Somebody has to put the device elsewhere, or to configure something else.
    Rearrangement,
    /// Something else has to be configured: such a device is never a link.
    Configuration,
}

impl Obstacle {
    /// What helps.
    pub(crate) fn cure(&self) -> Cure {
        match self {
            Self::Missing | Self::Released | Self::SmallMtu | Self::Taken => Cure::Time,
            Self::Deaf { .. } | Self::OtherVrf => Cure::Rearrangement,
            Self::BridgePort { .. } | Self::OtherLinkLayer | Self::Loopback => Cure::Configuration,
        }
    }

    /// Whether the daemon refuses to serve anything with such a link. What may be rearranged while it
    /// runs is no reason: while a machine boots devices are not in their places yet, and the other
    /// links shall not wait for that.
    pub(crate) fn is_mistake(&self) -> bool {
        self.cure() == Cure::Configuration
    }

    /// Whether somebody has to do something about it, which who asks for a check is there for.
    pub(crate) fn takes_a_hand(&self) -> bool {
        self.cure() > Cure::Time
    }

    /// The same about so many, as what follows their number and a form of "to be".
    fn of_several(&self, count: usize) -> Option<String> {
        let ports = if count == 1 { "a port" } else { "ports" };
        Some(match self {
            Self::BridgePort { bridge: Some(bridge) } => {
                format!("{ports} of {bridge}, which could be given instead")
            }
            Self::BridgePort { bridge: None } => format!("{ports} of a bridge"),
            Self::OtherLinkLayer => "of a kind that is not supported".to_owned(),
            Self::SmallMtu => "unable to carry IPv6, which takes an MTU of 1280".to_owned(),
            Self::Deaf { other } => {
                format!("unable to hear {other}, on the same device")
            }
            Self::OtherVrf => "in another VRF than the first link".to_owned(),
            Self::Missing | Self::Released | Self::Loopback | Self::Taken => return None,
        })
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such interface yet; it is waited for"),
            Self::Released => f.write_str("it is none of those that were asked for any longer"),
            Self::BridgePort { bridge: Some(bridge) } => write!(
                f,
                "it is a port of the bridge {bridge}, which gets all its frames: give {bridge} \
                 instead"
            ),
            Self::BridgePort { bridge: None } => f.write_str(
                "it is a port of a bridge, which gets all frames instead: give the bridge",
            ),
            Self::OtherLinkLayer => f.write_str("it has neither Ethernet frames nor bare IPv6"),
            Self::Loopback => f.write_str("the loopback interface has no neighbors"),
            Self::SmallMtu => f.write_str("its MTU is below 1280, so that it has no IPv6"),
            Self::Taken => f.write_str("it, or its bridge, is served as another link"),
            Self::Deaf { other } => write!(
                f,
                "it and {other} share a device and cannot hear each other: put them into relays of \
                 their own, or connect them by a bridge"
            ),
            Self::OtherVrf => f.write_str(
                "it belongs to another VRF than the first link of the relay, whose table has the \
                 host routes: put it into that VRF, or set route-table",
            ),
        }
    }
}

/// What is in the way of several devices, in a few words; nothing if nothing is.
pub(crate) fn summary<'a>(obstacles: impl Iterator<Item = &'a Obstacle>) -> String {
    let mut counts: BTreeMap<&Obstacle, usize> = BTreeMap::new();
    for obstacle in obstacles {
        *counts.entry(obstacle).or_default() += 1;
    }
    let parts = counts.into_iter().filter_map(|(obstacle, count)| {
        let verb = if count == 1 { "is" } else { "are" };
        Some(format!("{count} {verb} {}", obstacle.of_several(count)?))
    });
    parts.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_refuses_to_start_is_wrong_in_a_check_too_but_not_the_reverse() {
        let port = Obstacle::BridgePort { bridge: None };
        let deaf = Obstacle::Deaf { other: "eth0".to_owned() };
        for (obstacle, refuses_to_start, is_wrong) in [
            (Obstacle::Missing, false, false),
            (Obstacle::Released, false, false),
            (Obstacle::SmallMtu, false, false),
            (Obstacle::Taken, false, false),
            (deaf, false, true),
            (Obstacle::OtherVrf, false, true),
            (port, true, true),
            (Obstacle::OtherLinkLayer, true, true),
            (Obstacle::Loopback, true, true),
        ] {
            let answers = (obstacle.is_mistake(), obstacle.takes_a_hand());
            assert_eq!(answers, (refuses_to_start, is_wrong), "{obstacle:?}");
        }
    }

    #[test]
    fn those_with_the_same_obstacle_are_counted() {
        let port = |bridge: &str| Obstacle::BridgePort { bridge: Some(bridge.to_owned()) };
        let all = [port("br0"), Obstacle::OtherVrf, port("br0"), Obstacle::Loopback, port("br0")];
        assert_eq!(
            summary(all.iter()),
            "3 are ports of br0, which could be given instead; 1 is in another VRF than the first \
             link"
        );
        assert_eq!(
            summary([port("br1")].iter()),
            "1 is a port of br1, which could be given instead"
        );
        assert_eq!(summary([].iter()), "");
    }
}
