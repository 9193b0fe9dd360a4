//! Directions of associations: what was seen of each, and fragments that wait for the others.
//!
//! A direction is known by its ports and its verification tag, which the receiver has chosen at random: so it stays the
//! same on all paths of a multi-homed association, and a restarted one is another.

use crate::sctp::{Data, Header, Kind, UserMessage};
use crate::tsns::Tsns;
use std::collections::{BTreeMap, VecDeque};

/// The most octets of incomplete messages, with what keeping them takes.
const MAX_HELD: usize = 64 << 20;
/// The most directions that are remembered.
const MAX_DIRECTIONS: usize = 1 << 14;
/// What keeping a fragment takes beside its octets.
const OVERHEAD: usize = 128;

/// What became of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It completes a message, which may be of one fragment.
    Complete { protocol: u32, octets: Vec<u8> },
    /// Fragments are missing.
    Waiting,
    /// It was there before.
    Retransmission,
}

/// All directions of all associations.
#[derive(Default)]
pub(crate) struct Associations {
    directions: BTreeMap<Header, Direction>,
    /// Octets of incomplete messages.
    held: usize,
    /// Counts chunks, to know what is oldest.
    clock: u64,
    /// Incomplete messages that were given up.
    evicted: u64,
}

impl Associations {
    /// Notes a chunk.
    pub(crate) fn arrived(&mut self, header: Header, data: &Data<'_>) -> Arrival {
        self.clock += 1;
        let direction = self.directions.entry(header).or_default();
        direction.latest = self.clock;
        let held = direction.held;
        let arrival = direction.arrived(data);
        self.held = self.held - held + direction.held;
        if self.held > MAX_HELD || self.directions.len() > MAX_DIRECTIONS {
            self.evict();
        }
        arrival
    }

    /// Messages that were begun and are not complete.
    pub(crate) fn incomplete(&self) -> u64 {
        self.directions.values().map(Direction::incomplete).sum()
    }

    /// Incomplete messages that were given up.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Forgets the directions that were silent for longest, as many that it is not soon needed again.
    fn evict(&mut self) {
        let mut oldest: Vec<_> =
            self.directions.iter().map(|(header, direction)| (direction.latest, *header)).collect();
        oldest.sort_unstable_by_key(|(latest, _)| *latest);
        for (_, header) in oldest {
            if self.held <= MAX_HELD / 2 && self.directions.len() <= MAX_DIRECTIONS / 2 {
                return;
            }
            if let Some(direction) = self.directions.remove(&header) {
                self.held -= direction.held;
                self.evicted += direction.incomplete();
            }
        }
    }
}

/// One direction of an association.
#[derive(Default)]
struct Direction {
    seen: Tsns,
    runs: BTreeMap<Place, Run>,
    held: usize,
    latest: u64,
}

/// Where a fragment stands among the others: DATA by TSN over all messages, I-DATA by number within its message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    interleaved: Option<UserMessage>,
    number: u64,
}

/// Fragments of one message without a gap.
struct Run {
    of: UserMessage,
    protocol: Option<u32>,
    begins: bool,
    ends: bool,
    /// The number of the fragment that would come next.
    next: u64,
    fragments: VecDeque<Vec<u8>>,
    octets: usize,
}

impl Direction {
    fn arrived(&mut self, data: &Data<'_>) -> Arrival {
        let Some(tsn) = self.seen.note(data.tsn) else { return Arrival::Retransmission };
        let (mut place, protocol) = match data.kind {
            Kind::Data { protocol } => (Place { interleaved: None, number: tsn }, Some(protocol)),
            Kind::Interleaved { protocol, fragment } => {
                (Place { interleaved: Some(data.of), number: fragment.into() }, protocol)
            }
        };
        let mut run = Run {
            of: data.of,
            protocol,
            begins: data.begins,
            ends: data.ends,
            next: place.number + 1,
            fragments: VecDeque::from([data.octets.to_vec()]),
            octets: data.octets.len(),
        };
        if let Some((before, left)) = self.take_before(place, &run) {
            (place, run) = (before, left.joined(run));
        }
        if let Some(right) = self.take_after(place, &run) {
            run = run.joined(right);
        }
        if let (true, true, Some(protocol)) = (run.begins, run.ends, run.protocol) {
            return Arrival::Complete { protocol, octets: run.fragments.into_iter().flatten().collect() };
        }
        self.held += run.cost();
        if let Some(other) = self.runs.insert(place, run) {
            // Only I-DATA that numbers two fragments alike gets here.
            self.held -= other.cost();
        }
        Arrival::Waiting
    }

