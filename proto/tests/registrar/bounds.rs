//! Design D11, D12: whatever the other ends do, what it costs the registrar has bounds.

use crate::flow::{at, drain, message, registrar, up, with_peer_and_element};
use crate::network::{element, ip, pool};
use params::{PeIdentifier, PoolElement, RegistrarId, ServerInformation};
use rserpool_proto::registrar::{Config, Registrar};
use rserpool_proto::{AssocId, Channel, DownReason, Input, Node, PPID_ASAP, PPID_ENRP, Transmit};
use std::collections::BTreeSet;

const PEER: RegistrarId = RegistrarId(9);

pub(crate) fn asap(n: u64, body: impl Into<asap::Message>) -> Input {
    message(AssocId::accepted(Channel::Asap, n), PPID_ASAP, body.into().encode().unwrap())
}

pub(crate) fn enrp(n: u64, body: impl Into<enrp::Body>) -> Input {
    let message = enrp::Message { sender: PEER, receiver: RegistrarId::NONE, body: body.into() };
    self::message(AssocId::accepted(Channel::Enrp, n), PPID_ENRP, message.encode().unwrap())
}

fn sctp(host: u8, port: u16) -> params::SctpTransport {
    let transport_use = params::TransportUse::DATA_ONLY;
    params::SctpTransport { port, transport_use, addresses: vec![ip(host)] }
}

/// Element `id` of the peer, with an ASAP endpoint of its own.
pub(crate) fn foreign(id: u16) -> enrp::HandleUpdate {
    let asap_transport = Some(sctp(30, id));
    let element = PoolElement { id: PeIdentifier(id.into()), home: PEER, asap_transport, ..element(30) };
    enrp::HandleUpdate { action: enrp::UpdateAction::ADD_PE, handle: pool(), element }
}

fn sent_to(assoc: AssocId, transmits: &[Transmit]) -> Vec<bytes::Bytes> {
    let sent = transmits.iter().filter_map(|transmit| match transmit {
        Transmit::Send { assoc: to, bytes, .. } if *to == assoc => Some(bytes.clone()),
        _ => None,
    });
    sent.collect()
}

fn aborted(transmits: &[Transmit]) -> BTreeSet<AssocId> {
    let aborted = transmits.iter().filter_map(|transmit| match transmit {
        Transmit::Abort { assoc, .. } => Some(*assoc),
        _ => None,
    });
    aborted.collect()
}

// Design D7, D12: a client that reports everything makes no burst of probes; in the end each element was asked.
#[test]
fn reports_of_many_elements_are_looked_into_at_the_rate_of_probes() {
    let (mut registrar, ..) = with_peer_and_element(|_| {});
    for id in 1000..1500 {
        registrar.handle_input(at(1), enrp(0, foreign(id)));
    }
    registrar.handle_input(at(2), up(Channel::Asap, 1, 21));
    for id in 1000..1500 {
        registrar.handle_input(
            at(3),
            asap(1, ::asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(id) }),
        );
    }
    let connects = |transmits: Vec<Transmit>| {
        transmits
            .into_iter()
            .filter(|t| matches!(t, Transmit::Connect { channel: Channel::Asap, .. }))
            .count()
    };
    let mut asked = connects(drain(&mut registrar));
    assert_eq!(asked, 20, "2000 a second are 20 in 10 ms");
    while asked < 500 {
        let (due, name) = registrar.poll_timeout().unwrap();
        assert!(due <= at(300), "{asked} were asked");
        registrar.handle_timeout(due);
        let more = connects(drain(&mut registrar));
        assert!(more <= 20, "{more} at {name}");
        asked += more;
    }
    assert_eq!(asked, 500);
}

