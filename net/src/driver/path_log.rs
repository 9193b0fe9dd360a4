//! What an operator hears of paths. Machines do not need to know: a path that fails leaves the others, and the last one ends the
//! association. But the next failure may be that one, so somebody has to look.

use crate::sctp::Rate;
use proto::{AssocId, Time};
use std::net::SocketAddr;
use tracing::{debug, info, warn};

/// Lines a second. One network that fails takes a path of very many associations with it.
const LINES: u32 = 5;

/// The log of the paths of multi-homed peers.
#[derive(Debug)]
pub(super) struct PathLog {
    rate: Rate,
    untold: u64,
}

impl PathLog {
    pub(super) fn new() -> Self {
        Self { rate: Rate::new(LINES), untold: 0 }
    }

    /// A path went down or came up again.
    pub(super) fn changed(&mut self, now: Time, assoc: AssocId, address: SocketAddr, up: bool) {
        let assoc = assoc.as_u64();
        let Some(untold) = self.take(now) else {
            return debug!(assoc, %address, up, "a path of a peer has changed");
        };
        match up {
            true => info!(assoc, %address, untold, "a path of a peer is up again"),
            false => warn!(assoc, %address, untold, "a path of a peer is down"),
        }
    }

    /// Whether there may be a line; how many were left out before it.
    fn take(&mut self, now: Time) -> Option<u64> {
        if self.rate.take(now) {
            return Some(std::mem::take(&mut self.untold));
        }
        self.untold += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_left_out_is_told_with_the_next_line() {
        let mut log = PathLog::new();
        let lines = (0..100).filter_map(|_| log.take(Time::ZERO)).collect::<Vec<_>>();
        assert_eq!(lines, [0; 5]);
        assert_eq!(log.take(Time::ZERO + Duration::from_secs(1)), Some(95));
    }
}
