//! A registrar that is started anew with its identifier before anybody missed it, and one that is not (RFC 5353 §3.6.3).

use crate::network::{Host, Network, ip, ms, pool};
use crate::played::{add, owned, received};
use enrp::Body;
use params::{PeIdentifier, PoolElement, RegistrarId, SctpTransport, ServerInformation, TransportUse};
use rserpool_proto::registrar::Event;
use rserpool_proto::{AssocId, Channel, Time};
use std::time::Duration;

/// Registrar 1, and peers 8 and 9 that the test plays.
struct Scope {
    network: Network,
    eight: AssocId,
    nine: AssocId,
    answered: usize,
}

impl Scope {
    /// Registrar 1 with this identifier; 9, which says that this is its start, owns element 11, and 8 owns 100.
    fn new(id: u32, incarnation: Option<u32>) -> Self {
        let mut network = Network::new();
        let mut config = Network::config(1, &[]);
        config.id = Some(RegistrarId(id));
        config.limits.probes_per_second = 10;
        network.start_with(1, config);
        for host in [8, 9, 11] {
            network.add_client(host);
        }
        network.client(11).elements.insert((pool(), PeIdentifier(11)));
        let [eight, nine] = [8, 9].map(|host| network.dial(host, 1, Channel::Enrp));
        let mut scope = Self { network, eight, nine, answered: 0 };
        scope.tell(8, presence(8, None, None));
        scope.tell(9, presence(9, incarnation, None));
        scope.tell(9, add(reachable(11, 9)));
        for host in 100..200 {
            scope.tell(8, add(owned(host, 8)));
        }
        scope.network.run(ms(500));
        assert_eq!(scope.home(), Some(9));
        scope
    }

    fn tell(&mut self, host: Host, body: impl Into<Body>) {
        let assoc = if host == 8 { self.eight } else { self.nine };
        self.network.tell_peer(host, assoc, body);
    }

    /// Time passes; 8 and 9 are there, and 9, whose start this is, has no elements.
    fn run(&mut self, time: Duration, incarnation: Option<u32>) {
        let until = self.network.now + time;
        while self.network.now < until {
            self.tell(8, presence(8, None, None));
            self.tell(9, presence(9, incarnation, Some(0xffff)));
            self.network.run(ms(50));
            let asks = |body: &Body| matches!(body, Body::HandleTableRequest(_));
            let asked = received(&mut self.network, 9, asks).len();
            for _ in std::mem::replace(&mut self.answered, asked)..asked {
                self.tell(9, enrp::HandleTableResponse { rejected: false, more: false, entries: Vec::new() });
            }
            self.network.run(ms(50));
        }
    }

    /// The home of element 11.
    fn home(&mut self) -> Option<u32> {
        self.network.table(1).iter().find(|(id, _)| *id == 11).map(|(_, home)| *home)
    }

    /// How often element 11 was asked.
    fn asked(&mut self) -> usize {
        self.network.client(11).keep_alives(Time::ZERO).len()
    }
}

fn presence(host: Host, incarnation: Option<u32>, checksum: Option<u16>) -> enrp::Presence {
    let transport =
        SctpTransport { port: 9901, transport_use: TransportUse::DATA_ONLY, addresses: vec![ip(host)] };
    let id = RegistrarId(host.into());
    let information = Some(ServerInformation { id, transport, table_response_size: None, incarnation });
    enrp::Presence { reply_required: true, checksum, information, silent: Vec::new() }
}

/// An element that can be asked.
fn reachable(host: Host, home: Host) -> PoolElement {
    let asap_transport =
        SctpTransport { port: 3863, transport_use: TransportUse::DATA_ONLY, addresses: vec![ip(host)] };
    PoolElement { asap_transport: Some(asap_transport), ..owned(host, home) }
}

// D4: what a registrar forgot when it was started anew is claimed by who would take it over. One that did not tell its
// incarnation and does, or the other way round, is another program: it was started anew, too.
#[test]
fn elements_that_were_left_behind_are_claimed() {
    for (before, after) in [(Some(5), Some(6)), (None, Some(5)), (Some(5), None)] {
        let mut scope = Scope::new(1, before);
        scope.run(ms(1000), after);
        let home = scope.network.client(11).home;
        assert_eq!((scope.home(), home), (Some(1), Some(RegistrarId(1))), "{before:?} {after:?}");
    }
}

// D4: who would not take it over leaves them where they are until that one has claimed them, however many it has to claim
// before: 8 may have just taken over the 100 elements that it owns.
#[test]
fn elements_that_another_registrar_claims_stay_until_it_does() {
    let mut scope = Scope::new(50, Some(5));
    scope.run(ms(15_000), Some(6));
    assert_eq!((scope.home(), scope.asked()), (Some(9), 0));
    scope.tell(8, add(reachable(11, 8)));
    scope.run(ms(30_000), Some(6));
    assert_eq!((scope.home(), scope.asked()), (Some(8), 0));
}