/// Registers these elements, which are asked over one association, over which nothing is answered.
fn register_many(registrar: &mut Registrar, ids: std::ops::Range<u16>) -> AssocId {
    let assoc = AssocId::accepted(Channel::Asap, 7);
    registrar.handle_input(at(1), up(Channel::Asap, 7, 30));
    for id in ids {
        let element = PoolElement { id: PeIdentifier(id.into()), ..element(30) };
        registrar.handle_input(at(1), asap(7, ::asap::Registration { handle: pool(), element }));
    }
    drain(registrar);
    assoc
}

/// How many keep-alives leave in each of the next `count` steps of 10 ms.
fn asked_in_steps(registrar: &mut Registrar, assoc: AssocId, from: u64, count: u64) -> Vec<usize> {
    let step = |step| {
        registrar.handle_timeout(at(from + step * 10));
        let is_keep_alive = |bytes: &bytes::Bytes| {
            matches!(::asap::decode(bytes).message, Ok(::asap::Message::EndpointKeepAlive(_)))
        };
        sent_to(assoc, &drain(registrar)).iter().filter(|bytes| is_keep_alive(bytes)).count()
    };
    (0..count).map(step).collect()
}

// Design D7: after a cut two registrars own the same elements; who wins takeovers claims all of them, but not in a burst.
#[test]
fn elements_that_two_registrars_own_are_claimed_at_the_rate_of_probes() {
    let (mut registrar, ..) = with_peer_and_element(|_| {});
    let assoc = register_many(&mut registrar, 1000..1500);
    let presence =
        ::enrp::Presence { reply_required: true, checksum: Some(1), information: None, silent: Vec::new() };
    registrar.handle_input(at(2), enrp(0, presence));
    drain(&mut registrar);
    let elements = (1000..1500).map(|id| foreign(id).element).collect();
    let entries = vec![::enrp::PoolEntry { handle: pool(), elements }];
    registrar
        .handle_input(at(3), enrp(0, ::enrp::HandleTableResponse { rejected: false, more: false, entries }));
    assert_eq!(asked_in_steps(&mut registrar, assoc, 3, 5), [20; 5], "2000 a second are 20 in 10 ms");
}

// Design D7, A-63: nor does a peer, or a host that is started anew, make a burst of verifications; and these do not wait
// for each other.
#[test]
fn doubts_of_many_elements_are_looked_into_at_the_rate_of_probes() {
    let (mut registrar, ..) = with_peer_and_element(|_| {});
    let assoc = register_many(&mut registrar, 1000..1500);
    for id in 1000..1400 {
        let action = ::enrp::UpdateAction::DEL_PE;
        registrar.handle_input(at(2), enrp(0, ::enrp::HandleUpdate { action, ..foreign(id) }));
    }
    registrar.handle_input(at(2), Input::Restart { assoc });
    registrar.handle_input(at(2), up(Channel::Asap, 1, 21));
    let report = ::asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(1450) };
    registrar.handle_input(at(2), asap(1, report));
    let asked = asked_in_steps(&mut registrar, assoc, 2, 1)[0];
    assert_eq!(asked, 20);
    registrar.handle_timeout(at(12));
    let of_second_share = drain(&mut registrar);
    assert_eq!(sent_to(assoc, &of_second_share).len(), 20);
    assert_eq!(asked_in_steps(&mut registrar, assoc, 22, 3), [20; 3]);
}

// Design D7: a budget that has no share in 10 ms is kept all the same.
#[test]
fn a_small_budget_of_probes_is_kept() {
    let (mut registrar, ..) = with_peer_and_element(|config| config.limits.probes_per_second = 10);
    let assoc = register_many(&mut registrar, 1000..1010);
    for id in 1000..1010 {
        let action = ::enrp::UpdateAction::DEL_PE;
        registrar.handle_input(at(2), enrp(0, ::enrp::HandleUpdate { action, ..foreign(id) }));
    }
    let asked: usize = asked_in_steps(&mut registrar, assoc, 2, 21).iter().sum();
    assert_eq!(asked, 3, "one every 100 ms");
}

