//! What goes through a pipe, and what it holds.

use super::*;
use params::PoolElement;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

fn message(length: usize) -> Message {
    Message::new(vec![0; length])
}

/// A message that takes so much of the outbox.
fn taking(room: usize) -> Message {
    message(room - MESSAGE_OVERHEAD)
}

fn card(handle: &'static str, elements: Vec<PoolElement>) -> Incoming {
    Incoming::Card(Card { pool: handle.into(), elements })
}

fn failover(epoch: u32) -> Incoming {
    let (from, to) = (PeIdentifier(epoch), PeIdentifier(epoch + 1));
    Incoming::Failover { from, to, epoch, replayed: false }
}

fn refusal(length: usize) -> Incoming {
    Incoming::Refused { bytes: vec![0; length].into(), why: "too large" }
}

fn poll<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn ready<F: Future>(future: F) -> F::Output {
    match poll(future) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn a_full_outbox_makes_the_sender_wait_until_sctp_has_taken_as_much() {
    let pipe = Pipe::new(1000);
    ready(pipe.send(0, taking(600))).unwrap();
    assert!(poll(pipe.send(0, taking(600))).is_pending());
    pipe.sent(199);
    assert!(poll(pipe.send(0, taking(600))).is_pending());
    pipe.sent(1);
    ready(pipe.send(0, taking(600))).unwrap();
    assert_eq!(pipe.take_work().outgoing.len(), 2);
}

#[test]
fn a_message_larger_than_the_outbox_waits_until_it_is_alone() {
    let pipe = Pipe::new(1000);
    ready(pipe.send(0, taking(200))).unwrap();
    assert!(poll(pipe.send(0, taking(5000))).is_pending());
    pipe.sent(200);
    ready(pipe.send(0, taking(5000))).unwrap();
    assert!(poll(pipe.send(0, taking(128))).is_pending());
    pipe.sent(5000);
    ready(pipe.send(0, taking(1000))).unwrap();
    assert!(poll(pipe.send(0, taking(128))).is_pending());
}

#[test]
fn a_cancelled_send_leaves_nothing_behind() {
    let pipe = Pipe::new(1000);
    ready(pipe.send(0, taking(1000))).unwrap();
    for _ in 0..3 {
        assert!(poll(pipe.send(0, taking(1000))).is_pending()); // and dropped
    }
    assert_eq!(pipe.take_work().outgoing.len(), 1);
    pipe.sent(1000);
    ready(pipe.send(0, taking(1000))).unwrap();
    assert_eq!(pipe.take_work().outgoing.len(), 1);
}

#[test]
fn many_small_messages_fill_the_outbox_too() {
    let pipe = Pipe::new(10 * MESSAGE_OVERHEAD);
    for _ in 0..10 {
        ready(pipe.set_cookie(Bytes::new(), false)).unwrap();
    }
    assert!(poll(pipe.set_cookie(Bytes::new(), false)).is_pending());
    assert!(poll(pipe.send(0, message(1))).is_pending());
    pipe.sent(MESSAGE_OVERHEAD);
    ready(pipe.set_cookie(Bytes::new(), false)).unwrap();
}

// Who never receives does not pile up refusals: they hold the room of what was refused, whichever way it comes back.
#[test]
fn a_refused_message_holds_its_room_until_its_owner_has_heard_of_it() {
    for sent_first in [false, true] {
        let pipe = Pipe::new(1000);
        ready(pipe.send(0, taking(600))).unwrap();
        if sent_first {
            pipe.sent(600);
            ready(pipe.send(0, taking(600))).unwrap();
        }
        assert!(!pipe.deliver(refusal(600 - MESSAGE_OVERHEAD)));
        pipe.sent(600);
        assert!(poll(pipe.send(0, taking(401))).is_pending(), "sent first: {sent_first}");
        ready(pipe.recv()).unwrap();
        ready(pipe.send(0, taking(1000))).unwrap();
    }
}

// Received before its room has returned, it returns once.
#[test]
fn a_refusal_that_was_received_holds_nothing() {
    let pipe = Pipe::new(1000);
    ready(pipe.send(0, taking(600))).unwrap();
    assert!(!pipe.deliver(refusal(600 - MESSAGE_OVERHEAD)));
    ready(pipe.recv()).unwrap();
    assert!(poll(pipe.send(0, taking(401))).is_pending());
    pipe.sent(600);
    ready(pipe.send(0, taking(1000))).unwrap();
    assert!(poll(pipe.send(0, taking(MESSAGE_OVERHEAD))).is_pending());
}

// The peer chooses what is on its card, and how often it sends one.
#[test]
fn of_several_cards_the_latest_is_kept_and_counts_what_it_holds() {
    let pipe = Pipe::new(1000);
    let handle: &'static str = "x".repeat(60_000).leak();
    assert!(!pipe.deliver(Incoming::Message(message(1))));
    let pauses = (0..100).map(|_| pipe.deliver(card(handle, Vec::new()))).filter(|pause| *pause).count();
    assert_eq!(pauses, 0);
    assert!(pipe.state().inbox_cost > 60_000);
    assert!(!pipe.deliver(card("latest", Vec::new())));
    assert!(pipe.state().inbox_cost < 1000);
    assert!(matches!(ready(pipe.recv()), Ok((Incoming::Card(card), _)) if card.pool == "latest".into()));
    assert!(matches!(ready(pipe.recv()), Ok((Incoming::Message(_), _))));
    assert_eq!(pipe.state().inbox_cost, 0);
}

#[test]
fn a_card_counts_the_transports_of_its_elements() {
    let transport = params::Transport::Opaque(vec![0; 50_000].into());
    let element = PoolElement {
        id: PeIdentifier(1),
        home: params::RegistrarId::NONE,
        life: params::RegistrationLife(1000),
        user_transport: transport,
        policy: params::Policy::RoundRobin,
        asap_transport: None,
    };
    let pipe = Pipe::new(1000);
    assert!(pipe.deliver(card("pool", vec![element; 6])), "300 kB are above the mark");
}

#[test]
fn a_full_inbox_pauses_the_association_once_and_a_half_empty_one_resumes_it_once() {
    let pipe = Pipe::new(1000);
    let big = HIGH_WATER / 4 - MESSAGE_OVERHEAD;
    let pauses: Vec<bool> = (0..6).map(|_| pipe.deliver(Incoming::Message(message(big)))).collect();
    assert_eq!(pauses, [false, false, false, false, true, false]);
    assert!(!pipe.take_work().resume);
    let resumes: Vec<bool> = (0..4).map(|_| ready(pipe.recv()).unwrap().1).collect();
    assert_eq!(resumes, [false, false, false, true]);
    assert!(pipe.take_work().resume);
    assert!(!pipe.take_work().resume);
    assert!(!ready(pipe.recv()).unwrap().1);
}

#[test]
fn many_small_messages_fill_the_inbox_too() {
    let pipe = Pipe::new(1000);
    let delivered = (1..).find(|_| pipe.deliver(Incoming::Message(message(1))));
    assert_eq!(delivered, Some(HIGH_WATER / (MESSAGE_OVERHEAD + 1) + 1));
}

#[test]
fn a_message_carries_the_failovers_that_its_writer_knows_of() {
    let pipe = Pipe::new(1000);
    assert!(!pipe.deliver(failover(1)));
    ready(pipe.send(0, message(1))).unwrap();
    assert!(matches!(ready(pipe.recv()).unwrap().0, Incoming::Failover { epoch: 1, .. }));
    ready(pipe.send(1, message(1))).unwrap();
    let epoch = |outgoing: &Outgoing| match outgoing {
        Outgoing::Message { epoch, .. } => *epoch,
        _ => panic!("{outgoing:?}"),
    };
    assert!(pipe.take_work().outgoing.iter().map(epoch).eq([0, 1]));
}

// What was written for the former server is not sent to the new one, even if the other half of the session knows it already.
#[test]
fn a_writer_that_was_not_told_of_a_failover_is_refused() {
    let pipe = Pipe::new(1000);
    assert!(poll(pipe.failover(0)).is_pending());
    assert!(!pipe.deliver(failover(1)));
    assert!(poll(pipe.failover(0)).is_pending(), "its answers were not received yet");
    ready(pipe.recv()).unwrap();
    for _ in 0..3 {
        assert!(matches!(ready(pipe.send(0, taking(1000))), Err(SessionError::FailedOver)));
    }
    assert!(matches!(ready(pipe.failover(0)), Ok((1, PeIdentifier(2)))));
    assert!(poll(pipe.failover(1)).is_pending());
    ready(pipe.send(1, taking(1000))).unwrap();
}

#[test]
fn a_writer_waits_for_a_failover_until_there_is_one_or_the_end() {
    let mut context = Context::from_waker(Waker::noop());
    let pipe = Pipe::new(1000);
    let mut waiting = pin!(pipe.failover(0));
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    assert!(!pipe.deliver(failover(1)) && !pipe.deliver(failover(2)));
    ready(pipe.recv()).unwrap();
    ready(pipe.recv()).unwrap();
    assert!(matches!(waiting.poll(&mut context), Poll::Ready(Ok((2, PeIdentifier(3))))));
    let mut waiting = pin!(pipe.failover(2));
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    pipe.end(SessionError::Closed);
    assert!(matches!(waiting.poll(&mut context), Poll::Ready(Err(SessionError::Closed))));
}

#[test]
fn what_nobody_receives_is_dropped_and_stops_nobody() {
    let pipe = Pipe::new(1000);
    ready(pipe.send(0, taking(1000))).unwrap();
    assert!(!pipe.deliver(failover(1)));
    assert!(!pipe.deliver(refusal(1000 - MESSAGE_OVERHEAD)));
    pipe.sent(1000);
    assert!(pipe.deliver(Incoming::Message(message(HIGH_WATER))));
    assert!(pipe.deafen());
    assert!(pipe.take_work().resume);
    assert!(!pipe.deliver(Incoming::Message(message(2 * HIGH_WATER))));
    assert!(matches!(ready(pipe.failover(0)), Ok((1, _))));
    assert!(!pipe.deliver(failover(2)));
    assert!(matches!(ready(pipe.failover(1)), Ok((2, _))));
    ready(pipe.send(2, taking(1000))).unwrap();
}

#[test]
fn nothing_is_taken_once_the_session_is_closing() {
    let pipe = Pipe::new(1000);
    ready(pipe.send(0, taking(900))).unwrap();
    let mut waiting = pin!(pipe.send(0, taking(900)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    pipe.close_for_sending();
    assert!(matches!(waiting.poll(&mut context), Poll::Ready(Err(SessionError::Closed))));
    assert!(matches!(ready(pipe.send(0, message(1))), Err(SessionError::Closed)));
    assert!(matches!(ready(pipe.set_cookie(Bytes::new(), false)), Err(SessionError::Closed)));
    assert_eq!(pipe.take_work().outgoing.len(), 1, "what was taken before is there");
    assert!(poll(pipe.ended()).is_pending());
    pipe.end(SessionError::Closed);
    assert!(matches!(ready(pipe.ended()), SessionError::Closed));
}

#[test]
fn what_arrived_before_the_end_comes_before_the_end() {
    let pipe = Pipe::new(1000);
    ready(pipe.send(0, taking(1000))).unwrap();
    let mut waiting = pin!(pipe.send(0, message(1)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    assert!(!pipe.deliver(Incoming::Message(message(1))));
    pipe.end(SessionError::Lost("cut off".into()));

    assert!(matches!(waiting.poll(&mut context), Poll::Ready(Err(SessionError::Lost(_)))));
    assert!(matches!(ready(pipe.recv()), Ok((Incoming::Message(_), false))));
    assert!(matches!(ready(pipe.recv()), Err(SessionError::Lost(_))));
    assert!(matches!(ready(pipe.recv()), Err(SessionError::Lost(_))));
    assert!(matches!(ready(pipe.send(0, message(1))), Err(SessionError::Lost(_))));
    assert!(pipe.take_work().outgoing.is_empty());
}
