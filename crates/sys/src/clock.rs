//! Reads the one clock that Magpie's deadlines count in.

use rustix::time::{ClockId, clock_gettime};

/// Reads the nanoseconds since the machine was started, time asleep included.
///
/// The boot-time clock is taken because neighbors do not stop aging while this host is suspended.
pub fn boottime_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(NANOSECONDS_PER_SECOND).saturating_add(nanoseconds)
}

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::boottime_ns;

    #[test]
    fn never_goes_backwards_and_is_not_zero() {
        let mut last = boottime_ns();
        assert_ne!(last, 0);
        for _ in 0..1000 {
            let now = boottime_ns();
            assert!(now >= last, "{now} came after {last}");
            last = now;
        }
    }
}
