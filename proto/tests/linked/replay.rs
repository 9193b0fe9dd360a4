//! Sessions that send again what their cookie does not cover, with a server that dies at any moment.

use super::*;
use rserpool_proto::endpoint::ReplayLimits;

/// So many operations, so many of them under way at a time.
const OPERATIONS: u32 = 12;
const WINDOW: u32 = 4;

/// A client that asks for all operations, in a scope with two servers, and how far it has come.
struct Run {
    scope: Scope,
    client: usize,
    session: SessionId,
    server: usize,
    sent: u32,
    answers: Vec<u32>,
    failovers: usize,
    seen: usize,
}

impl Run {
    fn new(cookies: Cookies) -> Self {
        let mut scope = Scope { cookies, ..Scope::new(1) };
        scope.server();
        scope.server();
        let client = scope.process();
        let (machine, now) = scope.endpoint(client);
        let replay = Some(ReplayLimits::default());
        let options = SessionOptions::new().replay(replay);
        let session = machine.connect(now, pool(), options).unwrap();
        let connected = scope.wait(ms(1000), |_, event| matches!(event, Event::Connected { .. }));
        let Event::Connected { element, .. } = connected else { unreachable!() };
        let server = element.0.try_into().unwrap();
        let seen = scope.events.len();
        Self { scope, client, session, server, sent: 0, answers: Vec::new(), failovers: 0, seen }
    }

    /// The next thing happens. The client heeds no failover.
    fn step(&mut self) {
        while self.sent < OPERATIONS && self.sent < self.answers.len() as u32 + WINDOW {
            self.sent += 1;
            let message = Message::new(Bytes::copy_from_slice(&self.sent.to_be_bytes()));
            let (machine, now) = self.scope.endpoint(self.client);
            machine.send(now, self.session, 0, message).unwrap();
        }
        let end = self.scope.network.now + ms(100);
        self.scope.network.step(end);
        self.scope.serve();
        for (_, process, event) in &self.scope.events[self.seen..] {
            match event {
                Event::Received { message, .. } if *process == self.client => {
                    self.answers.push(u32::from_be_bytes(message.bytes.as_ref().try_into().unwrap()));
                }
                Event::Failover { replayed, .. } => {
                    assert!(replayed);
                    self.failovers += 1;
                }
                Event::Closed { .. } if *process == self.client => panic!("{event:?}"),
                _ => {}
            }
        }
        self.seen = self.scope.events.len();
    }

    fn is_done(&self) -> bool {
        self.answers.len() as u32 >= OPERATIONS
    }
}

// ASAP-3.8-04, RFC 5351 §2.5: cookies come with every third answer only, and the server dies at any moment. Nothing is lost,
// nothing is done twice, as far as the count shows, and each answer comes once: the client need not even know.
#[test]
fn a_server_that_dies_between_its_cookies_loses_nothing() {
    for cookies in [Cookies::BeforeEvery(3), Cookies::AfterEvery(3), Cookies::BeforeEvery(100)] {
        let mut failovers = 0;
        for moment in 0.. {
            let mut run = Run::new(cookies);
            for _ in 0..moment {
                run.step();
            }
            let over = run.is_done();
            run.scope.network.kill(run.server);
            let end = run.scope.network.now + ms(5000);
            while !run.is_done() {
                assert!(run.scope.network.now < end, "{cookies:?}, {moment}: {:?}", run.answers);
                run.step();
            }
            let expected: Vec<u32> = (1..=OPERATIONS).collect();
            assert_eq!(run.answers, expected, "{cookies:?}, killed at {moment}");
            failovers += run.failovers;
            if over {
                break;
            }
        }
        assert!(failovers > OPERATIONS as usize, "{cookies:?}: {failovers}");
    }
}
