//! The clamped clock (design decision D2): the only place that reads the system's clocks.
//!
//! A process that was frozen or starved finds its sockets full of answers and all its timers expired. If the
//! timers ran first, or ran for the whole time that is missing, it would accuse peers that answered in time.
//! So the time that the machines see has a *ceiling*: it goes on by at most [`GRACE`] after the sockets were
//! last drained, or, while the driver sleeps, by at most [`GRACE`] after the timer it sleeps for. The driver
//! reads its sockets first and runs its timers second, so every answer that arrived before the ceiling is seen
//! before a timer can miss it.
//!
//! Time beyond the ceiling is lost: it is never counted later. The clock therefore runs slower than the real
//! one while the process is starved, never faster, and never jumps to catch up. Under a flood that is never
//! read to its end the ceiling still rises: the driver calls [`Clock::drained`] as soon as it has read as much
//! as the socket's buffer can have held.

use proto::Time;
use std::time::{Duration, Instant, SystemTime};
use tracing::warn;

/// How far time may go on without the sockets having been drained.
pub(crate) const GRACE: Duration = Duration::from_millis(50);

/// Lost at once, this much tells an operator that something is wrong with the machine.
const WORTH_A_WARNING: Duration = Duration::from_secs(1);

/// The time of day, as the time since the beginning of 1970: for what has to mean the same to other processes. Nothing
/// is timed by it.
#[allow(clippy::disallowed_methods, reason = "the one reader of the system's time of day")]
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// What a [`Clock`] reads: time since an arbitrary start, never going back.
pub(crate) trait Source {
    fn elapsed(&self) -> Duration;
}

/// The system's monotonic clock, which runs while this process does not.
pub(crate) struct System(Instant);

impl System {
    /// From now on.
    #[allow(clippy::disallowed_methods, reason = "the one reader of the system's clock")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }
}

impl Source for System {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The rule: what a clock shows that has shown `now` so long ago.
fn go_on(now: Time, elapsed: Duration, ceiling: Time) -> Time {
    (now + elapsed).min(ceiling)
}

/// How far the clock of a process goes on when that has not run for so long since it drained its sockets: for hosts that are
/// simulated, which drain theirs whenever something comes.
pub fn wakes_after(pause: Duration) -> Duration {
    go_on(Time::ZERO, pause, Time::ZERO + GRACE).since(Time::ZERO)
}

/// A clock that starts at [`Time::ZERO`] and never passes its ceiling.
pub(crate) struct Clock<S = System> {
    source: S,
    read: Duration,
    now: Time,
    ceiling: Time,
    asleep: bool,
    lost: Duration,
}

impl Clock {
    /// A clock on the system's, starting now.
    pub(crate) fn system() -> Self {
        Self::new(System::start())
    }
}

impl<S: Source> Clock<S> {
    fn new(source: S) -> Self {
        let read = source.elapsed();
        Self {
            source,
            read,
            now: Time::ZERO,
            ceiling: Time::ZERO + GRACE,
            asleep: false,
            lost: Duration::ZERO,
        }
    }

    /// The time, at most the ceiling.
    pub(crate) fn now(&mut self) -> Time {
        let read = self.source.elapsed();
        let elapsed = read.saturating_sub(self.read);
        let real = self.now + elapsed;
        self.read = read;
        self.now = go_on(self.now, elapsed, self.ceiling);
        let lost = real.since(self.now);
        self.lost += lost;
        if lost >= WORTH_A_WARNING {
            warn!(?lost, "this process did not run for a while; its timers wait for its input");
        }
        if std::mem::take(&mut self.asleep) {
            self.drained();
        }
        self.now
    }

    /// The sockets have been read to their end: the ceiling rises.
    pub(crate) fn drained(&mut self) {
        self.ceiling = self.now + GRACE;
    }

    /// Whether it stands still until the sockets have been drained.
    pub(crate) fn is_at_ceiling(&self) -> bool {
        self.now >= self.ceiling
    }

    /// The driver goes to sleep until `timer`, or until something arrives: nothing is due before, so the time
    /// until then counts in full.
    pub(crate) fn sleep_until(&mut self, timer: Option<Time>) {
        self.ceiling = timer.map_or(Time::NEVER, |timer| timer.max(self.now) + GRACE);
        self.asleep = true;
    }

    /// The time that was not counted.
    pub(crate) fn lost(&self) -> Duration {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[derive(Clone, Default)]
    struct Fake(Rc<Cell<Duration>>);

    impl Fake {
        fn pass(&self, millis: u64) {
            self.0.set(self.0.get() + ms(millis));
        }
    }

    impl Source for Fake {
        fn elapsed(&self) -> Duration {
            self.0.get()
        }
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(millis: u64) -> Time {
        Time::ZERO + ms(millis)
    }

    #[test]
    fn runs_with_the_source_while_the_sockets_are_drained_often() {
        let fake = Fake::default();
        let mut clock = Clock::new(fake.clone());
        for tick in 1..=1000 {
            fake.pass(40);
            assert_eq!(clock.now(), at(40 * tick));
            clock.drained();
        }
        assert_eq!(clock.lost(), Duration::ZERO);
    }

    #[test]
    fn a_freeze_of_ten_seconds_is_fifty_milliseconds_and_the_rest_is_lost() {
        let fake = Fake::default();
        let mut clock = Clock::new(fake.clone());
        fake.pass(10_000);
        assert_eq!(clock.now(), at(50), "the input that waited is read at this time");
        assert_eq!(clock.now(), at(50), "no timer runs later than that before the sockets are drained");
        clock.drained();
        assert_eq!(clock.now(), at(50), "lost time does not come back");
        fake.pass(7);
        assert_eq!(clock.now(), at(57), "and it goes on as before");
        assert_eq!(clock.lost(), ms(9_950));
    }

    #[test]
    fn an_idle_process_loses_nothing_while_it_sleeps_until_its_timer() {
        let fake = Fake::default();
        let mut clock = Clock::new(fake.clone());
        clock.sleep_until(Some(at(30_000)));
        fake.pass(30_001);
        assert_eq!(clock.now(), at(30_001));
        clock.drained();
        clock.sleep_until(None);
        fake.pass(3_600_000);
        assert_eq!(clock.now(), at(3_630_001));
        assert_eq!(clock.lost(), Duration::ZERO);
        fake.pass(10_000);
        assert_eq!(clock.now(), at(3_630_051), "awake, it has its ceiling again");
    }

    #[test]
    fn a_freeze_while_asleep_ends_shortly_after_the_timer_it_slept_for() {
        let fake = Fake::default();
        let mut clock = Clock::new(fake.clone());
        clock.sleep_until(Some(at(200)));
        fake.pass(10_000);
        assert_eq!(clock.now(), at(250));
        assert_eq!(clock.lost(), ms(9_750));
    }

    #[test]
    fn a_backlog_that_is_never_drained_holds_the_clock_until_the_driver_says_enough() {
        let fake = Fake::default();
        let mut clock = Clock::new(fake.clone());
        for _ in 0..100 {
            fake.pass(10);
            clock.now();
        }
        assert_eq!(clock.now(), at(50));
        assert!(clock.is_at_ceiling());
        clock.drained();
        assert!(!clock.is_at_ceiling());
        fake.pass(10);
        assert_eq!(clock.now(), at(60));
    }
}
