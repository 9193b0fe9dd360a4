//! The requests whose answers a server still owes.

use bytes::Bytes;
use endpoint::Incoming;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// So many bytes of a request are looked at. One that is refused and taken for another of its length counts as much.
const PREFIX: usize = 64;

/// The requests that the present server has not answered, in their order, whether somebody waits for the answer or not. Of each
/// as much as tells it from other messages when it is refused.
#[derive(Debug, Default)]
pub(crate) struct Unanswered(VecDeque<u64>);

impl Unanswered {
    /// A request was sent.
    pub(crate) fn ask(&mut self, request: &Bytes) {
        self.0.push_back(digest(request));
    }

    /// Whether nothing is owed.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Something has happened.
    pub(crate) fn hear(&mut self, incoming: &Incoming) {
        match incoming {
            Incoming::Message(_) => drop(self.0.pop_front()),
            // What the former server owed is owed by nobody.
            Incoming::Failover { replayed: false, .. } => self.0.clear(),
            // Nobody answers that. What was sent in another way is not among them.
            Incoming::Refused { bytes, .. } => {
                let refused = digest(bytes);
                if let Some(at) = self.0.iter().rposition(|request| *request == refused) {
                    self.0.remove(at);
                }
            }
            _ => {}
        }
    }
}

fn digest(message: &Bytes) -> u64 {
    let mut hasher = DefaultHasher::new();
    (message.len(), &message[..message.len().min(PREFIX)]).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use endpoint::Message;

    fn refused(bytes: &'static [u8]) -> Incoming {
        Incoming::Refused { bytes: bytes.into(), why: "no such stream" }
    }

    #[test]
    fn a_refused_request_is_owed_by_nobody_and_a_refused_message_says_nothing_of_requests() {
        let mut unanswered = Unanswered::default();
        for request in [&b"first"[..], b"second", b"third"] {
            unanswered.ask(&Bytes::from_static(request));
        }
        unanswered.hear(&refused(b"something else"));
        unanswered.hear(&refused(b"second"));
        for _ in 0..2 {
            assert!(!unanswered.is_empty());
            unanswered.hear(&Incoming::Message(Message::new("an answer")));
        }
        assert!(unanswered.is_empty());
    }
}
