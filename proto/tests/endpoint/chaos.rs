//! Anything may happen in any order: whatever the other side and the application do, the contract holds, and
//! everything that was asked for ends.

use super::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rserpool_proto::endpoint::{ElementId, ReplayLimits, RequestId, ResolveOptions};
use std::collections::{BTreeMap, BTreeSet};

const STEPS: usize = 3000;

#[derive(Default)]
struct Observed {
    connecting: BTreeSet<AssocId>,
    up: BTreeSet<AssocId>,
    full: BTreeSet<AssocId>,
    /// Shut down or aborted by the machine: nothing more may be sent.
    leaving: BTreeSet<AssocId>,
    ever: BTreeSet<AssocId>,
    requests: BTreeSet<RequestId>,
    sessions: BTreeMap<SessionId, usize>,
    epochs: BTreeMap<SessionId, u32>,
    elements: BTreeSet<ElementId>,
}

struct Chaos {
    script: Script,
    rng: ChaCha12Rng,
    seen: Observed,
    accepted: u64,
}

impl Chaos {
    fn new(seed: u8) -> Self {
        let mut config = config(3);
        config.limits.sessions = 20;
        config.limits.elements = 4;
        config.limits.pending_associations = 4;
        config.limits.session_queue = 100 + 2 * MESSAGE_OVERHEAD;
        config.limits.resolutions = 10;
        config.limits.cached_pools = 2;
        let rng = ChaCha12Rng::from_seed([seed; 32]);
        Self { script: Script::new(config), rng, seen: Observed::default(), accepted: 0 }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.rng.random_range(0..limit)
    }

    fn pick<T: Copy>(&mut self, from: impl IntoIterator<Item = T>) -> Option<T> {
        let all: Vec<T> = from.into_iter().collect();
        (!all.is_empty()).then(|| all[self.rng.random_range(0..all.len())])
    }

    fn handle(&mut self) -> PoolHandle {
        PoolHandle::from(["pool", "other", "third"][self.below(3)])
    }

    fn message(&mut self) -> asap::Message {
        let (handle, id) = (self.handle(), PeIdentifier(self.below(4) as u32 + 0x10));
        let error = (self.below(3) == 0).then(|| {
            cause([CauseCode::UNKNOWN_POOL_HANDLE, CauseCode::NON_UNIQUE_PE_IDENTIFIER][self.below(2)])
        });
        let elements = (1..=self.below(4) as u8 + 1).map(element).collect();
        let cookie = Bytes::from_static(b"cookie");
        match self.below(11) {
            0 => asap::RegistrationResponse { rejected: error.is_some(), handle, id, error }.into(),
            1 => asap::DeregistrationResponse { handle, id, error }.into(),
            2..=4 if error.is_some() => asap::HandleResolutionResponse {
                accepted: false,
                handle,
                policy: None,
                elements: Vec::new(),
                error,
            }
            .into(),
            2..=4 => {
                asap::HandleResolutionResponse { accepted: true, handle, policy: None, elements, error: None }
                    .into()
            }
            5 => {
                let (home, registrar) = (self.below(2) == 0, RegistrarId(self.below(3) as u32 + 1));
                asap::EndpointKeepAlive { home, registrar, handle, id: None }.into()
            }
            6 => asap::Cookie { cookie }.into(),
            7 => asap::CookieEcho { cookie }.into(),
            8 => asap::EndpointUnreachable { handle, id }.into(),
            9 => asap::BusinessCard { handle, elements }.into(),
            _ => asap::Error { error: cause(CauseCode::UNSPECIFIED) }.into(),
        }
    }

