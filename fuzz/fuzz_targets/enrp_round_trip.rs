//! What was accepted is the same message for who receives it next.
#![no_main]

use enrp::{Outcome, decode};
use libfuzzer_sys::fuzz_target;
use params::RegistrarId;

fuzz_target!(|octets: &[u8]| {
    let own = RegistrarId(1);
    let Ok(message) = decode(octets, own).message else { return };
    let sent = message.encode().unwrap();
    let received = decode(&sent, own);
    assert_eq!(received.outcome(), Outcome::Accept);
    let received = received.message.unwrap();
    assert_eq!(received, message);
    assert_eq!(received.encode().unwrap(), sent);
});
