//! The gateway's own IPv4 addresses and the kernel's reverse path filter make no difference.

use std::net::IpAddr;

use magpie_wire::dns::kind;

use crate::common::Outcome;
use crate::message::{Draft, Rec};
use crate::place::{Inner, Place, SOON, address4, magpie};
use crate::speaker::V4;
use crate::{Scenario, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    let layouts = [
        ("equal_addresses_on_both_links", Some((2, 24))),
        ("an_inner_link_without_an_address", None),
        ("a_single_address_on_the_inner_link", Some((2, 32))),
    ];
    let layouts = layouts.into_iter().flat_map(|layout| [0, 1, 2].map(|filter| (layout, filter)));
    layouts
        .map(|((name, lan), rp_filter)| {
            let inner = Inner { lan, rp_filter, ..Inner::default() };
            scenario(&format!("{name}_with_rp_filter_{rp_filter}"), move || names_cross(inner))
        })
        .collect()
}

fn names_cross(inner: Inner) -> Outcome {
    let place = Place::with(inner)?;
    let magpie = magpie(&place.gateway)?;
    // Nobody has heard of either of them before.
    let (mut above, mut below) =
        (place.speaker("above", "up", 77)?, place.speaker("below", "down", 88)?);
    let own = IpAddr::from(address4(2));
    for (name, number, outwards) in [("inside.local", 88, false), ("outside.local", 77, true)] {
        let (asker, owner) =
            if outwards { (&mut below, &mut above) } else { (&mut above, &mut below) };
        asker.say(V4, &Draft::query().question(name, kind::A))?;
        let question = owner.expect(SOON, "the question", |heard| {
            (heard.family() == V4 && heard.asks(name, kind::A)).then(|| heard.clone())
        })?;
        assert_eq!((question.source.ip(), question.hop_limit), (own, 255), "{question}");
        owner.say(V4, &Draft::response().answer(&Rec::a(name, address4(number))))?;
        let answer = asker.expect(SOON, "the answer", |heard| {
            (heard.family() == V4 && heard.answers(name, kind::A)).then(|| heard.clone())
        })?;
        assert_eq!((answer.source.ip(), answer.hop_limit), (own, 255), "{answer}");
        assert_eq!(answer.addresses(), [IpAddr::from(address4(number))]);
    }
    magpie.stop()?;
    Ok(())
}