// of two registrars that gave an element up for each other the one that loses takeovers waits, whatever else it
// claims.
#[test]
fn who_yields_does_not_claim_early() {
    let (mut registrar, _, element) = with_peer_and_element(|config| config.id = Some(RegistrarId(50)));
    let assoc = register_many(&mut registrar, 1000..1003);
    // 11 moves to the peer, which does not list it: it still is connected here.
    let theirs = PoolElement { asap_transport: Some(sctp(11, 3863)), home: PEER, ..self::element(11) };
    let moved =
        ::enrp::HandleUpdate { action: ::enrp::UpdateAction::ADD_PE, handle: pool(), element: theirs };
    registrar.handle_input(at(2), enrp(0, moved));
    registrar.handle_timeout(at(260));
    let presence = ::enrp::Presence {
        reply_required: true,
        checksum: Some(0xffff),
        information: None,
        silent: Vec::new(),
    };
    // It did not say in time that it is ours still.
    registrar.handle_input(at(520), enrp(0, presence));
    let empty = ::enrp::HandleTableResponse { rejected: false, more: false, entries: Vec::new() };
    registrar.handle_input(at(521), enrp(0, empty));
    drain(&mut registrar);
    registrar.handle_input(at(522), Input::Restart { assoc });
    let asked = asked_in_steps(&mut registrar, element, 522, 30);
    assert_eq!(asked.iter().position(|asked| *asked > 0), Some(25), "MAX-TIME-NO-RESPONSE later: {asked:?}");
}

// Design D7, D12: looking for reported elements has a bound, too, and what is beyond it is counted. A registration makes
// reports void, so that there is room for those of others.
#[test]
fn reports_beyond_what_can_be_looked_into_are_counted() {
    let (mut registrar, ..) = with_peer_and_element(|config| {
        config.limits.reported_elements = 30;
        config.limits.probes_per_second = 10;
    });
    register_many(&mut registrar, 1000..1035);
    registrar.handle_input(at(2), up(Channel::Asap, 1, 21));
    let report =
        |id: u16| asap(1, ::asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(id.into()) });
    (1000..1035).for_each(|id| registrar.handle_input(at(2), report(id)));
    assert_eq!(registrar.status(at(2)).counters.reports_refused, 5);
    register_many(&mut registrar, 1000..1010);
    (1000..1035).for_each(|id| registrar.handle_input(at(3), report(id)));
    assert_eq!(registrar.status(at(3)).counters.reports_refused, 10, "1030 to 1034 have taken five places");
}

// ENRP-3.4.3-03, design D11: a peer that takes nothing, so that its associations are ended one after the other, dies.
#[test]
fn a_peer_that_never_takes_anything_dies() {
    let (mut registrar, mut peer, _) = with_peer_and_element(|_| {});
    let hello =
        ::enrp::Presence { reply_required: true, checksum: None, information: None, silent: Vec::new() };
    registrar.handle_input(at(2), enrp(0, hello));
    let dead = |registrar: &mut Registrar| {
        let mut events = std::iter::from_fn(|| registrar.poll_event());
        events.any(|event| matches!(event, rserpool_proto::registrar::Event::PeerDown { .. }))
    };
    let mut now = 10;
    while !dead(&mut registrar) {
        assert!(now < 2000, "it never dies");
        registrar.handle_input(at(now), Input::Down { assoc: peer, why: DownReason::LocalAbort });
        let connects = drain(&mut registrar).into_iter().filter_map(|transmit| match transmit {
            Transmit::Connect { assoc, channel: Channel::Enrp, .. } => Some(assoc),
            _ => None,
        });
        let Some(again) = connects.last() else { break };
        peer = again;
        let remote = vec![crate::network::endpoint(9, Channel::Enrp)];
        let local = vec![ip(1)];
        registrar.handle_input(
            at(now + 1),
            Input::Up { assoc: peer, channel: Channel::Enrp, remote, local, streams: 16 },
        );
        now += 100;
        registrar.handle_timeout(at(now));
    }
    assert!(now >= 1000, "4 times MAX-TIME-NO-RESPONSE: {now}");
}

