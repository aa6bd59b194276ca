//! Tries what becomes of messages that somebody has tampered with: a fixed number of them in the
//! ordinary suite, others for as long as `MAGPIE_FUZZ_SECONDS` says.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use fastrand::Rng;

/// Runs `case` with random numbers of one seed each. A failure names the seed, which
/// `MAGPIE_FUZZ_SEED` tries alone.
pub(crate) fn fuzz(cases: u64, mut case: impl FnMut(&mut Rng)) {
    let number = |variable| {
        let text = env::var(variable).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
    };
    let mut run = |seed| {
        let tried = catch_unwind(AssertUnwindSafe(|| case(&mut Rng::with_seed(seed))));
        if let Err(failure) = tried {
            eprintln!("to try this again alone: MAGPIE_FUZZ_SEED={seed}");
            resume_unwind(failure);
        }
    };
    if let Some(seed) = number("MAGPIE_FUZZ_SEED") {
        return run(seed);
    }
    (0..cases).for_each(&mut run);
    let Some(seconds) = number("MAGPIE_FUZZ_SECONDS") else { return };
    // Other seeds each time.
    let mut seeds = Rng::new();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut more: u64 = 0;
    while Instant::now() < end {
        run(seeds.u64(..));
        more += 1;
    }
    println!("{} cases", cases + more);
}

/// Changes a message in ways that its readers may not expect; `other` is one to take parts from.
pub(crate) fn tamper(octets: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    for _ in 0..rng.usize(0..6) {
        if octets.is_empty() {
            return;
        }
        let at = rng.usize(..octets.len());
        match rng.u8(..11) {
            0 => octets[at] ^= 1 << rng.u8(..8),
            1 => octets[at] = rng.u8(..),
            2 => octets[at] = *rng.choice(&[0, 1, 12, 0x3f, 0x40, 0x80, 0xc0, 0xff]).unwrap(),
            3 => put(octets, at, rng.u16(..8)),
            4 => put(octets, at, 0xc000 | rng.u16(..=u16::try_from(at).unwrap_or(0))),
            5 => {
                // Types and classes that mean something.
                let kinds = [1, 2, 5, 6, 12, 13, 16, 26, 28, 33, 39, 41, 47, 64, 65, 255, 0x8001];
                put(octets, at, *rng.choice(&kinds).unwrap());
            }
            // The counts of the header.
            6 => put(octets, 4 + 2 * rng.usize(..4), rng.u16(..6)),
            7 => octets.truncate(at),
            8 => drop(octets.drain(at..(at + rng.usize(..20)).min(octets.len()))),
            9 if !other.is_empty() => {
                let from = rng.usize(..other.len());
                let to = (from + rng.usize(..40)).min(other.len());
                octets.splice(at..at, other[from..to].iter().copied());
            }
            _ => octets[at] = octets[at].to_ascii_uppercase(),
        }
    }
}

fn put(octets: &mut [u8], at: usize, number: u16) {
    if let Some(place) = octets.get_mut(at..at + 2) {
        place.copy_from_slice(&number.to_be_bytes());
    }
}

/// A message of the corpus, tampered with.
pub(crate) fn message(messages: &[(&'static str, Vec<u8>)], rng: &mut Rng) -> Vec<u8> {
    let (_, octets) = rng.choice(messages).unwrap();
    let (_, other) = rng.choice(messages).unwrap();
    let mut octets = octets.clone();
    tamper(&mut octets, other, rng);
    octets
}
