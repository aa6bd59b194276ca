//! A thousand disturbances in random order, some while others still last.

use std::env;
use std::error::Error;
use std::mem;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::common::Outcome;
use crate::disturbance::{DISTURBANCES, Disturbance, Pace};
use crate::scene::{
    ALLOWED, Recovery, SPARE_DESCRIPTORS, SPARE_MEMORY_KIB, SUSTAINED, Scene, holdings,
};

pub(crate) fn a_thousand() -> Outcome {
    let seed = match env::var("MAGPIE_SEED") {
        Ok(text) => text.parse()?,
        Err(_) => fastrand::u64(..1_000_000),
    };
    println!("MAGPIE_SEED={seed} replays");
    let mut scene = Scene::new(Duration::from_millis(20))?;
    if let Err(error) = run(&mut scene, seed) {
        let diary = scene.keep_diary(&format!("random-{seed}"))?;
        let diary = diary.display();
        return Err(format!("MAGPIE_SEED={seed} replays, {diary} tells: {error}").into());
    }
    scene.finish()
}

fn run(scene: &mut Scene, seed: u64) -> Outcome {
    let mut rng = Rng::with_seed(seed);
    let start = Instant::now();
    let mut recoveries = Recoveries::default();
    let mut process = scene.magpie()?.pid();
    let mut warm = None;
    let mut pending: Vec<&'static str> = Vec::new();
    let mut begin = Instant::now();
    for number in 1..=COUNT {
        let disturbance = choose(&mut rng);
        if disturbance.alone && !pending.is_empty() {
            let recovery = scene
                .await_recovery(begin, Instant::now(), BRIEFLY)
                .map_err(|error| explain(&*error, number, &pending))?;
            recoveries.note(recovery, &mut pending);
        }
        if pending.is_empty() {
            begin = Instant::now();
        }
        pending.push(disturbance.name);
        scene
            .disturb(disturbance, Pace::Quick)
            .map_err(|error| explain(&*error, number, &pending))?;
        if disturbance.kills {
            process = scene.magpie()?.pid();
            warm = None;
        }
        assert_eq!(scene.magpie()?.pid(), process);

        let is_check = number % CHECK_EVERY == 0;
        let goes_on = rng.u8(..4) > 0;
        if !is_check && !disturbance.alone && goes_on {
            continue;
        }
        let sustained = if is_check { SUSTAINED } else { BRIEFLY };
        let recovery = scene
            .await_recovery(begin, Instant::now(), sustained)
            .map_err(|error| explain(&*error, number, &pending))?;
        recoveries.note(recovery, &mut pending);
        if is_check {
            // Asking is proof of life.
            assert_eq!(scene.magpie()?.status()?.pid, process);
            let holds = holdings(process)?;
            let before = *warm.get_or_insert(holds);
            assert!(holds.0 <= before.0 + SPARE_DESCRIPTORS, "{before:?} became {holds:?}");
            assert!(holds.1 <= before.1 + SPARE_MEMORY_KIB, "{before:?} became {holds:?}");
        }
    }
    let median = recoveries.median();
    let (worst, after) = recoveries.worst;
    println!(
        "recovery: {COUNT} random disturbances in {:?}: median {} ms, worst {} ms after {}; \
         descriptors and KiB: {warm:?}, then {:?}",
        start.elapsed(),
        median.as_millis(),
        worst.as_millis(),
        after.join(", "),
        holdings(process)?,
    );
    if worst >= ALLOWED {
        return Err(format!("{} ms are too much", worst.as_millis()).into());
    }
    Ok(())
}

/// How the network came back, again and again.
#[derive(Debug, Default)]
struct Recoveries {
    times: Vec<Duration>,
    /// The longest, and what came before it.
    worst: (Duration, Vec<&'static str>),
}

impl Recoveries {
    /// Takes note of how it came back from what was pending, which is over now.
    fn note(&mut self, recovery: Recovery, pending: &mut Vec<&'static str>) {
        self.times.push(recovery.took);
        let causes = mem::take(pending);
        if recovery.took >= self.worst.0 {
            self.worst = (recovery.took, causes);
        }
    }

    fn median(&mut self) -> Duration {
        self.times.sort_unstable();
        self.times.get(self.times.len() / 2).copied().unwrap_or_default()
    }
}

fn choose(rng: &mut Rng) -> &'static Disturbance {
    let tickets: u32 = DISTURBANCES.iter().map(|row| row.weight).sum();
    let mut ticket = rng.u32(..tickets);
    for row in DISTURBANCES {
        match ticket.checked_sub(row.weight) {
            Some(left) => ticket = left,
            None => return row,
        }
    }
    unreachable!("a ticket is less than the sum of the weights")
}

fn explain(error: &dyn Error, number: usize, pending: &[&str]) -> Box<dyn Error> {
    format!("after {number} disturbances, the last ones {}: {error}", pending.join(", ")).into()
}

const COUNT: usize = 1000;
const CHECK_EVERY: usize = 50;
/// Pings in a row after which the network counts as recovered for the moment.
const BRIEFLY: usize = 3;