// Design D11: a length does not hold more than 65,535 (RFC 5354 §2), whatever is configured: each page of a table, and
// each answer, is one that can be sent.
#[test]
fn limits_beyond_what_a_message_holds_leave_every_answer_sendable() {
    let (mut registrar, peer, _) = with_peer_and_element(|config| {
        config.limits.table_response_bytes = usize::MAX;
        config.limits.resolution_bytes = usize::MAX;
        config.limits.resolution_items = usize::MAX;
    });
    let information = Some(ServerInformation {
        id: PEER,
        transport: sctp(9, 9901),
        table_response_size: Some(u32::MAX),
        incarnation: None,
    });
    registrar.handle_input(
        at(1),
        enrp(0, ::enrp::Presence { reply_required: false, checksum: None, information, silent: Vec::new() }),
    );
    for id in 1000..3000 {
        registrar.handle_input(at(1), enrp(0, foreign(id)));
    }
    drain(&mut registrar);
    let (mut more, mut listed) = (true, 0);
    while more {
        registrar.handle_input(at(2), enrp(0, ::enrp::HandleTableRequest { own_children_only: false }));
        let pages = sent_to(peer, &drain(&mut registrar));
        assert_eq!(pages.len(), 1, "an answer");
        let ::enrp::Body::HandleTableResponse(page) =
            ::enrp::decode(&pages[0], RegistrarId::NONE).message.unwrap().body
        else {
            panic!()
        };
        more = page.more;
        listed += page.entries.iter().map(|entry| entry.elements.len()).sum::<usize>();
    }
    assert!(listed >= 2001, "{listed}");
    registrar.handle_input(at(2), up(Channel::Asap, 1, 21));
    let wanted = ::asap::HandleResolution { subscribe: false, handle: pool(), items: None };
    registrar.handle_input(at(3), asap(1, wanted));
    assert_eq!(sent_to(AssocId::accepted(Channel::Asap, 1), &drain(&mut registrar)).len(), 1);
    assert_eq!(registrar.status(at(3)).counters.send_failures, 0);
}

/// A registrar that takes 16 associations, `mute` of which have said nothing since a second, and one that has.
fn with_mute(mute: u64) -> Registrar {
    let mut registrar = registrar(|config: &mut Config| config.limits.associations = 16);
    for n in 0..=mute {
        registrar.handle_input(at(1000), up(Channel::Asap, n, 20 + u8::try_from(n).unwrap()));
    }
    let wanted = ::asap::HandleResolution { subscribe: false, handle: pool(), items: None };
    registrar.handle_input(at(1000), asap(0, wanted));
    drain(&mut registrar);
    registrar
}

/// Who is aborted until the time, and goes.
fn aborted_until(registrar: &mut Registrar, millis: u64) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some((due, _)) = registrar.poll_timeout().filter(|(due, _)| *due <= at(millis)) {
        registrar.handle_timeout(due);
        for assoc in aborted(&drain(registrar)) {
            all.push(assoc.as_u64() & 0xff);
            registrar.handle_input(due, Input::Down { assoc, why: DownReason::LocalAbort });
        }
    }
    all
}

// associations without any message are tolerated; the oldest make room when there is hardly any left.
#[test]
fn mute_associations_do_not_lock_others_out() {
    let mut full = with_mute(15);
    assert_eq!(aborted_until(&mut full, 10_500), [], "they have ten seconds to say something");
    assert_eq!(aborted_until(&mut full, 11_500), [1, 2, 3], "an eighth is kept free");
    assert_eq!(aborted_until(&mut full, 60_000), []);
    full.handle_input(at(60_000), up(Channel::Asap, 16, 50));
    assert_eq!(full.status(at(60_000)).counters.associations_refused, 0);
    assert_eq!(aborted_until(&mut full, 60_500), [4], "who came long ago goes for the next");
    assert_eq!(full.status(at(60_500)).counters.mute_associations_aborted, 4);
    let mut roomy = with_mute(12);
    assert_eq!(aborted_until(&mut roomy, 60_000), []);
    assert_eq!(roomy.status(at(60_000)).counters.mute_associations_aborted, 0);
}

