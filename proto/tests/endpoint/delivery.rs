//! How messages are delivered: the options of RFC 5352 §6.5.5 in terms of sessions.

use super::*;

// ASAP-6.5.5-04: what is sent in a session goes to the server of the message before, while the policy moves on for others.
#[test]
fn a_session_stays_with_its_server() {
    let (mut script, session, _, assoc) = Script::connected(3);
    for _ in 0..10 {
        script.send(session, 0, "to the last");
        assert_eq!(script.out(), [Out::Data(assoc, text_message("to the last"))]);
        script.machine.connect(script.now, pool(), SessionOptions::default()).unwrap();
        assert!(matches!(script.out()[..], [Out::Connect(..)]));
    }
}

// ASAP-6.5.5-07: unordered, on any stream, with any payload protocol identifier, as the application wants.
#[test]
fn a_message_may_go_unordered() {
    let (mut script, session, _, assoc) = Script::connected(1);
    for (unordered, stream, ppid) in [(true, 0, 0), (true, 3, 77), (false, 3, 77)] {
        let message = Message { stream, ppid, unordered, ..text_message("whenever") };
        script.machine.send(script.now, session, 0, message.clone()).unwrap();
        assert_eq!(script.out(), [Out::Data(assoc, message)]);
    }
}
