//! Any octets are read without harm, and what is answered is itself a message that no one would answer.
#![no_main]

use enrp::{Body, Outcome, decode};
use libfuzzer_sys::fuzz_target;
use params::RegistrarId;

fuzz_target!(|octets: &[u8]| {
    let own = RegistrarId(1);
    if let Some(reply) = decode(octets, own).reply {
        // Headers, identifiers, and one header a cause: never an amplifier.
        assert!(reply.len() <= 3 * octets.len() + 32);
        let answer = decode(&reply, own);
        assert_eq!(answer.outcome(), Outcome::Accept);
        assert!(matches!(answer.message.map(|message| message.body), Ok(Body::Error(_))));
    }
});