// Design D11: registrars are limited, too. One that comes too late is not heard until there is a place, and those that are
// known go on.
#[test]
fn registrars_beyond_the_limit_are_refused() {
    let mut registrar = registrar(|_| {});
    let says = |n: u64, body: ::enrp::Body| {
        let sender = RegistrarId(100 + u32::try_from(n).unwrap());
        let message = ::enrp::Message { sender, receiver: RegistrarId::NONE, body };
        self::message(AssocId::accepted(Channel::Enrp, n), PPID_ENRP, message.encode().unwrap())
    };
    let hello = |n| {
        let presence =
            ::enrp::Presence { reply_required: false, checksum: None, information: None, silent: Vec::new() };
        says(n, presence.into())
    };
    for n in 0..65 {
        registrar.handle_input(at(1), up(Channel::Enrp, n, 100 + u8::try_from(n).unwrap()));
        registrar.handle_input(at(1), hello(n));
    }
    let known = |registrar: &Registrar| {
        let status = registrar.status(at(2));
        (status.peers, status.counters.peers_refused)
    };
    assert_eq!(known(&registrar), (64, 1));
    drain(&mut registrar);
    let last = AssocId::accepted(Channel::Enrp, 64);
    registrar.handle_input(at(2), says(64, ::enrp::ListRequest.into()));
    assert_eq!(sent_to(last, &drain(&mut registrar)).len(), 0);
    registrar.handle_input(at(2), says(0, ::enrp::ListRequest.into()));
    assert_eq!(sent_to(AssocId::accepted(Channel::Enrp, 0), &drain(&mut registrar)).len(), 1);
    assert_eq!(known(&registrar), (64, 2));
    let why = DownReason::Unreachable;
    registrar.handle_input(at(2), Input::Down { assoc: AssocId::accepted(Channel::Enrp, 1), why });
    registrar.handle_input(at(2), hello(64));
    assert_eq!(known(&registrar), (64, 2), "there is a place again");
}

// Design D11: nor is every address tried that somebody tells; whoever is not there makes room for the next.
#[test]
fn addresses_of_registrars_beyond_the_limit_are_refused() {
    let mut registrar = registrar(|_| {});
    let tried = |registrar: &mut Registrar, host: u8| {
        registrar.add_peer(at(1), vec![crate::network::endpoint(host, Channel::Enrp)]);
        let connects = drain(registrar).into_iter().filter_map(|transmit| match transmit {
            Transmit::Connect { assoc, .. } => Some(assoc),
            _ => None,
        });
        connects.collect::<Vec<_>>()
    };
    let refused = |registrar: &Registrar| registrar.status(at(1)).counters.contacts_refused;
    let first = tried(&mut registrar, 100);
    for host in 101..164 {
        assert_eq!(tried(&mut registrar, host).len(), 1);
    }
    assert_eq!(refused(&registrar), 0);
    assert_eq!((tried(&mut registrar, 164), refused(&registrar)), (vec![], 1));
    assert_eq!((tried(&mut registrar, 100), refused(&registrar)), (vec![], 1), "it is known");
    registrar.handle_input(at(1), Input::Down { assoc: first[0], why: DownReason::Unreachable });
    assert_eq!(tried(&mut registrar, 164).len(), 1);
    assert_eq!((tried(&mut registrar, 165), refused(&registrar)), (vec![], 3));
}