    /// Takes the run out that ends where `run` begins.
    fn take_before(&mut self, place: Place, run: &Run) -> Option<(Place, Run)> {
        let (before, left) = self.runs.range(..place).next_back()?;
        let adjacent = before.interleaved == place.interleaved && left.next == place.number;
        let before = (adjacent && left.precedes(run)).then_some(*before)?;
        self.take(before).map(|left| (before, left))
    }

    /// Takes the run out that begins where `run` ends.
    fn take_after(&mut self, place: Place, run: &Run) -> Option<Run> {
        let after = Place { number: run.next, ..place };
        if self.runs.get(&after).is_some_and(|right| run.precedes(right)) { self.take(after) } else { None }
    }

    fn take(&mut self, place: Place) -> Option<Run> {
        let run = self.runs.remove(&place)?;
        self.held -= run.cost();
        Some(run)
    }

    /// Runs of the same message count once.
    fn incomplete(&self) -> u64 {
        let mut messages: Vec<UserMessage> = self.runs.values().map(|run| run.of).collect();
        messages.sort_unstable();
        messages.dedup();
        messages.len() as u64
    }
}

impl Run {
    /// Whether `right` may go on where this ends.
    fn precedes(&self, right: &Run) -> bool {
        self.of == right.of && !self.ends && !right.begins
    }

    /// Both together. The smaller moves, so that no order of arrival is slow.
    fn joined(self, right: Run) -> Run {
        let (mut left, mut right) = (self, right);
        let fragments = if left.fragments.len() >= right.fragments.len() {
            left.fragments.append(&mut right.fragments);
            left.fragments
        } else {
            while let Some(fragment) = left.fragments.pop_back() {
                right.fragments.push_front(fragment);
            }
            right.fragments
        };
        Run {
            protocol: left.protocol.or(right.protocol),
            ends: right.ends,
            next: right.next,
            octets: left.octets + right.octets,
            fragments,
            ..left
        }
    }

    fn cost(&self) -> usize {
        self.octets + OVERHEAD * self.fragments.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: Header = Header { source: 1, destination: 2, tag: 3 };

    fn of(stream: u16, sequence: u32) -> UserMessage {
        UserMessage { stream, unordered: false, sequence }
    }

    fn data(tsn: u32, of: UserMessage, begins: bool, ends: bool, octets: &[u8]) -> Data<'_> {
        Data { tsn, of, begins, ends, kind: Kind::Data { protocol: 11 }, octets }
    }

    fn complete(octets: &[u8]) -> Arrival {
        Arrival::Complete { protocol: 11, octets: octets.to_vec() }
    }

