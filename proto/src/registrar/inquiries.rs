//! Elements that are asked in their turn, as the budget of probes allows (design D7).
//!
//! There may be very many at a time: a registrar has died, a network that was cut is whole again, a host was started anew, many
//! clients report. None of that may become a burst. The budget is shared by all [reasons](Why), which take turns, so none
//! of them waits for the end of another. (Beside it there are the keep-alives that are due, which have the same budget
//! once more, and those that a registration waits for.)
//!
//! Whoever waits is in the handlespace, and nobody knows the answer yet: an element that leaves, that speaks for itself, or
//! whose reports are void waits no more.

use super::owned::Owned;
use super::timers::Timer;
use super::{ElementKey, Registrar};
use crate::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// About how long a share of the budget lasts.
const PACE: Duration = Duration::from_millis(10);

/// Why an element is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It is ours and does not know it yet.
    Claimed,
    /// The same, unless another registrar claims it within MAX-TIME-NO-RESPONSE.
    Yielded,
    /// A peer wants it removed, or its association was started anew.
    Doubted,
    /// Clients cannot reach it.
    Reported,
}

/// How many reasons there are.
const REASONS: usize = 4;

/// The time before which an element is not asked, and its number among those that came.
type Place = (Time, u64);

/// Those that wait for one reason, each once, the first first.
#[derive(Debug, Default)]
struct Queue {
    order: BTreeMap<Place, ElementKey>,
    places: BTreeMap<ElementKey, Place>,
    /// How many came.
    came: u64,
}

impl Queue {
    fn push(&mut self, not_before: Time, key: ElementKey) {
        if !self.places.contains_key(&key) {
            let place = (not_before, self.came);
            self.came += 1;
            self.places.insert(key.clone(), place);
            self.order.insert(place, key);
        }
    }

    fn pop(&mut self, now: Time) -> Option<ElementKey> {
        let (_, key) = self.order.first_entry().filter(|first| first.key().0 <= now)?.remove_entry();
        self.places.remove(&key);
        Some(key)
    }

    fn remove(&mut self, key: &ElementKey) {
        if let Some(place) = self.places.remove(key) {
            self.order.remove(&place);
        }
    }

    fn next(&self) -> Option<Time> {
        self.order.first_key_value().map(|((not_before, _), _)| *not_before)
    }
}

/// The elements that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Inquiries {
    queues: [Queue; REASONS],
    /// Whose turn it is.
    turn: usize,
    /// When the present share of the budget ends, and what was spent of it.
    until: Time,
    spent: usize,
}

impl Inquiries {
    fn push(&mut self, not_before: Time, key: ElementKey, why: Why) {
        self.queues[why as usize].push(not_before, key);
    }

    /// The element has said whose it is, or is not ours any more.
    pub(super) fn settled(&mut self, key: &ElementKey) {
        for why in [Why::Claimed, Why::Yielded, Why::Doubted] {
            self.queues[why as usize].remove(key);
        }
    }

    /// Its reports are void.
    pub(super) fn reports_void(&mut self, key: &ElementKey) {
        self.queues[Why::Reported as usize].remove(key);
    }

    fn pop(&mut self, now: Time) -> Option<ElementKey> {
        for _ in 0..REASONS {
            let queue = &mut self.queues[self.turn];
            self.turn = (self.turn + 1) % REASONS;
            if let Some(key) = queue.pop(now) {
                return Some(key);
            }
        }
        None
    }

    /// When the next one may be asked.
    fn next(&self) -> Option<Time> {
        self.queues.iter().filter_map(Queue::next).min()
    }
}

impl Registrar {
    /// Asks an element when it is its turn: at once, if the budget is not spent and there is doubt (RFC 5352 §3.5).
    pub(super) fn inquire(&mut self, now: Time, key: ElementKey, why: Why) {
        let not_before = match why {
            Why::Yielded => now + self.config.timers.max_time_no_response,
            _ => now,
        };
        self.inquiries.push(not_before, key, why);
        match why {
            Why::Claimed | Why::Yielded => self.schedule_inquiries(now),
            Why::Doubted | Why::Reported => self.inquire_next(now),
        }
    }

    /// Asks those whose turn it is, as many as the budget of probes allows.
    pub(super) fn inquire_next(&mut self, now: Time) {
        let (share, lasts) = self.share_of_probes();
        if self.inquiries.until <= now {
            self.inquiries.until = now + lasts;
            self.inquiries.spent = 0;
        }
        while self.inquiries.spent < share {
            let Some(key) = self.inquiries.pop(now) else { break };
            self.inquiries.spent += usize::from(self.ask(now, key));
        }
        self.schedule_inquiries(now);
    }