// Design D11: reports are kept of so many elements, and so many clients each, and no more; an element that is unknown is another matter.
#[test]
fn reports_beyond_what_is_kept_are_counted() {
    let (mut registrar, ..) = with_peer_and_element(|config| config.limits.reported_elements = 2);
    register_many(&mut registrar, 1000..1003);
    let report =
        |n: u64, id: u32| asap(n, ::asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(id) });
    for n in 11..=76 {
        registrar.handle_input(at(2), up(Channel::Asap, n, 100 + u8::try_from(n).unwrap()));
        registrar.handle_input(at(2), report(n, 1000));
    }
    // Of whom is remembered already more is no news.
    registrar.handle_input(at(2), report(11, 1000));
    let counted = |registrar: &Registrar| {
        let counters = registrar.status(at(2)).counters;
        (counters.reporters_refused, counters.reports_refused, counters.reports_ignored)
    };
    assert_eq!(counted(&registrar), (2, 0, 0));
    (1001..1003).for_each(|id| registrar.handle_input(at(2), report(11, id)));
    assert_eq!(counted(&registrar), (2, 1, 0));
    registrar.handle_input(at(2), report(11, 9999));
    assert_eq!(counted(&registrar), (2, 1, 1));
}

// who has said anything stays, however few places are left.
#[test]
fn associations_that_have_said_something_stay() {
    let mut registrar = with_mute(15);
    for n in 1..=15 {
        let id = PeIdentifier(1);
        registrar.handle_input(at(2000), asap(n, ::asap::EndpointUnreachable { handle: pool(), id }));
    }
    assert_eq!(aborted_until(&mut registrar, 60_000), []);
}

/// A registrar with `clients` clients that do not read, client `n` at association `n`, and its peer and element.
fn with_closed_clients(clients: u64, adapt: impl FnOnce(&mut Config)) -> (Registrar, AssocId, AssocId) {
    let (mut registrar, peer, element) = with_peer_and_element(adapt);
    for n in 1..=clients {
        registrar.handle_input(at(2), up(Channel::Asap, n, 20 + u8::try_from(n).unwrap()));
        registrar.handle_input(at(2), Input::Full { assoc: AssocId::accepted(Channel::Asap, n) });
    }
    (registrar, peer, element)
}

/// Client `n` asks `times` times; who is aborted for that.
fn asks(registrar: &mut Registrar, n: u64, times: usize) -> Vec<u64> {
    for _ in 0..times {
        let wanted = ::asap::HandleResolution { subscribe: false, handle: pool(), items: None };
        registrar.handle_input(at(3), asap(n, wanted));
    }
    let aborted = aborted(&drain(registrar));
    for assoc in &aborted {
        let gone = Input::Down { assoc: *assoc, why: DownReason::LocalAbort };
        registrar.handle_input(at(3), gone);
    }
    aborted.into_iter().map(|assoc| assoc.as_u64() & 0xff).collect()
}

/// How long the answer to a resolution is.
fn answer_bytes() -> usize {
    let (mut registrar, ..) = with_peer_and_element(|_| {});
    registrar.handle_input(at(2), up(Channel::Asap, 1, 21));
    let wanted = ::asap::HandleResolution { subscribe: false, handle: pool(), items: None };
    registrar.handle_input(at(3), asap(1, wanted));
    sent_to(AssocId::accepted(Channel::Asap, 1), &drain(&mut registrar))[0].len()
}

// Design D11: what waits for all clients together is limited, too; whoever takes most of it goes, and nobody else.
#[test]
fn of_clients_that_do_not_read_the_greediest_goes() {
    let answer = answer_bytes();
    let (mut registrar, peer, _) =
        with_closed_clients(4, |config| config.limits.queued_bytes_total = 10 * answer);
    assert_eq!(asks(&mut registrar, 1, 3), []);
    assert_eq!(asks(&mut registrar, 2, 4), []);
    assert_eq!(asks(&mut registrar, 3, 3), [], "that is all there is");
    assert_eq!(asks(&mut registrar, 4, 1), [2]);
    assert_eq!(asks(&mut registrar, 4, 3), [], "its place is free");
    assert_eq!(asks(&mut registrar, 4, 1), [4]);
    // What was taken out counts no more.
    registrar.handle_input(at(4), Input::Writable { assoc: AssocId::accepted(Channel::Asap, 1) });
    assert_eq!(sent_to(AssocId::accepted(Channel::Asap, 1), &drain(&mut registrar)).len(), 3);
    assert_eq!(asks(&mut registrar, 3, 7), []);
    assert_eq!(asks(&mut registrar, 3, 1), [3]);
    assert_eq!(registrar.status(at(4)).counters.queue_overflows, 3);
    // The peers have room of their own.
    registrar.handle_input(at(5), Input::Full { assoc: peer });
    let renewed = PoolElement { life: params::RegistrationLife(9), ..element(11) };
    registrar.handle_input(at(5), asap(0, ::asap::Registration { handle: pool(), element: renewed }));
    assert_eq!(aborted(&drain(&mut registrar)), BTreeSet::new());
}

