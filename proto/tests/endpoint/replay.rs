//! What was sent since the cookie is sent again after a failover (RFC 5351 §2.5, ambiguity A-51).

use super::*;
use rserpool_proto::endpoint::{ReplayLimits, SendError};

const FROM: PeIdentifier = PeIdentifier(1);

fn cookie(text: &'static str) -> asap::Cookie {
    asap::Cookie { cookie: Bytes::from_static(text.as_bytes()) }
}

fn echo(text: &'static str) -> Vec<asap::Message> {
    vec![asap::CookieEcho { cookie: Bytes::from_static(text.as_bytes()) }.into()]
}

fn failover(session: SessionId, replayed: bool) -> Event {
    let epoch = u32::from(!replayed);
    Event::Failover { session, from: FROM, to: PeIdentifier(2), epoch, replayed }
}

impl Script {
    /// A session to server 1 of three that keeps so much.
    fn keeping(messages: usize, bytes: usize) -> (Self, SessionId, AssocId) {
        let mut script = Script::new(config(1));
        let replay = Some(ReplayLimits::new().messages(messages).bytes(bytes));
        let options = SessionOptions::new().replay(replay);
        let session = script.machine.connect(script.now, pool(), options).unwrap();
        let home = script.expect_connect();
        script.up(home, registrar(1));
        script.answer(home, [1, 2, 3]);
        let assoc = script.session_connect();
        script.up(assoc, server(1));
        script.events();
        (script, session, assoc)
    }

    fn session_connect(&mut self) -> AssocId {
        let connect = |out: &Out| match out {
            Out::Connect(assoc, Channel::Session, _) => Some(*assoc),
            _ => None,
        };
        self.out().iter().rev().find_map(connect).unwrap()
    }

