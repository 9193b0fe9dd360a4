//! What waits on an association whose requests are answered in order (ambiguity A-48).

use super::ElementKey;
use asap::Message;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Octets that may wait: the registrations of all elements of a process, of the usual size. A client with more does not read
/// its answers.
const MOST: usize = 256 << 10;
/// What each takes at least.
const LEAST: usize = 128;

/// What waits for its turn.
#[derive(Debug)]
pub(super) enum Parked {
    /// A request.
    Request(Message),
    /// The answer to one that could not be read.
    Reply(Bytes),
}

/// What waits on one association. The first of it is a registration whose answer is put off.
#[derive(Debug, Default)]
pub(super) struct Parking {
    /// With their lengths, in the order in which they came.
    queue: BTreeMap<i64, (usize, Parked)>,
    /// Where the registration of an element is: a repetition takes its place.
    registrations: BTreeMap<ElementKey, i64>,
    octets: usize,
}

impl Parking {
    /// Adds what has come, with its length; `false` if too much waits already.
    pub(super) fn push(&mut self, parked: Parked, length: usize) -> bool {
        if let Parked::Request(Message::Deregistration(it)) = &parked {
            // What comes after it is no repetition of what came before it.
            self.registrations.remove(&ElementKey::new(&it.handle, it.id));
        }
        let last = self.queue.last_key_value().map_or(0, |(last, _)| *last);
        let key = key_of(&parked);
        let place = key.as_ref().and_then(|key| self.registrations.get(key)).copied().unwrap_or(last + 1);
        let length = length.max(LEAST);
        let before = self.queue.get(&place).map_or(0, |(length, _)| *length);
        if self.octets - before + length > MOST {
            return false;
        }
        self.octets = self.octets - before + length;
        self.queue.insert(place, (length, parked));
        self.registrations.extend(key.map(|key| (key, place)));
        true
    }

    /// Adds what has to wait again, before all others.
    pub(super) fn push_front(&mut self, parked: Parked) {
        let first = self.queue.first_key_value().map_or(0, |(first, _)| *first) - 1;
        if let Some(key) = key_of(&parked) {
            self.registrations.entry(key).or_insert(first);
        }
        self.octets += LEAST;
        self.queue.insert(first, (LEAST, parked));
    }

    /// The next one.
    pub(super) fn pop(&mut self) -> Option<Parked> {
        let (place, (length, parked)) = self.queue.pop_first()?;
        self.octets -= length;
        if let Some(key) = key_of(&parked)
            && self.registrations.get(&key) == Some(&place)
        {
            self.registrations.remove(&key);
        }
        Some(parked)
    }

    /// Whether the first one is a registration of this element.
    pub(super) fn begins_with(&self, key: &ElementKey) -> bool {
        let first = self.queue.first_key_value().map(|(_, (_, parked))| parked);
        first.and_then(key_of).is_some_and(|first| first == *key)
    }
}

fn key_of(parked: &Parked) -> Option<ElementKey> {
    match parked {
        Parked::Request(Message::Registration(it)) => Some(ElementKey::new(&it.handle, it.element.id)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use params::{PeIdentifier, Policy, PoolElement, RegistrarId, RegistrationLife, Transport};

    fn registration(id: u32, life: i32) -> Parked {
        let element = PoolElement {
            id: PeIdentifier(id),
            home: RegistrarId::NONE,
            life: RegistrationLife(life),
            user_transport: Transport::Opaque(Box::default()),
            policy: Policy::RoundRobin,
            asap_transport: None,
        };
        Parked::Request(Message::Registration(asap::Registration { handle: "pool".into(), element }))
    }

    fn key(id: u32) -> ElementKey {
        ElementKey::new(&"pool".into(), PeIdentifier(id))
    }

    fn take(parking: &mut Parking) -> Vec<(u32, i32)> {
        let element = |parked| match parked {
            Parked::Request(Message::Registration(it)) => (it.element.id.0, it.element.life.0),
            other => panic!("{other:?}"),
        };
        std::iter::from_fn(|| parking.pop()).map(element).collect()
    }

    #[test]
    fn a_repetition_takes_the_place_of_what_it_repeats() {
        let mut parking = Parking::default();
        parking.push_front(registration(1, 1));
        for (id, life) in [(2, 2), (3, 3), (2, 20), (1, 10)] {
            assert!(parking.push(registration(id, life), 100));
        }
        assert_eq!(parking.octets, 3 * LEAST);
        assert!(parking.begins_with(&key(1)) && !parking.begins_with(&key(2)));
        assert_eq!(take(&mut parking), [(1, 10), (2, 20), (3, 3)]);
        assert_eq!((parking.octets, parking.registrations.len()), (0, 0));
    }

    #[test]
    fn a_registration_behind_a_deregistration_repeats_nothing() {
        let mut parking = Parking::default();
        parking.push(registration(1, 1), 100);
        let leaves = asap::Deregistration { handle: "pool".into(), id: PeIdentifier(1) };
        parking.push(Parked::Request(leaves.into()), 40);
        parking.push(registration(1, 2), 100);
        parking.push(registration(1, 3), 100);
        assert!(parking.begins_with(&key(1)));
        parking.pop();
        assert!(matches!(parking.pop(), Some(Parked::Request(Message::Deregistration(_)))));
        assert_eq!(take(&mut parking), [(1, 3)]);
    }

    #[test]
    fn what_waits_again_comes_first() {
        let mut parking = Parking::default();
        for id in 1..=3 {
            parking.push(registration(id, 0), 100);
        }
        let first = parking.pop().unwrap();
        parking.push_front(first);
        assert_eq!(take(&mut parking), [(1, 0), (2, 0), (3, 0)]);
    }

    #[test]
    fn all_elements_of_a_process_may_wait_and_not_more_than_there_is_room() {
        let mut parking = Parking::default();
        let reply = || Parked::Reply(Bytes::from_static(b"x"));
        assert!((0..1024).all(|id| parking.push(registration(id, 0), 200)));
        let more = (0..10_000).take_while(|_| parking.push(reply(), 4)).count();
        assert_eq!(more, (MOST - 1024 * 200) / LEAST);
        assert!(parking.push(registration(7, 1), 200), "in the place of the former one");
    }
}
