//! Plain counters: what was received, sent and dropped, and why.

use magpie_wire::Malformed;

use crate::NameCounters;

/// Why a well-formed message led to nothing.
///
/// The labels are stable: they name counters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Discard {
    /// The link is unknown, down, or has no usable link-layer address.
    LinkDown,
    /// The Ethernet source is one of our own: an echo, or two links bridged together.
    OwnFrame,
    /// The IPv6 source is one of our own addresses.
    OwnSource,
    /// A nonce of our own came back (RFC 7527 section 4).
    OwnNonce,
    /// A link-layer address option names one of our own.
    OwnLinkAddr,
    /// The target is our own address on the link it is asked for on: the kernel answers.
    OwnTarget,
    /// The target may not be proxied, or is in no prefix of the relay.
    OutOfScope,
    /// The target is on the asking link: it answers itself.
    SameLink,
    /// A proxy neighbor entry makes the kernel answer.
    KernelProxy,
    /// The same asker asked for the same target a moment ago.
    Repeated,
    /// The target did not answer a moment ago; it is not asked again yet.
    HeldDown,
    /// Too many askers wait for the same target.
    AskersFull,
    /// Too many resolutions of unknown targets are under way for askers on this link.
    ResolutionsFull,
    /// The rate of solicitations for new targets is used up on every link that could be asked.
    SolicitRate,
    /// The table of bindings is full: in all, on this link, or for this link-layer address.
    BindingsFull,
    /// A station defends more addresses than anybody can own.
    Defenses,
    /// Duplicate address detection that was relayed already, or that we relayed ourselves.
    DadRepeated,
    /// An advertisement without the link-layer address that was asked for.
    NoLinkAddr,
    /// An advertisement that answers nothing and tells nothing new.
    Unsolicited,
    /// The message would have been sent from a link that has no usable source address.
    NoSource,
    /// Too many messages wait for their time.
    DelayedFull,
    /// The route to the target belongs to somebody else and leads elsewhere.
    ForeignRoute,
    /// A rule or a list denies the target.
    Denied,
    /// A rule leaves it to the kernel's routes, and none leads to the target out of another link.
    NotRouted,
    /// Duplicate address detection of a target that a rule answers for together with many others:
    /// whether it is in use is not known.
    Unverified,
    /// Too many questions to the kernel are under way.
    LookupsFull,
    /// Too many targets wait to be announced on a link.
    NoticesFull,
}

impl Discard {
    /// Every reason, in the order of their discriminants.
    pub const ALL: [Self; 27] = [
        Self::LinkDown,
        Self::OwnFrame,
        Self::OwnSource,
        Self::OwnNonce,
        Self::OwnLinkAddr,
        Self::OwnTarget,
        Self::OutOfScope,
        Self::SameLink,
        Self::KernelProxy,
        Self::Repeated,
        Self::HeldDown,
        Self::AskersFull,
        Self::ResolutionsFull,
        Self::SolicitRate,
        Self::BindingsFull,
        Self::Defenses,
        Self::DadRepeated,
        Self::NoLinkAddr,
        Self::Unsolicited,
        Self::NoSource,
        Self::DelayedFull,
        Self::ForeignRoute,
        Self::Denied,
        Self::NotRouted,
        Self::Unverified,
        Self::LookupsFull,
        Self::NoticesFull,
    ];

    /// Returns the name of the counter, which never changes once released.
    pub const fn label(self) -> &'static str {
        match self {
            Self::LinkDown => "link-down",
            Self::OwnFrame => "own-frame",
            Self::OwnSource => "own-source",
            Self::OwnNonce => "own-nonce",
            Self::OwnLinkAddr => "own-lladdr",
            Self::OwnTarget => "own-target",
            Self::OutOfScope => "out-of-scope",
            Self::SameLink => "same-link",
            Self::KernelProxy => "kernel-proxy",
            Self::Repeated => "repeated",
            Self::HeldDown => "held-down",
            Self::AskersFull => "askers-full",
            Self::ResolutionsFull => "resolutions-full",
            Self::SolicitRate => "solicit-rate",
            Self::BindingsFull => "bindings-full",
            Self::Defenses => "defenses",
            Self::DadRepeated => "dad-repeated",
            Self::NoLinkAddr => "no-lladdr",
            Self::Unsolicited => "unsolicited",
            Self::NoSource => "no-source",
            Self::DelayedFull => "delayed-full",
            Self::ForeignRoute => "foreign-route",
            Self::Denied => "denied",
            Self::NotRouted => "not-routed",
            Self::Unverified => "unverified",
            Self::LookupsFull => "lookups-full",
            Self::NoticesFull => "notices-full",
        }
    }
}

