//! Any octets are read without harm, and what is answered is itself a message that no one would answer.
#![no_main]

use asap::{Message, Outcome, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let decoded = decode(octets);
    if let Some(reply) = decoded.reply {
        // Headers, a handle that may have lacked its padding, and one header a cause: never an amplifier.
        assert!(reply.len() <= 3 * octets.len() + 32);
        let answer = decode(&reply);
        assert_eq!(answer.outcome(), Outcome::Accept);
        assert!(matches!(answer.message, Ok(Message::Error(_) | Message::RegistrationResponse(_))));
    }
});
