//! Other ICMPv6, as far as the engine decides.

use std::time::Duration;

use crate::bench::{Bench, ok_na, probe};
use crate::frame::{dad, na, ns};
use crate::names::{DN, EVIL, MA, MH, U, UP, X, Y, ip};

/// The ICMPv6 types that the engine may send.
fn is_allowed(bytes: &[u8]) -> bool {
    let at = if bytes[20] == 0 { 14 + 40 + 8 } else { 14 + 40 };
    matches!(bytes[at], 135 | 136 | 151 | 153)
}

#[test]
fn icm_02_a_routers_probe_is_answered() {
    let mut bench = Bench::known_x();
    bench.hear(UP, &ns(X).unicast(MA));
    assert_eq!(bench.heard_in_time(), [(0, ok_na(X))]);
}

#[test]
fn icm_03_no_redirects() {
    let mut bench = Bench::known_x();
    for frame in [ns(X), ns(X).unicast(MA), ns(Y), na(X, MH).kind(137).flags("")] {
        bench.hear(UP, &frame);
        bench.hear(DN, &frame);
        bench.advance(Duration::from_secs(1));
    }
    assert!(bench.frames().iter().all(|(_, bytes)| is_allowed(bytes)));
}

#[test]
fn icm_04_a_host_that_is_gone_is_no_longer_advertised() {
    let mut bench = Bench::known_x();
    bench.power_off(X);
    bench.advance(Duration::from_secs(46));
    bench.hear(UP, &ns(X));
    bench.advance(Duration::from_secs(4));
    let said = bench.heard();
    assert!(said.iter().all(|text| !text.contains("NA")), "{said:?}");
    assert_eq!(said.first(), Some(&probe(X, MH)));
    bench.hear(UP, &ns(X));
    bench.advance(Duration::from_secs(4));
    assert!(bench.heard().iter().all(|text| *text != ok_na(X)));
}

#[test]
fn icm_09_no_errors_whatever_comes_in() {
    let mut bench = Bench::known_x();
    let frames = [
        ns(X).code(3),
        ns(X).behind(60, &[58, 0, 1, 4, 0, 0, 0, 0]),
        ns(Y).source(ip("ff02::1")),
        dad(X, EVIL).unicast(MA),
        na(X, MH).kind(1),
        na(X, MH).kind(128).to(MA, U),
    ];
    for frame in frames {
        bench.hear(UP, &frame);
        bench.hear(DN, &frame);
    }
    bench.silence();
}