    fn command(&mut self) {
        let now = self.script.now;
        let handle = self.handle();
        let session = self.pick(self.seen.sessions.keys().copied().collect::<Vec<_>>());
        let element = self.pick(self.seen.elements.iter().copied().collect::<Vec<_>>());
        let size = self.below(60);
        match (self.below(15), session, element) {
            (0, ..) => {
                let id = (self.below(2) == 0).then(|| PeIdentifier(self.below(4) as u32 + 0x10));
                let registration = Registration { handle, id, ..registration() };
                self.seen.elements.extend(self.script.machine.register(now, registration));
            }
            (1, _, Some(element)) => {
                let _ = self.script.machine.set_policy(now, element, Policy::Random);
            }
            (2, _, Some(element)) if self.below(4) == 0 => {
                let _ = self.script.machine.deregister(now, element);
            }
            (3, ..) => {
                let options = ResolveOptions::new().uncached(self.below(2) == 0);
                self.seen.requests.extend(self.script.machine.resolve(now, handle, options));
            }
            (4, ..) => {
                let replay = ReplayLimits::new().messages(3).bytes(1000);
                let options = SessionOptions::new()
                    .patience(ms(self.rng.random_range(0..5000)))
                    .replay(self.rng.random_bool(0.5).then_some(replay));
                if let Ok(session) = self.script.machine.connect(now, handle, options) {
                    self.seen.sessions.insert(session, 0);
                }
            }
            (5 | 6, Some(session), _) => {
                let epoch = self.seen.epochs.get(&session).copied().unwrap_or_default();
                if self.script.machine.send(now, session, epoch, Message::new(vec![0; size])).is_ok() {
                    *self.seen.sessions.get_mut(&session).unwrap() += size + MESSAGE_OVERHEAD;
                }
            }
            (7, Some(session), _) => {
                if self.script.machine.set_cookie(now, session, Bytes::from(vec![0; size])).is_ok() {
                    *self.seen.sessions.get_mut(&session).unwrap() += size + MESSAGE_OVERHEAD;
                }
            }
            (8, Some(session), _) => self.script.machine.read(now, session, size < 30),
            (11, ..) => self.script.machine.purge(&handle),
            (12, _, Some(element)) => {
                let order = (0..4).map(|_| PeIdentifier(self.below(5) as u32)).collect();
                let _ = self.script.machine.set_failover_order(now, element, order);
            }
            (13, ..) => {
                let preferred =
                    [super::element(self.below(5) as u8 + 1), super::element(self.below(5) as u8 + 1)];
                let options = SessionOptions::default();
                let machine = &mut self.script.machine;
                if let Ok(session) = machine.connect_preferring(now, handle, &preferred, options) {
                    self.seen.sessions.insert(session, 0);
                }
            }
            (9, Some(session), _) if size < 20 => self.script.machine.close(now, session),
            (10, Some(session), _) if size < 20 => self.script.machine.abort(now, session, "enough"),
            _ => {
                let id = PeIdentifier(self.below(4) as u32);
                self.script.machine.report_unreachable(now, &handle, id);
            }
        }
    }

    fn network(&mut self) {
        let connecting = self.pick(self.seen.connecting.iter().copied().collect::<Vec<_>>());
        let up = self.pick(self.seen.up.iter().copied().collect::<Vec<_>>());
        let why = match self.below(7) {
            0 => DownReason::Shutdown,
            1 => DownReason::PeerAborted("away".into()),
            2 => DownReason::ConnectFailed("refused".into()),
            3 => up.map_or(DownReason::LocalAbort, DownReason::Duplicate),
            4 => DownReason::Violation("too large".into()),
            5 => DownReason::CannotConnect("no free port".into()),
            _ => DownReason::Unreachable,
        };
        match (self.below(12), connecting, up) {
            (0..=2, Some(assoc), _) => {
                self.seen.connecting.remove(&assoc);
                self.seen.up.insert(assoc);
                self.script.up(assoc, registrar(1));
            }
            (3, Some(assoc), _) => {
                self.seen.connecting.remove(&assoc);
                self.script.down(assoc, why);
            }
            (4, ..) => {
                self.accepted += 1;
                let assoc = AssocId::accepted(Channel::Asap, self.accepted);
                self.seen.up.insert(assoc);
                self.script.up(assoc, registrar(2));
            }
            (5, _, Some(assoc)) => {
                self.seen.up.remove(&assoc);
                self.seen.full.remove(&assoc);
                self.script.down(assoc, why);
            }
            (6, _, Some(assoc)) => {
                self.seen.full.insert(assoc);
                self.script.input(Input::Full { assoc });
            }
            (7, _, Some(assoc)) => {
                self.seen.full.remove(&assoc);
                self.script.input(Input::Writable { assoc });
            }
            (8, _, Some(assoc)) => match self.below(4) {
                0 => self.script.input(Input::Restart { assoc }),
                1 => self.script.input(Input::PeerShutdown { assoc }),
                2 => self.script.input(Input::SendFailed { assoc, bytes: Bytes::new(), why: "too large" }),
                _ => {
                    let mut bytes = vec![0; self.rng.random_range(0..40)];
                    self.rng.fill_bytes(&mut bytes);
                    let bytes = bytes.into();
                    self.script.input(Input::Message {
                        assoc,
                        stream: 0,
                        ppid: PPID_ASAP,
                        unordered: false,
                        bytes,
                    });
                }
            },
            (9, _, Some(assoc)) => self.script.data(assoc, "data"),
            (_, _, Some(assoc)) => {
                let message = self.message();
                self.script.asap(assoc, message);
            }
            _ => {}
        }
    }