/// What the engine has done since it started.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Frames handed to the engine.
    pub frames_received: u64,
    /// Neighbor Solicitations accepted, duplicate address detection included.
    pub solicits_received: u64,
    /// Neighbor Advertisements accepted.
    pub adverts_received: u64,
    /// Neighbor Solicitations sent to everybody.
    pub solicits_sent_multicast: u64,
    /// Neighbor Solicitations sent to one node.
    pub solicits_sent_unicast: u64,
    /// Solicited Neighbor Advertisements sent.
    pub adverts_sent: u64,
    /// Unsolicited Neighbor Advertisements sent, duplicate address defense included.
    pub adverts_sent_unsolicited: u64,
    /// Duplicate address detection probes relayed.
    pub dad_relayed: u64,
    /// Resolutions that found nobody.
    pub resolutions_failed: u64,
    /// Hosts that moved.
    pub moves: u64,
    /// Host routes that were gone without our doing, and were put back.
    pub routes_repaired: u64,
    /// What the reflector of names has done.
    pub names: NameCounters,
    malformed: [u64; Malformed::ALL.len()],
    discarded: [u64; Discard::ALL.len()],
}

impl Counters {
    /// Returns how many frames were dropped for a rule of the standards.
    pub fn malformed(&self, reason: Malformed) -> u64 {
        self.malformed.get(reason as usize).copied().unwrap_or_default()
    }

    /// Returns how many messages led to nothing for a reason of ours.
    pub fn discarded(&self, reason: Discard) -> u64 {
        self.discarded.get(reason as usize).copied().unwrap_or_default()
    }

    /// Returns every counter with its stable name.
    pub fn iter(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let plain = [
            ("frames_received", self.frames_received),
            ("solicits_received", self.solicits_received),
            ("adverts_received", self.adverts_received),
            ("solicits_sent_multicast", self.solicits_sent_multicast),
            ("solicits_sent_unicast", self.solicits_sent_unicast),
            ("adverts_sent", self.adverts_sent),
            ("adverts_sent_unsolicited", self.adverts_sent_unsolicited),
            ("dad_relayed", self.dad_relayed),
            ("resolutions_failed", self.resolutions_failed),
            ("moves", self.moves),
            ("routes_repaired", self.routes_repaired),
        ];
        let malformed = Malformed::ALL
            .iter()
            .map(|reason| (format!("malformed_{}", reason.label()), self.malformed(*reason)));
        let discarded = Discard::ALL
            .iter()
            .map(|reason| (format!("discarded_{}", reason.label()), self.discarded(*reason)));
        plain
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .chain(malformed)
            .chain(discarded)
            .chain(self.names.iter().map(|(name, value)| (format!("names_{name}"), value)))
    }

    pub(crate) fn count_malformed(&mut self, reason: Malformed) {
        if let Some(counter) = self.malformed.get_mut(reason as usize) {
            *counter += 1;
        }
    }

    pub(crate) fn count(&mut self, reason: Discard) {
        if let Some(counter) = self.discarded.get_mut(reason as usize) {
            *counter += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let mut counters = Counters::default();
        for reason in Discard::ALL {
            counters.count(reason);
        }
        for reason in Malformed::ALL {
            counters.count_malformed(reason);
        }
        for (index, reason) in Discard::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason:?}");
            assert_eq!(counters.discarded(reason), 1, "{reason:?}");
        }
        for (index, reason) in Malformed::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason:?}");
            assert_eq!(counters.malformed(reason), 1, "{reason:?}");
        }
    }
}
