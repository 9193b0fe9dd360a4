//! Which TSNs of one direction of an association were seen (RFC 9260 §3.3.1).

/// The most gaps that are remembered. A sender has no more packets on the way at a time; older gaps are holes of the
/// capture.
const MAX_RANGES: usize = 256;

/// Ranges of TSNs, which wrap, as numbers that do not.
#[derive(Debug, Default)]
pub(crate) struct Tsns {
    /// First and last of each range, ascending, with gaps between them.
    ranges: Vec<(u64, u64)>,
}

impl Tsns {
    /// The number that does not wrap, if the TSN is there for the first time.
    pub(crate) fn note(&mut self, tsn: u32) -> Option<u64> {
        let number = self.unwrapped(tsn);
        let at = self.ranges.partition_point(|(_, last)| *last < number);
        if self.ranges.get(at).is_some_and(|(first, _)| *first <= number) {
            return None;
        }
        let follows = at > 0 && self.ranges[at - 1].1 + 1 == number;
        let precedes = self.ranges.get(at).is_some_and(|(first, _)| *first == number + 1);
        match (follows, precedes) {
            (true, true) => self.ranges[at - 1].1 = self.ranges.remove(at).1,
            (true, false) => self.ranges[at - 1].1 = number,
            (false, true) => self.ranges[at].0 = number,
            (false, false) => self.ranges.insert(at, (number, number)),
        }
        if self.ranges.len() > MAX_RANGES {
            self.ranges[1].0 = self.ranges.remove(0).0;
        }
        Some(number)
    }

    fn unwrapped(&self, tsn: u32) -> u64 {
        let Some((_, highest)) = self.ranges.last() else { return (1 << 32) + u64::from(tsn) };
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is the TSN")]
        let ahead = tsn.wrapping_sub(*highest as u32).cast_signed();
        highest.saturating_add_signed(ahead.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tsn_is_new_once_in_any_order_across_the_wrap() {
        let mut tsns = Tsns::default();
        let order = [u32::MAX, 3, 0, u32::MAX - 5, 1, u32::MAX - 1, 2];
        let numbers: Vec<_> = order.iter().map(|tsn| tsns.note(*tsn).unwrap()).collect();
        let base = numbers[0];
        assert_eq!(numbers, [base, base + 4, base + 1, base - 5, base + 2, base - 1, base + 3]);
        assert!(order.iter().all(|tsn| tsns.note(*tsn).is_none()));
        assert_eq!(tsns.ranges.len(), 2);
    }

    #[test]
    fn the_oldest_gaps_are_forgotten() {
        let mut tsns = Tsns::default();
        for tsn in (0..100_000).step_by(2) {
            assert!(tsns.note(tsn).is_some());
        }
        assert_eq!(tsns.ranges.len(), MAX_RANGES);
        assert!(tsns.note(1).is_none(), "an old gap counts as seen");
        assert!(tsns.note(99_997).is_some(), "a new one is still open");
    }
}
