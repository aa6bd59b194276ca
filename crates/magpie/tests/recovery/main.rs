//! What disturbs a network, one test each, under continuous ping in all directions: the daemon goes
//! on, and traffic comes back within seconds. Then a thousand disturbances in random order.
#![forbid(unsafe_code)]

mod churn;
#[path = "../common/mod.rs"]
mod common;
mod disturbance;
#[expect(dead_code, reason = "made for more scenarios than these")]
#[path = "../island/place.rs"]
mod place;
mod random;
mod ruleset;
mod scene;

use std::process::ExitCode;

use common::Outcome;
use disturbance::DISTURBANCES;

/// A test and its name.
type Scenario = (&'static str, Box<dyn FnOnce() -> Outcome + Send>);

fn main() -> ExitCode {
    // The random ones first, since they take minutes.
    let mut tests: Vec<Scenario> = vec![
        ("a_thousand_random_disturbances", Box::new(random::a_thousand)),
        ("lnk_16_a_thousand_links_come_and_go", Box::new(churn::a_thousand_links)),
        ("lnk_16_fifty_links_at_once", Box::new(churn::fifty_links)),
    ];
    for disturbance in DISTURBANCES {
        tests.push((disturbance.name, Box::new(|| scene::recovers_from(disturbance))));
    }
    // Figures of recovery mean little where many tests compete for the processor.
    common::run_all(tests, 4)
}