    fn ask(&mut self, session: SessionId, texts: &[&'static str]) {
        for text in texts {
            self.send(session, 0, text);
        }
    }

    /// The server is lost, and another one found.
    fn fail_over(&mut self, assoc: AssocId) -> AssocId {
        self.down(assoc, DownReason::PeerAborted(String::new()));
        let next = self.session_connect();
        self.up(next, server(2));
        next
    }

    /// What goes over an association: control messages, then data.
    fn sent(&mut self, to: AssocId) -> (Vec<asap::Message>, Vec<Bytes>) {
        let mut sent = (Vec::new(), Vec::new());
        for out in self.out() {
            match out {
                Out::Asap(assoc, message) if assoc == to => {
                    assert!(sent.1.is_empty(), "the cookie comes first");
                    sent.0.push(message);
                }
                Out::Data(assoc, message) if assoc == to => sent.1.push(message.bytes),
                _ => {}
            }
        }
        sent
    }

    fn received(&mut self) -> Vec<Bytes> {
        let received = |event| match event {
            Event::Received { message, .. } => Some(message.bytes),
            _ => None,
        };
        self.events().into_iter().filter_map(received).collect()
    }
}

// ASAP-3.8-04: the cookie covers what was answered before it came. The rest is sent again behind it, in order, before anything
// new, and the owner gets each answer once.
#[test]
fn what_the_cookie_does_not_cover_is_sent_again() {
    let (mut script, session, first) = Script::keeping(10, 1000);
    script.ask(session, &["a", "b", "c", "d"]);
    script.data(first, "A");
    script.data(first, "B");
    // Before the answer to "c": whether that is in it is not known.
    script.asap(first, cookie("two or three"));
    script.data(first, "C");
    assert_eq!(script.received(), ["A", "B", "C"]);
    script.out();
    let second = script.fail_over(first);
    assert!(script.events().contains(&failover(session, true)));
    // The owner need not know of the failover for that to be in its place.
    script.ask(session, &["e"]);
    assert_eq!(script.sent(second), (echo("two or three"), vec!["c".into(), "d".into(), "e".into()]));
    for answer in ["C", "D", "E"] {
        script.data(second, answer);
    }
    assert_eq!(script.received(), ["D", "E"]);
}

// A server may fail while it answers for the second time: the next one begins at its cookie.
#[test]
fn what_is_sent_again_is_kept_until_a_cookie_covers_it() {
    let (mut script, session, first) = Script::keeping(10, 1000);
    script.ask(session, &["a", "b", "c"]);
    script.data(first, "A");
    script.data(first, "B");
    script.out();
    let second = script.fail_over(first);
    assert_eq!(script.sent(second), (vec![], vec!["a".into(), "b".into(), "c".into()]));
    script.data(second, "A");
    script.asap(second, cookie("one"));
    script.received();
    let third = script.fail_over(second);
    assert_eq!(script.sent(third), (echo("one"), vec!["b".into(), "c".into()]));
    script.data(third, "B");
    script.data(third, "C");
    assert_eq!(script.received(), ["C"]);
}

// What is asked for while there is no server waits in its place, and holds its part of the queue until it is sent.
#[test]
fn what_is_sent_without_a_server_waits_behind_the_rest() {
    let (mut script, session, first) = Script::keeping(10, 1000);
    script.ask(session, &["a"]);
    script.out();
    assert_eq!(script.events(), [sent(session, 1, 1)]);
    script.down(first, DownReason::PeerAborted(String::new()));
    script.ask(session, &["bb"]);
    assert_eq!(script.events(), []);
    let second = script.session_connect();
    script.up(second, server(2));
    assert_eq!(script.sent(second).1, ["a", "bb"]);
    assert_eq!(script.events(), [failover(session, true), sent(session, 1, 2)]);
}

// Messages that are too many, or too long, end it: the owner hears of that at once, and of a failover that it has to do something.
#[test]
fn what_is_too_much_to_keep_is_told() {
    for (messages, bytes) in [(2, 1000), (10, 5)] {
        let (mut script, session, first) = Script::keeping(messages, bytes);
        script.ask(session, &["aa", "bb"]);
        script.out();
        script.events();
        script.ask(session, &["cc"]);
        assert_eq!(script.events(), [Event::ReplayGivenUp { session, messages: 2, bytes: 4 }]);
        assert_eq!(script.sent(first).1, ["cc"]);
        script.asap(first, cookie("a cookie does not bring it back"));
        script.events();
        script.fail_over(first);
        assert_eq!(script.events(), [failover(session, false)]);
    }
}

// The same while a server is looked for: what waits does not get there, as in any session whose owner has not seen the failover. Before
// the first server it does.
#[test]
fn what_is_too_much_while_a_server_is_looked_for() {
    let (mut script, session, first) = Script::keeping(2, 1000);
    script.ask(session, &["a"]);
    script.out();
    script.events();
    script.down(first, DownReason::PeerAborted(String::new()));
    script.ask(session, &["bb", "ccc"]);
    let given_up = Event::ReplayGivenUp { session, messages: 2, bytes: 3 };
    assert_eq!(script.events(), [sent(session, 1, 2), given_up, sent(session, 1, 3)]);
    let second = script.session_connect();
    script.up(second, server(2));
    assert!(script.sent(second).1.is_empty());
    assert_eq!(script.events(), [failover(session, false)]);

    let mut script = Script::new(config(1));
    let replay = Some(ReplayLimits::new().messages(2).bytes(1000));
    let options = SessionOptions::new().replay(replay);
    let session = script.machine.connect(script.now, pool(), options).unwrap();
    let home = script.expect_connect();
    script.ask(session, &["a", "b", "c"]);
    script.up(home, registrar(1));
    script.answer(home, [1]);
    let first = script.session_connect();
    script.up(first, server(1));
    assert_eq!(script.sent(first).1, ["a", "b", "c"]);
}

// What SCTP gives back because the association ends comes to the next server; what it refuses, no server will get.
#[test]
fn what_comes_back_is_sent_again_only_if_the_server_is_gone() {
    for gone in [true, false] {
        let (mut script, session, first) = Script::keeping(10, 1000);
        script.ask(session, &["a", "b"]);
        script.out();
        script.events();
        let bytes = Bytes::from_static(b"b");
        let why = "for a reason";
        script.input(Input::SendFailed { assoc: first, bytes: bytes.clone(), why });
        if !gone {
            script.pass(Duration::ZERO);
            assert_eq!(script.events(), [Event::SendFailed { session, bytes, why }]);
        }
        let second = script.fail_over(first);
        script.pass(Duration::ZERO);
        assert_eq!(script.events(), [failover(session, true)]);
        assert_eq!(script.sent(second).1, if gone { vec!["a", "b"] } else { vec!["a"] });
    }
}

// Answers are counted: so there is one order, in both directions. What a server sends in no order is no answer.
#[test]
fn there_is_one_order() {
    let (mut script, session, first) = Script::keeping(10, 1000);
    for message in [
        Message { stream: 1, ..text_message("other stream") },
        Message { unordered: true, ..text_message("unordered") },
    ] {
        assert_eq!(script.machine.send(script.now, session, 0, message), Err(SendError::OutOfOrder));
    }
    script.ask(session, &["a"]);
    script.out();
    script.input(Input::Message { assoc: first, stream: 1, ppid: 0, unordered: false, bytes: "news".into() });
    script.asap(first, cookie("none"));
    assert_eq!(script.received(), ["news"]);
    let second = script.fail_over(first);
    assert_eq!(script.sent(second).1, ["a"]);
}

// A request that makes servers fail is sent again and again, behind one that they answer. That answer is no progress: the
// failovers slow down as any others.
#[test]
fn a_request_that_nobody_survives_is_no_storm() {
    let (mut script, session, mut assoc) = Script::keeping(10, 1000);
    script.ask(session, &["good", "bad"]);
    script.data(assoc, "done");
    script.events();
    let start = script.now;
    for _ in 0..10 {
        script.down(assoc, DownReason::Shutdown);
        assoc = loop {
            let connect = script.out().into_iter().find_map(|out| match out {
                Out::Connect(assoc, Channel::Session, _) => Some(assoc),
                _ => None,
            });
            if let Some(assoc) = connect {
                break assoc;
            }
            script.pass(ms(1));
        };
        script.up(assoc, server(2));
        script.asap(assoc, cookie("no progress either"));
        script.data(assoc, "done");
    }
    assert!(script.now.since(start) > Duration::from_secs(2), "{}", script.now);
    assert_eq!(script.received(), Vec::<Bytes>::new());
}

// It is given up while a server repeats its answers: they are passed over all the same.
#[test]
fn answers_come_once_also_when_it_is_given_up() {
    let (mut script, session, first) = Script::keeping(3, 1000);
    script.ask(session, &["a", "b", "c"]);
    for answer in ["A", "B", "C"] {
        script.data(first, answer);
    }
    assert_eq!(script.received(), ["A", "B", "C"]);
    let second = script.fail_over(first);
    script.data(second, "A");
    script.ask(session, &["d"]);
    for answer in ["B", "C", "D"] {
        script.data(second, answer);
    }
    assert_eq!(script.received(), ["D"]);
}