    /// The contract, and the book-keeping.
    fn observe(&mut self) {
        for out in self.script.out() {
            match out {
                Out::Connect(assoc, ..) => {
                    assert!(self.seen.ever.insert(assoc), "{assoc:?} is used twice");
                    self.seen.connecting.insert(assoc);
                }
                Out::Asap(assoc, _) | Out::Data(assoc, _) => {
                    assert!(self.seen.up.contains(&assoc), "sent on {assoc:?}, which is not up");
                    assert!(!self.seen.full.contains(&assoc), "sent on {assoc:?}, which is full");
                    assert!(!self.seen.leaving.contains(&assoc), "sent on {assoc:?} after its end");
                }
                Out::Shutdown(assoc) => {
                    assert!(self.seen.up.contains(&assoc), "shut down {assoc:?}, which is not up");
                    assert!(self.seen.leaving.insert(assoc), "ended {assoc:?} twice");
                }
                Out::Abort(assoc) => {
                    self.seen.leaving.insert(assoc);
                }
                Out::Read(assoc, _) => assert!(self.seen.ever.contains(&assoc) || assoc.is_accepted()),
            }
        }
        for event in self.script.events() {
            match event {
                Event::Resolved { request, .. } => {
                    assert!(self.seen.requests.remove(&request), "{request:?} ends twice")
                }
                Event::SessionAccepted { session, .. } => {
                    assert_eq!(self.seen.sessions.insert(session, 0), None);
                }
                Event::Sent { session, bytes } => {
                    let queued = self.seen.sessions.get_mut(&session).unwrap();
                    *queued = queued.checked_sub(bytes).unwrap();
                }
                Event::Failover { session, epoch, replayed, .. } => {
                    let last = self.seen.epochs.insert(session, epoch).unwrap_or_default();
                    assert!(if replayed { epoch == last } else { epoch > last });
                }
                Event::Received { session, .. }
                | Event::Connected { session, .. }
                | Event::CookieReceived { session, .. }
                | Event::CardReceived { session, .. }
                | Event::ReplayGivenUp { session, .. }
                | Event::SendFailed { session, .. } => {
                    assert!(self.seen.sessions.contains_key(&session), "{session:?} is over");
                }
                Event::Closed { session, .. } => {
                    assert!(self.seen.sessions.remove(&session).is_some(), "{session:?} ends twice");
                }
                Event::Deregistered { element, .. } => assert!(self.seen.elements.remove(&element)),
                _ => {}
            }
        }
        for (session, queued) in &self.seen.sessions {
            assert!(*queued <= 100 + 2 * MESSAGE_OVERHEAD, "{session:?} has {queued} bytes queued");
        }
    }

    /// The associations that the machine ends are ended.
    fn obey(&mut self) {
        for assoc in std::mem::take(&mut self.seen.leaving) {
            if self.seen.up.remove(&assoc) | self.seen.connecting.remove(&assoc) {
                self.seen.full.remove(&assoc);
                self.script.down(assoc, DownReason::Shutdown);
            }
        }
    }
}

// ASAP-2.2.14-02, design §6: never a panic, never a message where none may be sent, nothing lost or told twice, and
// after a shutdown everything ends.
#[test]
fn anything_may_happen() {
    for seed in 0..40 {
        let mut chaos = Chaos::new(seed);
        for _ in 0..STEPS {
            match chaos.below(3) {
                0 => chaos.command(),
                1 => chaos.network(),
                _ => {
                    let pause = ms(chaos.rng.random_range(0..100));
                    chaos.script.pass(pause);
                }
            }
            chaos.observe();
            if chaos.below(3) == 0 {
                chaos.obey();
                chaos.observe();
            }
        }
        // Nobody answers any more: every resolution ends within 1 + MAX-REQUEST-RETRANSMIT times T1.
        let asked = std::mem::take(&mut chaos.seen.requests);
        chaos.seen.requests = asked.clone();
        chaos.script.pass(ms(1500));
        chaos.observe();
        assert!(chaos.seen.requests.is_empty(), "seed {seed}: {:?}", chaos.seen.requests);
        chaos.script.machine.shutdown(chaos.script.now);
        for _ in 0..400 {
            chaos.observe();
            chaos.obey();
            chaos.script.pass(ms(100));
        }
        chaos.observe();
        assert!(chaos.seen.sessions.is_empty(), "seed {seed}: {:?}", chaos.seen.sessions);
        assert!(chaos.seen.elements.is_empty(), "seed {seed}: {:?}", chaos.seen.elements);
        assert!(chaos.script.machine.is_drained(), "seed {seed}");
    }
}