    /// Asks an element, unless it has moved to a home that it answers alone, which looks for it; whether it did.
    fn ask(&mut self, now: Time, key: ElementKey) -> bool {
        if !self.answers_us(&key) {
            return false;
        }
        match self.owned.get(&key).is_some_and(Owned::is_claimed) {
            true => self.claim(now, key),
            false => self.probe(now, key),
        }
        true
    }

    /// How many are asked at a time, and how long such a share of the budget lasts.
    fn share_of_probes(&self) -> (usize, Duration) {
        let budget = f64::from(self.config.limits.probes_per_second);
        let share = (budget * PACE.as_secs_f64()).floor().max(1.0);
        (share as usize, Duration::from_secs_f64(share / budget))
    }

    fn schedule_inquiries(&mut self, now: Time) {
        let Some(next) = self.inquiries.next() else { return };
        let Inquiries { until, spent, .. } = self.inquiries;
        let exhausted = until > now && spent >= self.share_of_probes().0;
        let at = next.max(if exhausted { until } else { now });
        if self.timers.at(&Timer::Inquiries).is_none_or(|set| at < set) {
            self.timers.set(Timer::Inquiries, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registrar::Config;
    use crate::{AssocId, Channel, Input, Node, PPID_ASAP};
    use asap::{Deregistration, EndpointKeepAliveAck, Message, Registration};
    use params::{PeIdentifier, Policy, PoolElement, PoolHandle, RegistrarId, RegistrationLife};
    use params::{SctpTransport, Transport, TransportUse};
    use rand::SeedableRng;
    use rand_chacha::ChaCha12Rng;
    use std::net::{IpAddr, Ipv4Addr};

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 11));

    fn assoc() -> AssocId {
        AssocId::accepted(Channel::Asap, 0)
    }

    fn tell(registrar: &mut Registrar, message: impl Into<Message>) {
        let bytes = message.into().encode().unwrap();
        let input = Input::Message { assoc: assoc(), stream: 0, ppid: PPID_ASAP, unordered: false, bytes };
        registrar.handle_input(Time::ZERO, input);
    }

    fn register(registrar: &mut Registrar, id: u32) {
        let transport_use = TransportUse::DATA_ONLY;
        let user_transport =
            Transport::Sctp(SctpTransport { port: 7000, transport_use, addresses: vec![HOST] });
        let element = PoolElement {
            id: PeIdentifier(id),
            home: RegistrarId::NONE,
            life: RegistrationLife::INFINITE,
            user_transport,
            policy: Policy::RoundRobin,
            asap_transport: None,
        };
        tell(registrar, Registration { handle: PoolHandle::from("pool"), element });
    }

    fn doubted(registrar: &Registrar) -> usize {
        let queue = &registrar.inquiries.queues[Why::Doubted as usize];
        assert_eq!(queue.order.len(), queue.places.len());
        queue.order.len()
    }

    /// A registrar that asks one element a second and doubts ten, one of which it has asked.
    fn doubtful() -> Registrar {
        let mut config = Config::default();
        config.limits.probes_per_second = 1;
        let mut registrar = Registrar::new(config, ChaCha12Rng::seed_from_u64(1), Time::ZERO);
        let remote = vec![(HOST, 3863).into()];
        let local = vec![Ipv4Addr::new(10, 0, 0, 1).into()];
        let channel = Channel::Asap;
        registrar.handle_input(Time::ZERO, Input::Up { assoc: assoc(), channel, remote, local, streams: 16 });
        (1..=10).for_each(|id| register(&mut registrar, id));
        registrar.handle_input(Time::ZERO, Input::Restart { assoc: assoc() });
        assert_eq!(doubted(&registrar), 9);
        registrar
    }

    // Design D11: elements may come and go faster than they can be asked. Who is gone does not wait.
    #[test]
    fn an_element_that_leaves_is_asked_no_more() {
        let mut registrar = doubtful();
        for id in (1..=10).map(PeIdentifier) {
            tell(&mut registrar, Deregistration { handle: PoolHandle::from("pool"), id });
        }
        assert_eq!(doubted(&registrar), 0);
    }

    // Design D7: nor does who has spoken for itself, and those behind it have their turn sooner.
    #[test]
    fn an_element_that_speaks_for_itself_is_asked_no_more() {
        let mut registrar = doubtful();
        register(&mut registrar, 2);
        assert_eq!(doubted(&registrar), 8);
        for id in (1..=5).map(PeIdentifier) {
            tell(&mut registrar, EndpointKeepAliveAck { handle: PoolHandle::from("pool"), id });
        }
        assert_eq!(doubted(&registrar), 5);
    }
}
