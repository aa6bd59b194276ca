//! Names the caps of a relay, and of what carries names, as a configuration does.

use magpie_engine::{Limits, MdnsLimits};

/// One cap.
pub(crate) enum Cap<'l> {
    /// How many of something.
    Count(&'l mut usize),
    /// How many per second.
    Rate(&'l mut u32),
}

/// Goes through all caps, each with its key and the least that it can be.
pub(crate) fn each_cap(limits: &mut Limits, mut visit: impl FnMut(&'static str, usize, Cap<'_>)) {
    let Limits {
        bindings,
        bindings_per_link,
        bindings_per_lladdr,
        unverified_per_link,
        resolutions_per_link,
        kernel_resolutions_per_link,
        groups_per_link,
        held_down,
        seen,
        solicits_per_second,
        probes_per_second,
        joins_per_second,
    } = limits;
    visit("bindings", 1, Cap::Count(bindings));
    visit("bindings-per-link", 1, Cap::Count(bindings_per_link));
    visit("bindings-per-lladdr", 1, Cap::Count(bindings_per_lladdr));
    visit("unverified-per-link", 1, Cap::Count(unverified_per_link));
    visit("resolutions-per-link", 1, Cap::Count(resolutions_per_link));
    visit("kernel-resolutions-per-link", 1, Cap::Count(kernel_resolutions_per_link));
    visit("groups-per-link", 1, Cap::Count(groups_per_link));
    visit("held-down", 1, Cap::Count(held_down));
    visit("seen", 0, Cap::Count(seen));
    visit("solicits-per-second", 1, Cap::Rate(solicits_per_second));
    visit("probes-per-second", 1, Cap::Rate(probes_per_second));
    visit("joins-per-second", 1, Cap::Rate(joins_per_second));
}

/// Goes through the caps of what carries names, each with its key.
pub(crate) fn each_mdns_cap(limits: &mut MdnsLimits, mut visit: impl FnMut(&'static str, Cap<'_>)) {
    let MdnsLimits { names_per_link, packets_per_second, packets_per_source, legacy_per_source } =
        limits;
    visit("names-per-link", Cap::Count(names_per_link));
    visit("packets-per-second", Cap::Rate(packets_per_second));
    visit("packets-per-source", Cap::Rate(packets_per_source));
    visit("legacy-per-source", Cap::Count(legacy_per_source));
}
