//! What wakes the endpoint thread when a timer is due: on time, where the runtime's own timers, which count whole
//! milliseconds, are one or two of them late.

use crate::watched::{is_news, watch};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use proto::Time;
use std::io;
use std::os::fd::OwnedFd;
use std::task::Context;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// Rings once, at the time that it was last set to.
pub(super) struct Alarm {
    timer: TimerFd,
    rings: AsyncFd<OwnedFd>,
    /// When it rings; `None`: it has rung.
    at: Option<Time>,
}

impl Alarm {
    /// One that is not set. Must be called inside a tokio runtime.
    pub(super) fn new() -> io::Result<Self> {
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        let rings = watch(&timer)?;
        Ok(Self { timer, rings, at: None })
    }

    /// Has it ring at this time or before. To ring too early only costs a turn; setting it costs something in every turn.
    pub(super) fn set(&mut self, now: Time, at: Time) -> io::Result<()> {
        if self.at.is_none_or(|set| at < set) {
            // Zero would be never.
            let after = TimeSpec::from_duration(at.since(now).max(Duration::from_nanos(1)));
            self.timer.set(Expiration::OneShot(after), TimerSetTimeFlags::empty())?;
            self.at = Some(at);
        }
        Ok(())
    }

    /// Whether it rings; the task is woken when it does from now on.
    pub(super) fn has_rung(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let rings = is_news(&self.rings, cx)?;
        if rings {
            self.at = None;
        }
        Ok(rings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::task::Poll;

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    async fn ring(alarm: &mut Alarm) {
        let rings = poll_fn(|cx| match alarm.has_rung(cx) {
            Ok(false) => Poll::Pending,
            rung => Poll::Ready(rung),
        });
        tokio::time::timeout(Duration::from_secs(20), rings).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn it_rings_again_and_again_and_also_for_what_is_due_already() {
        let mut alarm = Alarm::new().unwrap();
        for _ in 0..20 {
            alarm.set(at(1000), at(1300)).unwrap();
            ring(&mut alarm).await;
            alarm.set(at(1300), at(1300)).unwrap();
            ring(&mut alarm).await;
        }
    }

    #[tokio::test]
    async fn an_earlier_time_counts_and_a_later_one_does_not() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(at(0), at(3_600_000_000)).unwrap();
        alarm.set(at(0), at(500)).unwrap();
        alarm.set(at(0), at(3_600_000_000)).unwrap();
        assert_eq!(alarm.at, Some(at(500)));
        ring(&mut alarm).await;
        assert_eq!(alarm.at, None);
    }
}
