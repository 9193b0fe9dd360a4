//! Design D4, D11: that this host cannot connect, since it has no room for another association or no way, is no evidence
//! against anybody.

use crate::bounds::{asap, enrp, foreign};
use crate::flow::{at, drain, message, up, with_peer_and_element};
use crate::network::{element, pool};
use params::{PeIdentifier, PoolElement, RegistrarId, RegistrationLife};
use rserpool_proto::registrar::{Event, PeerDownReason, Registrar, RemovalReason};
use rserpool_proto::{AssocId, Channel, DownReason, Input, Node, PPID_ASAP, Transmit};
use std::net::SocketAddr;

const ELEMENTS: std::ops::Range<u16> = 1000..1010;

fn no_room() -> DownReason {
    DownReason::CannotConnect("too many associations".into())
}

fn connects(transmits: &[Transmit], channel: Channel) -> Vec<(AssocId, SocketAddr)> {
    let connects = transmits.iter().filter_map(|transmit| match transmit {
        Transmit::Connect { assoc, channel: of, remote } if *of == channel => Some((*assoc, remote[0])),
        _ => None,
    });
    connects.collect()
}

fn removals(registrar: &mut Registrar) -> Vec<(u32, RemovalReason)> {
    let events = std::iter::from_fn(|| registrar.poll_event());
    let removed = events.filter_map(|event| match event {
        Event::ElementRemoved { id, why, .. } => Some((id.0, why)),
        _ => None,
    });
    removed.collect()
}

/// A registrar that is about to claim the elements of its dead peer, which registered for 30 s.
fn with_claims() -> Registrar {
    let (mut registrar, peer, _) = with_peer_and_element(|_| {});
    registrar.handle_input(at(1), asap(0, asap::Deregistration { handle: pool(), id: PeIdentifier(11) }));
    for id in ELEMENTS {
        let mut update = foreign(id);
        update.element.life = RegistrationLife(30);
        registrar.handle_input(at(1), enrp(0, update));
    }
    removals(&mut registrar);
    registrar.handle_input(at(2), Input::Down { assoc: peer, why: DownReason::Unreachable });
    let again = connects(&drain(&mut registrar), Channel::Enrp);
    registrar.handle_input(at(2), Input::Down { assoc: again[0].0, why: DownReason::Unreachable });
    registrar
}

/// Lets time pass without room for another association; how many connects that refused.
fn without_room(registrar: &mut Registrar, millis: std::ops::Range<u64>) -> usize {
    let mut refused = 0;
    for now in millis.step_by(10) {
        registrar.handle_timeout(at(now));
        for (assoc, _) in connects(&drain(registrar), Channel::Asap) {
            refused += 1;
            registrar.handle_input(at(now), Input::Down { assoc, why: no_room() });
        }
    }
    refused
}

#[test]
fn claims_wait_until_there_is_room() {
    let mut registrar = with_claims();
    let refused = without_room(&mut registrar, 2..5000);
    let pace = |interval: usize| ELEMENTS.len() * 5000 / interval;
    assert!((pace(260)..=pace(125)).contains(&refused), "at that of keep-alives: {refused}");
    assert_eq!(removals(&mut registrar), []);
    let status = registrar.status(at(5000));
    assert_eq!((status.owned_elements, status.silent_elements), (10, 0));
    assert_eq!(status.counters.elements_not_asked, refused as u64);
    for now in (5000..7000).step_by(10) {
        registrar.handle_timeout(at(now));
        for (assoc, remote) in connects(&drain(&mut registrar), Channel::Asap) {
            let (channel, local) = (Channel::Asap, Vec::new());
            let up = Input::Up { assoc, channel, remote: vec![remote], local, streams: 16 };
            registrar.handle_input(at(now), up);
            let id = PeIdentifier(remote.port().into());
            let ack = asap::Message::from(asap::EndpointKeepAliveAck { handle: pool(), id });
            registrar.handle_input(at(now), message(assoc, PPID_ASAP, ack.encode().unwrap()));
        }
    }
    assert_eq!(registrar.status(at(7000)).counters.keep_alive_acks, 10);
    assert_eq!(removals(&mut registrar), []);
}

#[test]
fn what_cannot_be_asked_stays_as_long_as_its_registration() {
    let mut registrar = with_claims();
    without_room(&mut registrar, 2..29_000);
    assert_eq!(removals(&mut registrar), []);
    without_room(&mut registrar, 29_000..40_000);
    let mut removed = removals(&mut registrar);
    removed.sort_by_key(|(id, _)| *id);
    let expired: Vec<_> = ELEMENTS.map(|id| (u32::from(id), RemovalReason::Expired)).collect();
    assert_eq!(removed, expired);
}

