//! Processes that are pool users and pool elements at once, and elements that are not registered yet.

use super::*;

fn clients() -> PoolHandle {
    PoolHandle::from("clients")
}

fn id(process: usize) -> PeIdentifier {
    PeIdentifier(u32::try_from(process).unwrap())
}

impl Scope {
    /// Another process with an element, which recommends another one.
    fn element(&mut self, handle: PoolHandle, recommended: &[usize]) -> usize {
        let process = self.process();
        let (machine, now) = self.endpoint(process);
        let registration = Registration {
            handle,
            policy: Policy::RoundRobin,
            life: Some(Duration::from_secs(60)),
            id: Some(id(process)),
            transport: ElementTransport::Sessions,
        };
        let element = machine.register(now, registration).unwrap();
        let order = recommended.iter().copied().map(id).collect();
        machine.set_failover_order(now, element, order).unwrap();
        self.wait(ms(1000), |by, event| by == process && matches!(event, Event::Registered { .. }));
        process
    }
}

// ASAP-2.2.13-02, OVW-4-04: cards go both ways on the control channel. The client follows its server's when that dies; a server
// follows its client's when the client dies, to an equivalent of it.
#[test]
fn business_cards_go_both_ways() {
    let mut scope = Scope::new(1);
    let last = 4;
    let [first, ..] = [(); 3].map(|()| scope.element(pool(), &[last]));
    assert_eq!(scope.element(pool(), &[]), last);
    let [_, equivalent, _] = [(); 3].map(|()| scope.element(clients(), &[]));
    let client = scope.element(clients(), &[equivalent]);
    let (machine, now) = scope.endpoint(client);
    let session = machine.connect(now, pool(), SessionOptions::default()).unwrap();
    let mut epoch = 0;
    assert_eq!(scope.request(client, session, &mut epoch, 1), 1);
    scope.run(ms(100));
    let card = |scope: &Scope, server: usize| {
        let card = |(_, process, event): &(Time, usize, Event)| match event {
            Event::CardReceived { elements, .. } if *process == server => Some(elements.clone()),
            _ => None,
        };
        scope.events.iter().rev().find_map(card).unwrap()
    };
    assert!(card(&scope, first).iter().map(|element| element.id).eq([equivalent, client].map(id)));

    scope.network.kill(first);
    assert_eq!(scope.request(client, session, &mut epoch, 2), 2);
    scope.run(ms(100));
    let elements = card(&scope, last);
    scope.network.kill(client);
    scope.wait(ms(2000), |by, event| by == last && matches!(event, Event::Closed { .. }));
    let (machine, now) = scope.endpoint(last);
    machine.connect_preferring(now, clients(), &elements, SessionOptions::default()).unwrap();
    let found = scope.wait(ms(1000), |by, event| by == last && matches!(event, Event::Connected { .. }));
    assert!(matches!(found, Event::Connected { element, .. } if element == id(equivalent)), "{found:?}");
}

// ASAP-6.1-04, ASAP-2.2.1-05: nobody is found by a pool handle before it has registered; the first registration makes the pool,
// the second joins it.
#[test]
fn who_has_registered_is_found() {
    let mut scope = Scope::new(2);
    let client = scope.process();
    assert_eq!(scope.resolve(client), Err(ResolveError::UnknownPool));
    let first = scope.element(pool(), &[]);
    assert_eq!(scope.resolve(client), Ok(vec![first as u32]));
    let second = scope.element(pool(), &[]);
    assert_eq!(scope.resolve(client), Ok(vec![first as u32, second as u32]));
}
