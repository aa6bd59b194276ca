//! Sends the solicitations and sees who is answered.

use std::error::Error;
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_testnet::Frame;
use magpie_wire::{ALL_NODES, LinkAddr};

use crate::place::Place;
use crate::stimulus::{Shape, Source, Stimulus, Target};

/// What became of a solicitation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Seen {
    /// No advertisement came of it.
    Silent,
    /// The asker got the advertisement, as RFC 4861 section 7.2.4 wants it.
    Answered,
    /// There was an advertisement, but to somebody else, for something else, or one that the asker
    /// must not accept.
    Astray,
}

/// Sends all solicitations from the place's asker, and says what became of each, in their order.
pub(crate) fn ask(
    place: &mut Place,
    stimuli: &[Stimulus],
) -> Result<Vec<(&'static str, Seen)>, Box<dyn Error>> {
    place.asker.clear()?;
    place.isp.clear()?;
    let mut adverts = Vec::new();
    for is_late in [false, true] {
        let mut is_anything_sent = false;
        for stimulus in stimuli.iter().filter(|stimulus| stimulus.late == is_late) {
            place.asker.send(&stimulus.frame(place.asker.lladdr(), place.wan))?;
            is_anything_sent = true;
        }
        if is_anything_sent {
            let mut frames = place.asker.collect(WINDOW)?;
            frames.append(&mut place.isp.collect(Duration::ZERO)?);
            adverts.extend(frames.iter().filter_map(|frame| Advertised::read(frame, place.wan)));
        }
    }
    let asker = place.asker.lladdr();
    Ok(stimuli
        .iter()
        .map(|stimulus| (stimulus.name, judge(stimulus, stimuli, &adverts, asker)))
        .collect())
}

/// An advertisement of the gateway's, correct or not.
#[derive(Clone, Copy, Debug)]
struct Advertised {
    to: LinkAddr,
    destination: Ipv6Addr,
    hop_limit: u8,
    target: Ipv6Addr,
    overrides: bool,
}

impl Advertised {
    fn read(frame: &Frame, gateway: LinkAddr) -> Option<Self> {
        let (to, rest) = frame.bytes.split_first_chunk::<6>()?;
        let from = LinkAddr(*rest.first_chunk::<6>()?);
        let message = frame.icmpv6()?;
        let (flags, rest) = message.body.split_first_chunk::<4>()?;
        let target = Ipv6Addr::from(*rest.first_chunk::<16>()?);
        (message.kind == ADVERTISEMENT && from == gateway).then_some(Self {
            to: LinkAddr(*to),
            destination: message.destination,
            hop_limit: message.hop_limit,
            target,
            overrides: flags[0] & OVERRIDE != 0,
        })
    }
}

fn judge(stimulus: &Stimulus, all: &[Stimulus], adverts: &[Advertised], asker: LinkAddr) -> Seen {
    let source = stimulus.source_address();
    let target = stimulus.target_address();
    let mut seen = Seen::Silent;
    for advert in adverts {
        // What the kernel says of its own address overrides; a proxy's word does not.
        if stimulus.target == Target::Own && advert.overrides {
            continue;
        }
        let is_answer = if stimulus.source == Source::Unspecified {
            advert.destination == ALL_NODES
        } else {
            advert.destination == source && advert.to == asker
        };
        let is_for_another = all.iter().any(|other| {
            other.number != stimulus.number && other.source_address() == advert.destination
        });
        if is_answer && advert.target == target && advert.hop_limit == 255 {
            if stimulus.shape != Shape::Truncated {
                return Seen::Answered;
            }
            seen = Seen::Astray;
        } else if advert.destination == source || (advert.target == target && !is_for_another) {
            seen = Seen::Astray;
        }
    }
    seen
}

/// Longer than ndppd waits for a host to answer, and than Magpie does.
const WINDOW: Duration = Duration::from_millis(1500);
const ADVERTISEMENT: u8 = 136;
const OVERRIDE: u8 = 0x20;