//
#[test]
fn a_reported_element_that_cannot_be_asked_stays() {
    let (mut registrar, ..) = with_peer_and_element(|_| {});
    registrar.handle_input(at(1), enrp(0, foreign(1000)));
    registrar.handle_input(at(2), up(Channel::Asap, 1, 21));
    drain(&mut registrar);
    let report = asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(1000) };
    registrar.handle_input(at(2), asap(1, report));
    let asked = connects(&drain(&mut registrar), Channel::Asap);
    assert_eq!(asked.len(), 1);
    registrar.handle_input(at(2), Input::Down { assoc: asked[0].0, why: no_room() });
    assert_eq!(drain(&mut registrar), [], "nobody hears that it is gone");
    assert_eq!(removals(&mut registrar), []);
    assert_eq!(registrar.status(at(2)).elements, 2);
}

//
#[test]
fn an_identifier_whose_owner_cannot_be_asked_is_not_free() {
    let (mut registrar, ..) = with_peer_and_element(|_| {});
    registrar.handle_input(at(1), enrp(0, foreign(1000)));
    registrar.handle_input(at(2), up(Channel::Asap, 1, 21));
    let element = PoolElement { id: PeIdentifier(1000), ..element(21) };
    registrar.handle_input(at(2), asap(1, asap::Registration { handle: pool(), element }));
    let asked = connects(&drain(&mut registrar), Channel::Asap);
    registrar.handle_input(at(2), Input::Down { assoc: asked[0].0, why: no_room() });
    let sent = drain(&mut registrar);
    let [Transmit::Send { bytes, .. }] = &sent[..] else { panic!("{sent:?}") };
    let Ok(asap::Message::RegistrationResponse(response)) = asap::decode(bytes).message else { panic!() };
    assert!(response.rejected);
}

// nothing leads to it from here, now or later: it is not there for us, and whoever comes with its identifier is.
#[test]
fn an_element_that_nothing_leads_to_does_not_keep_its_identifier() {
    let (mut registrar, ..) = with_peer_and_element(|_| {});
    registrar.handle_input(at(1), enrp(0, foreign(1000)));
    registrar.handle_input(at(2), up(Channel::Asap, 1, 21));
    let element = PoolElement { id: PeIdentifier(1000), ..element(21) };
    registrar.handle_input(at(2), asap(1, asap::Registration { handle: pool(), element }));
    let asked = connects(&drain(&mut registrar), Channel::Asap);
    registrar.handle_input(at(2), Input::Down { assoc: asked[0].0, why: DownReason::NoAddress });
    let answers = drain(&mut registrar).into_iter().filter_map(|transmit| match transmit {
        Transmit::Send { ppid: PPID_ASAP, bytes, .. } => asap::decode(&bytes).message.ok(),
        _ => None,
    });
    let answers: Vec<_> = answers.collect();
    assert!(
        matches!(&answers[..], [asap::Message::RegistrationResponse(response)] if !response.rejected),
        "{answers:?}"
    );
}

/// A registrar whose association to its peer, 9, has just failed, and its first attempt to make another one.
fn without_peer() -> (Registrar, AssocId) {
    let (mut registrar, peer, _) = with_peer_and_element(|_| {});
    registrar.handle_input(at(1), enrp(0, foreign(1000)));
    registrar.handle_input(at(2), Input::Down { assoc: peer, why: DownReason::Unreachable });
    let again = connects(&drain(&mut registrar), Channel::Enrp);
    (registrar, again[0].0)
}

fn peer_downs(registrar: &mut Registrar) -> Vec<PeerDownReason> {
    let events = std::iter::from_fn(|| registrar.poll_event());
    let downs = events.filter_map(|event| match event {
        Event::PeerDown { id: RegistrarId(9), why } => Some(why),
        _ => None,
    });
    downs.collect()
}

/// Lets time pass; the attempts to reach the peer.
fn attempts(registrar: &mut Registrar, millis: std::ops::Range<u64>, answer: Option<DownReason>) -> usize {
    let mut attempts = 0;
    for now in millis.step_by(10) {
        registrar.handle_timeout(at(now));
        for (assoc, _) in connects(&drain(registrar), Channel::Enrp) {
            attempts += 1;
            let down = answer.clone().map(|why| Input::Down { assoc, why });
            down.into_iter().for_each(|down| registrar.handle_input(at(now), down));
        }
    }
    attempts
}

#[test]
fn a_peer_that_cannot_be_reached_from_here_is_only_silent() {
    let (mut registrar, attempt) = without_peer();
    registrar.handle_input(at(2), Input::Down { assoc: attempt, why: no_room() });
    assert_eq!(drain(&mut registrar), [], "it would fail again");
    assert_eq!(peer_downs(&mut registrar), []);
    let patience = 4 * 250;
    let tried = attempts(&mut registrar, 10..patience, Some(no_room()));
    assert!((1..=4).contains(&tried), "with each heartbeat: {tried}");
    assert_eq!(peer_downs(&mut registrar), []);
    attempts(&mut registrar, patience..patience + 20, Some(no_room()));
    assert_eq!(peer_downs(&mut registrar), [PeerDownReason::NotHeard]);
}