// D4: if it never does it may not know them, or may have been started anew itself: they are asked before they are removed.
// Who lives is ours then, who does not is removed.
#[test]
fn elements_that_nobody_claims_do_not_stay_for_ever() {
    for hangs in [false, true] {
        let mut scope = Scope::new(50, Some(5));
        scope.network.client(11).hangs = hangs;
        // 101 claims at 10 a second, twice the time.
        scope.run(ms(20_000), Some(6));
        assert_eq!((scope.home(), scope.asked()), (Some(9), 0));
        scope.run(ms(4000), Some(6));
        assert_eq!(scope.home(), Some(50));
        assert!(scope.asked() > 0);
        // Its silence is judged when those of 8 had the time to fall silent, too.
        scope.run(ms(20_000), Some(6));
        assert_eq!(scope.home(), (!hangs).then_some(50));
    }
}

// D4, A-65: who was to claim them dies before it does; it is the turn of the next.
#[test]
fn elements_whose_heir_dies_are_claimed_by_the_next() {
    let mut scope = Scope::new(50, Some(5));
    scope.run(ms(3000), Some(6));
    assert_eq!(scope.home(), Some(9));
    scope.network.crash(8);
    for _ in 0..100 {
        scope.tell(9, enrp::InitTakeoverAck { target: RegistrarId(8) });
        scope.run(ms(100), Some(6));
    }
    assert_eq!(scope.home(), Some(50));
}

// ENRP-3.6.3-07: an association that was interrupted is no restart: what the owner does not list has left, and nobody
// claims it back. Of a registrar that does not tell its incarnation, as rsplib's, nothing else is known either.
#[test]
fn elements_that_left_during_an_interruption_are_not_claimed() {
    for incarnation in [Some(5), None] {
        for id in [1, 50] {
            let mut scope = Scope::new(id, incarnation);
            scope.network.hang_up(9, scope.nine);
            scope.network.run(ms(10));
            // Registrar 1 has connected again.
            scope.nine = scope.network.client(9).up.pop().unwrap();
            scope.run(ms(500), incarnation);
            assert_eq!((scope.home(), scope.asked()), (None, 0), "{incarnation:?} {id}");
        }
    }
}

// ENRP-3.6.3-07, the same with real registrars: 1 does not hear that an element of 3 leaves, and 2 must not have it back
// from 1.
#[test]
fn an_element_that_deregistered_during_an_interruption_does_not_return() {
    let mut network = Network::of_registrars(3);
    let assoc = network.add_element(11, 3);
    network.run(ms(100));
    network.cut(1, 3);
    network.run(ms(100));
    network.ask(11, assoc, asap::Deregistration { handle: pool(), id: PeIdentifier(11) });
    network.run(ms(200));
    network.heal(1, 3);
    let gone = network.now;
    network.run(ms(3000));
    let returned = |host: Host| {
        let told = network.timed_events(host);
        let stored = |event: &Event| {
            matches!(event, Event::ElementRegistered { .. } | Event::ElementReregistered { .. })
        };
        told.into_iter().filter(|(at, event)| *at > gone && stored(event)).count()
    };
    assert_eq!([1, 2, 3].map(returned), [0; 3]);
    assert!([1, 2, 3].iter().all(|host| network.table(*host).is_empty()));
    assert!(network.client(11).keep_alives(gone).is_empty());
}

// D4, the same with real registrars: 3 is started anew with its identifier; its element, which does not notice, stays
// registered with all of them.
#[test]
fn an_element_of_a_registrar_that_was_started_anew_is_claimed_once() {
    let mut network = Network::of_registrars(3);
    network.add_element(11, 3);
    network.run(ms(100));
    network.crash(3);
    network.start(3, &[1, 2]);
    network.run(ms(3000));
    assert_eq!([1, 2, 3].map(|host| network.table(host)), [(); 3].map(|()| vec![(11, 1)]));
    let removed = |event: &Event| matches!(event, Event::ElementRemoved { .. });
    assert!([1, 2, 3].iter().all(|host| !network.events(*host).into_iter().any(removed)));
}

// D4, the same when the one that would claim it is started anew as well: it does not know that 3 was.
#[test]
fn an_element_of_a_registrar_that_was_started_anew_with_its_heir_is_claimed() {
    let mut network = Network::of_registrars(3);
    network.add_element(11, 3);
    network.run(ms(100));
    network.crash(1);
    network.crash(3);
    network.start(1, &[2, 3]);
    network.start(3, &[1, 2]);
    network.run(ms(15_000));
    let tables = [1, 2, 3].map(|host| network.table(host));
    assert_eq!(
        tables.each_ref().map(|table| table.iter().map(|(id, _)| *id).collect::<Vec<_>>()),
        [[11]; 3].map(Vec::from)
    );
    assert!(tables.windows(2).all(|pair| pair[0] == pair[1]), "{tables:?}");
}