    #[test]
    fn fragments_wait_for_each_other_in_any_order() {
        let fragments = [(0, "one "), (1, "two "), (2, "three "), (3, "four")];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            let mut associations = Associations::default();
            let arrivals: Vec<_> = order
                .map(|at: usize| {
                    let (number, text) = fragments[at];
                    let tsn = (u32::MAX - 1).wrapping_add(number);
                    associations.arrived(HEADER, &data(tsn, of(0, 0), at == 0, at == 3, text.as_bytes()))
                })
                .into();
            assert_eq!(arrivals[..3], [Arrival::Waiting, Arrival::Waiting, Arrival::Waiting]);
            assert_eq!(arrivals[3], complete(b"one two three four"));
            assert_eq!((associations.held, associations.incomplete()), (0, 0));
        }
    }

    #[test]
    fn what_was_there_before_is_a_retransmission_only_in_the_same_association() {
        let mut associations = Associations::default();
        let chunk = data(7, of(0, 0), true, true, b"x");
        assert_eq!(associations.arrived(HEADER, &chunk), complete(b"x"));
        assert_eq!(associations.arrived(HEADER, &chunk), Arrival::Retransmission);
        assert_eq!(associations.arrived(Header { tag: 4, ..HEADER }, &chunk), complete(b"x"));
    }

    #[test]
    fn fragments_of_different_messages_are_never_joined() {
        let mut associations = Associations::default();
        assert_eq!(associations.arrived(HEADER, &data(1, of(0, 0), true, false, b"a")), Arrival::Waiting);
        assert_eq!(associations.arrived(HEADER, &data(2, of(1, 0), false, true, b"b")), Arrival::Waiting);
        assert_eq!(associations.arrived(HEADER, &data(3, of(1, 0), false, true, b"c")), Arrival::Waiting);
        assert_eq!(associations.incomplete(), 2);
    }

    #[test]
    fn interleaved_messages_are_put_together_by_their_numbers() {
        let mut associations = Associations::default();
        let fragment = |tsn, sequence, number, ends, octets| {
            let kind = match number {
                0 => Kind::Interleaved { protocol: Some(12), fragment: 0 },
                fragment => Kind::Interleaved { protocol: None, fragment },
            };
            Data { tsn, of: of(0, sequence), begins: number == 0, ends, kind, octets }
        };
        let mut arrived = |data| associations.arrived(HEADER, &data);
        assert_eq!(arrived(fragment(1, 8, 0, false, b"A1")), Arrival::Waiting);
        assert_eq!(arrived(fragment(2, 9, 0, false, b"B1")), Arrival::Waiting);
        assert_eq!(arrived(fragment(4, 9, 2, true, b"B3")), Arrival::Waiting);
        let enrp = |octets: &[u8]| Arrival::Complete { protocol: 12, octets: octets.to_vec() };
        assert_eq!(arrived(fragment(3, 8, 1, true, b"A2")), enrp(b"A1A2"));
        assert_eq!(arrived(fragment(5, 9, 1, false, b"B2")), enrp(b"B1B2B3"));
    }

    #[test]
    fn what_waits_for_ever_is_bounded_and_counted() {
        let mut associations = Associations::default();
        let octets = vec![0; 60_000];
        let mut sent = 0;
        while associations.evicted() == 0 {
            assert!(associations.held <= MAX_HELD);
            associations.arrived(Header { tag: sent, ..HEADER }, &data(1, of(0, 0), true, false, &octets));
            sent += 1;
        }
        assert_eq!(associations.incomplete() + associations.evicted(), u64::from(sent));
        assert!(associations.held <= MAX_HELD / 2);
        let alone = data(2, of(0, 0), false, true, b"end");
        let latest = Header { tag: sent - 1, ..HEADER };
        assert!(matches!(associations.arrived(latest, &alone), Arrival::Complete { .. }), "the oldest went");
    }

    #[test]
    fn associations_without_end_are_bounded() {
        let mut associations = Associations::default();
        for tag in 0..3 * 16_384 {
            associations.arrived(Header { tag, ..HEADER }, &data(1, of(0, 0), true, true, b""));
            assert!(associations.directions.len() <= MAX_DIRECTIONS);
        }
        assert_eq!(associations.evicted(), 0, "nothing was lost");
    }

    proptest! {
        /// However messages are fragmented, reordered and repeated: each comes out once, as it was.
        #[test]
        fn every_message_comes_out_once(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20),
            size in 1_usize..9,
            first: u32,
            order in prop::collection::vec(any::<u16>(), 400),
        ) {
            let mut chunks = Vec::new();
            for (message, sequence) in messages.iter().zip(0..) {
                let parts: Vec<&[u8]> = if message.is_empty() { vec![&[]] } else { message.chunks(size).collect() };
                for (at, part) in parts.iter().enumerate() {
                    let tsn = first.wrapping_add(chunks.len() as u32);
                    chunks.push(data(tsn, of(0, sequence), at == 0, at + 1 == parts.len(), part));
                }
            }
            // Shuffled and repeated.
            let mut sent: Vec<_> = chunks.iter().chain(&chunks).zip(order.iter().cycle()).collect();
            sent.sort_by_key(|(_, key)| **key);
            let mut associations = Associations::default();
            let mut received = Vec::new();
            for (chunk, _) in sent {
                if let Arrival::Complete { octets, .. } = associations.arrived(HEADER, chunk) {
                    received.push(octets);
                }
            }
            let mut expected = messages.clone();
            expected.sort();
            received.sort();
            prop_assert_eq!(received, expected);
            prop_assert_eq!((associations.held, associations.incomplete()), (0, 0));
        }
    }
}
