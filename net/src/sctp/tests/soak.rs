//! Many endpoints, a bad network and random wishes: whatever happens, each association's story is told rightly.

use super::support::*;
use crate::memory::{Link, NodeId};
use crate::sctp::SctpConfig;
use proto::{AssocId, Channel, Input, Transmit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

const ENDPOINTS: u8 = 6;

/// What one side of an association has seen.
#[derive(Default, Debug)]
struct Story {
    asked: bool,
    up: bool,
    down: bool,
    full: bool,
    closing: bool,
    sent: u32,
    received: u32,
}

struct Soak {
    world: World,
    rng: ChaCha8Rng,
    nodes: Vec<NodeId>,
    /// By endpoint and name.
    stories: BTreeMap<(usize, AssocId), Story>,
    restarts: u32,
}

impl Soak {
    fn below(&mut self, bound: usize) -> usize {
        self.rng.next_u32() as usize % bound
    }

    fn step(&mut self) {
        let at = self.below(self.nodes.len());
        let live: Vec<AssocId> = self
            .stories
            .iter()
            .filter(|((node, _), story)| *node == at && !story.down && (story.up || story.asked))
            .map(|((_, assoc), _)| *assoc)
            .collect();
        match self.below(20) {
            0..4 => {
                let to = Family::V4.at(1 + self.below(usize::from(ENDPOINTS)) as u8, 3863);
                let channel = [Channel::Asap, Channel::Session][self.below(2)];
                let assoc = self.world.connect(self.nodes[at], channel, to);
                self.stories.entry((at, assoc)).or_default().asked = true;
            }
            4..14 if !live.is_empty() => {
                let assoc = live[self.below(live.len())];
                let length = [4, 40, 4000, 40_000][self.below(4)];
                let story = self.stories.get_mut(&(at, assoc)).expect("it lives");
                if !story.full && !story.closing {
                    let mut bytes = vec![0; length];
                    bytes[..4].copy_from_slice(&story.sent.to_be_bytes());
                    story.sent += 1;
                    self.world.network.carry_out(self.nodes[at], [message(assoc, 0, bytes)]);
                }
            }
            14 if !live.is_empty() => {
                let assoc = live[self.below(live.len())];
                let on = self.below(3) != 0;
                self.world.network.carry_out(self.nodes[at], [Transmit::Read { assoc, on }]);
            }
            15 if !live.is_empty() => {
                let assoc = live[self.below(live.len())];
                self.stories.get_mut(&(at, assoc)).expect("it lives").closing = true;
                self.world.network.carry_out(self.nodes[at], [Transmit::Shutdown { assoc }]);
            }
            16 if !live.is_empty() && self.below(4) == 0 => {
                let assoc = live[self.below(live.len())];
                self.stories.get_mut(&(at, assoc)).expect("it lives").closing = true;
                self.world
                    .network
                    .carry_out(self.nodes[at], [Transmit::Abort { assoc, cause: "soak".into() }]);
            }
            17 => {
                let (one, two) = (self.below(6) as u8 + 1, self.below(6) as u8 + 1);
                self.world.network.block(Family::V4.host(one), Family::V4.host(two));
            }
            18 => self.world.network.heal(),
            _ => {}
        }
        let millis = self.below(30) as u64;
        self.world.run(millis);
        self.listen();
    }

    /// Checks what every endpoint tells.
    fn listen(&mut self) {
        for (at, node) in self.nodes.clone().into_iter().enumerate() {
            for input in self.world.inputs(node) {
                self.hear(at, input);
            }
        }
    }

    fn hear(&mut self, at: usize, input: Input) {
        let restarts = &mut self.restarts;
        let assoc = match &input {
            Input::Up { assoc, .. }
            | Input::Message { assoc, .. }
            | Input::Restart { assoc }
            | Input::Full { assoc }
            | Input::Writable { assoc }
            | Input::PeerShutdown { assoc }
            | Input::SendFailed { assoc, .. }
            | Input::Down { assoc, .. } => *assoc,
            other => panic!("{other:?}"),
        };
        let story = self.stories.entry((at, assoc)).or_default();
        let late = matches!(input, Input::SendFailed { .. });
        assert!(!story.down || late, "{assoc:?} at {at} is over: {input:?} after {story:?}");
        match input {
            Input::Up { .. } => {
                assert!(!story.up && (story.asked != assoc.is_accepted()), "{story:?}");
                story.up = true;
            }
            Input::Message { bytes, .. } => {
                assert!(story.up, "{story:?}");
                let number = u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"));
                // What was in flight when a peer restarted is lost, so its first message may be a later one.
                assert!(
                    number == story.received || (story.received == 0 && *restarts > 0),
                    "in order, none twice, none lost: {number} at {story:?}"
                );
                story.received = number + 1;
            }
            Input::Restart { .. } => {
                // The peer counts from its beginning.
                story.received = 0;
                *restarts += 1;
            }
            Input::Full { .. } => assert!(!std::mem::replace(&mut story.full, true)),
            Input::Writable { .. } => assert!(std::mem::replace(&mut story.full, false)),
            Input::PeerShutdown { .. } => story.closing = true,
            Input::SendFailed { why, .. } => {
                // A message that was queued when the association went, or one into an end not yet heard of.
                assert!(matches!(why, "shutting down" | "association gone" | "no such association"), "{why}");
                story.closing = true;
            }
            Input::Down { .. } => {
                assert!(story.up || story.asked, "{story:?}");
                story.down = true;
            }
            Input::Addresses { .. } | Input::Announce { .. } | Input::Path { .. } | Input::Backlog { .. } => {
                unreachable!("it names an association")
            }
        }
    }
}

#[test]
fn every_association_tells_a_whole_story() {
    for seed in 0..8 {
        let mut soak = Soak {
            world: World::with_link(seed, Link::rough()),
            rng: ChaCha8Rng::seed_from_u64(seed),
            nodes: Vec::new(),
            stories: BTreeMap::new(),
            restarts: 0,
        };
        for n in 1..=ENDPOINTS {
            let node = soak.world.endpoint_with(Family::V4.at(n, 3863), SctpConfig::sessions());
            soak.nodes.push(node);
        }
        for _ in 0..500 {
            soak.step();
        }
        soak.world.network.heal();
        soak.world.network.set_link(Link::perfect());
        for ((at, assoc), story) in &soak.stories {
            if !story.down {
                let node = soak.nodes[*at];
                let transmits =
                    [Transmit::Read { assoc: *assoc, on: true }, Transmit::Shutdown { assoc: *assoc }];
                soak.world.network.carry_out(node, transmits);
            }
        }
        soak.world.run(30_000);
        soak.listen();
        for ((at, assoc), story) in &soak.stories {
            assert!(story.down, "seed {seed}: {assoc:?} at {at} never ended: {story:?}");
        }
        for node in &soak.nodes {
            let sizes = soak.world.network.endpoint(*node).expect("there").table_sizes();
            assert_eq!(sizes[..5], [0; 5], "seed {seed}: something is left");
        }
        let received: u32 = soak.stories.values().map(|story| story.received).sum();
        assert!(received > 100, "seed {seed}: only {received} messages in the whole run");
    }
}