// Design D11: one client may hold back less than a registrar, but always one answer.
#[test]
fn a_client_may_hold_back_less_than_a_peer() {
    let answer = answer_bytes();
    let (mut registrar, ..) = with_closed_clients(2, |config| {
        config.limits.queued_bytes_per_client = 3 * answer;
        config.limits.queued_bytes = 100 * answer;
    });
    assert_eq!(asks(&mut registrar, 1, 3), []);
    assert_eq!(asks(&mut registrar, 1, 1), [1]);
    let (mut registrar, ..) = with_closed_clients(1, |config| config.limits.queued_bytes_per_client = 1);
    assert_eq!(asks(&mut registrar, 1, 1), []);
    assert_eq!(asks(&mut registrar, 1, 1), [1]);
}

// Design D11, ASAP-3.1-39: a few large elements may not take what is meant for many small ones; nobody that is there
// suffers.
#[test]
fn the_bytes_of_all_elements_are_limited() {
    let sized = |id: u32, bytes: usize| PoolElement {
        id: PeIdentifier(id),
        user_transport: params::Transport::Opaque(vec![0; bytes].into()),
        ..element(12)
    };
    let mut registrar = registrar(|config| config.limits.element_bytes = 10_000);
    registrar.handle_input(at(1), up(Channel::Asap, 0, 12));
    let mut registered = |element: PoolElement| {
        registrar.handle_input(at(1), asap(0, ::asap::Registration { handle: pool(), element }));
        let sent = sent_to(AssocId::accepted(Channel::Asap, 0), &drain(&mut registrar));
        let ::asap::Message::RegistrationResponse(response) = ::asap::decode(&sent[0]).message.unwrap()
        else {
            panic!()
        };
        if let Some(error) = &response.error {
            assert_eq!(error.causes[0].code, params::CauseCode::LACK_OF_RESOURCES);
        }
        !response.rejected
    };
    assert!(registered(sized(1, 4000)));
    assert!(registered(sized(2, 4000)));
    assert!(!registered(sized(3, 4000)), "too much");
    assert!(registered(sized(3, 1000)));
    assert!(registered(sized(1, 4000)), "it is there already");
    assert!(!registered(sized(1, 6000)), "it may not grow");
    assert!(registered(sized(1, 100)));
    assert!(registered(sized(2, 7000)), "there is room again");
    let counters = registrar.status(at(1)).counters;
    assert_eq!((counters.elements_refused, counters.registrations_rejected), (2, 2));
}

// Design D11: the same goes for what peers tell.
#[test]
fn the_bytes_of_peers_elements_are_limited_as_well() {
    let (mut registrar, ..) = with_peer_and_element(|config| config.limits.element_bytes = 10_000);
    for id in 1000..1010 {
        let mut update = foreign(id);
        update.element.user_transport = params::Transport::Opaque(vec![0; 4000].into());
        registrar.handle_input(at(1), enrp(0, update));
    }
    let status = registrar.status(at(1));
    assert_eq!(
        (status.elements, status.counters.elements_refused),
        (3, 8),
        "two, and the one that was there"
    );
}
