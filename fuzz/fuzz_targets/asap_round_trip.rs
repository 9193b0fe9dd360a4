//! What was accepted and may be sent is the same message for who receives it next.
#![no_main]

use asap::{EncodeError, Outcome, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let Ok(message) = decode(octets).message else { return };
    match message.encode() {
        Ok(sent) => {
            let received = decode(&sent);
            assert_eq!(received.outcome(), Outcome::Accept);
            let received = received.message.unwrap();
            assert_eq!(received, message);
            assert_eq!(received.encode().unwrap(), sent);
        }
        // A peer may say what we must not.
        Err(EncodeError::Forbidden(_)) => {}
        Err(error) => panic!("{error}: {message:?}"),
    }
});
