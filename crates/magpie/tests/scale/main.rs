//! Many links, many hosts: how fast they are served, and at what cost. Prints its figures.
#![forbid(unsafe_code)]

#[path = "../common/mod.rs"]
mod common;
mod crash;
mod crowd;
mod links;
mod many;

use std::process::ExitCode;

use common::Outcome;

fn main() -> ExitCode {
    // Figures mean little where tests compete for the processor.
    common::run_all(
        [
            ("lnk_16_fifty_links_come_and_go", links::fifty_links_come_and_go as fn() -> Outcome),
            ("two_thousand_hosts_are_back_after_a_crash", crash::two_thousand_hosts_are_back),
            ("mcl_05_ten_thousand_hosts_are_served", many::ten_thousand_hosts_are_served),
        ],
        1,
    )
}
