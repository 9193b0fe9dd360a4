//! Registration, re-registration and de-registration (RFC 5352 §3.1, §3.2).

use super::load::Announced;
use super::service::Service;
use super::{
    AsapEndpoint, CommandError, Config, ElementId, ElementTransport, Event, RegisterError, Registration,
    Timer, check_handle,
};
use crate::{AssocId, Time};
use asap::{Deregistration, DeregistrationResponse, Message, RegistrationResponse};
use params::{
    CauseCode, Load, OperationError, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrarId,
    SctpTransport, Transport, TransportUse,
};
use rand::{Rng, RngExt};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// A pool element of this process.
#[derive(Debug)]
pub(super) struct Element {
    registration: Registration,
    id: PeIdentifier,
    pub(super) state: State,
    /// Whether it is to be in its pool, and whether a deregistration is not for good.
    pub(super) ready: bool,
    pub(super) returns: bool,
    /// Registered as far as the application knows.
    pub(super) registered: bool,
    /// A registrar may know of it.
    sent: bool,
    /// That what was sent last has failed is counted already: several events may tell of it.
    failed: bool,
    /// The policy that a registrar has accepted last. It may list the element still.
    confirmed: Option<Policy>,
    /// Failures in a row (RFC 5352 §3.1, MAX-REG-ATTEMPT).
    pub(super) attempts: u32,
    /// The policy changed while a registration was outstanding.
    changed: bool,
    /// A registrar had no room for it: when it is asked again, and the pause after that is twice as long.
    pause: Option<Duration>,
    /// What was sent last of its load.
    pub(super) announced: Announced,
    /// Register once more soon: the former home may delete us when it sees us go.
    twice: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A registration is outstanding, or waits for a registrar. T2 runs. `until`: when the application hears that no
    /// registrar answers, however often the home changes.
    Registering { until: Time },
    /// T4 runs.
    Registered,
    /// A registrar refused it; only a change of the application makes it try again.
    Rejected,
    /// A deregistration is outstanding. T3 runs.
    Deregistering { until: Time },
    /// Out of its pool until it is ready again.
    Withdrawn,
}

impl Element {
    fn is_registering(&self) -> bool {
        matches!(self.state, State::Registering { .. })
    }

    /// Whether a registrar may list it.
    pub(super) fn may_be_known(&self) -> bool {
        self.sent && (self.state != State::Rejected || self.confirmed.is_some())
    }

    /// It is out of its pool, and what registrars have said of it is past; one of them may list it still if none has confirmed
    /// that.
    pub(super) fn withdraw(&mut self, may_be_known: bool) {
        self.state = State::Withdrawn;
        (self.sent, self.changed, self.twice) = (may_be_known, false, false);
        (self.confirmed, self.pause) = (None, None);
        self.attempts = 0;
    }

    /// Whether it is registered, or is about to be.
    pub(super) fn is_kept_registered(&self) -> bool {
        matches!(self.state, State::Registering { .. } | State::Registered)
    }

    /// Takes a load over for the next registration, if the policy goes by one.
    pub(super) fn set_load(&mut self, load: Load) -> bool {
        self.registration.policy.set_load(load)
    }

    /// What is registered of this element, whose sessions come to these addresses (RFC 5352 §3.1 R2).
    fn pool_element(&self, config: &Config, addresses: &[IpAddr]) -> PoolElement {
        let user_transport = match &self.registration.transport {
            ElementTransport::Other(transport) => transport.clone(),
            ElementTransport::Sessions => Transport::Sctp(SctpTransport {
                port: config.port,
                transport_use: TransportUse::DATA_AND_CONTROL,
                addresses: addresses.to_vec(),
            }),
        };
        PoolElement {
            id: self.id,
            home: RegistrarId::NONE,
            life: config.compat.wire_life(self.registration.life),
            user_transport,
            policy: self.registration.policy.clone(),
            asap_transport: None,
        }
    }

    fn message(&self, element: PoolElement) -> Message {
        Message::Registration(asap::Registration { handle: self.registration.handle.clone(), element })
    }
}

/// How long after a registration at a new home the second one follows.
const SECOND_REGISTRATION: Duration = Duration::from_secs(1);

impl AsapEndpoint {
    /// Registers a pool element and keeps it registered (RFC 5352 §3.1).
    ///
    /// # Errors
    /// Too many elements; an empty handle; a life below one second; an identifier that is zero or in use;
    /// a transport or policy that cannot be sent.
    pub fn register(&mut self, now: Time, registration: Registration) -> Result<ElementId, CommandError> {
        if self.shutting_down {
            return Err(CommandError::ShuttingDown);
        }
        if self.elements.len() >= self.config.limits.elements {
            return Err(CommandError::Limit("elements"));
        }
        check_handle(&registration.handle, self.config.compat)?;
        if registration.life.is_some_and(|life| life < Duration::from_secs(1)) {
            return Err(CommandError::Invalid("registration life below one second"));
        }
        let id = match registration.id {
            Some(PeIdentifier(0)) => return Err(CommandError::Invalid("PE identifier zero")),
            Some(id) if self.identities.contains_key(&(registration.handle.clone(), id)) => {
                return Err(CommandError::Invalid("PE identifier in use"));
            }
            Some(id) => id,
            None => self.random_identifier(&registration.handle),
        };
        let key = (registration.handle.clone(), id);
        let until = now + self.most_attempts_take();
        let element = Element {
            registration,
            id,
            state: State::Registering { until },
            ready: true,
            returns: false,
            registered: false,
            confirmed: None,
            sent: false,
            failed: false,
            attempts: 0,
            changed: false,
            pause: None,
            announced: Announced::default(),
            twice: false,
        };
        let example = element.pool_element(&self.config, &[Ipv4Addr::LOCALHOST.into()]);
        if element.message(example).encode().is_err() {
            return Err(CommandError::Invalid("a transport, policy or port that no registration can carry"));
        }
        let id = ElementId(self.number());
        self.services.insert(id, Service::new(key.0.clone(), key.1));
        self.identities.insert(key, id);
        self.elements.insert(id, element);
        self.send_registration(now, id);
        Ok(id)
    }

    /// Changes the policy or its values by registering again. Corrects a rejected registration, too.
    ///
    /// # Errors
    /// There is no such element, or it is being deregistered.
    pub fn set_policy(&mut self, now: Time, element: ElementId, policy: Policy) -> Result<(), CommandError> {
        let state = self.elements.get_mut(&element).ok_or(CommandError::Unknown)?;
        if matches!(state.state, State::Deregistering { .. }) {
            return Err(CommandError::Unknown);
        }
        state.registration.policy = policy;
        self.register_again(now, element);
        Ok(())
    }

    /// Registers with the present values, or does so as soon as the registration that is outstanding is answered. A rejected
    /// one is tried again.
    pub(super) fn register_again(&mut self, now: Time, element: ElementId) {
        let Some(state) = self.elements.get_mut(&element) else { return };
        match state.state {
            State::Registering { .. } => state.changed = state.sent,
            State::Registered | State::Rejected => self.send_registration(now, element),
            State::Deregistering { .. } | State::Withdrawn => {}
        }
    }

    /// Takes an element out of its pool (RFC 5352 §3.2). Its sessions go on; [`Event::Deregistered`] follows.
    ///
    /// # Errors
    /// There is no such element.
    pub fn deregister(&mut self, now: Time, element: ElementId) -> Result<(), CommandError> {
        let state = self.elements.get_mut(&element).ok_or(CommandError::Unknown)?;
        state.returns = false;
        if matches!(state.state, State::Deregistering { .. }) {
            return Ok(());
        }
        if !state.may_be_known() {
            self.settle(now, element);
            self.remove_element(element, None);
            return Ok(());
        }
        self.begin_deregistration(now, element);
        Ok(())
    }

    pub(super) fn begin_deregistration(&mut self, now: Time, key: ElementId) {
        let timers = &self.config.timers;
        let until = now + timers.t3_deregistration.saturating_mul(timers.max_reg_attempt.saturating_add(1));
        let Some(element) = self.elements.get_mut(&key) else { return };
        element.state = State::Deregistering { until };
        self.timers.cancel(&Timer::T2(key));
        self.timers.cancel(&Timer::T4(key));
        self.send_deregistration(now, key);
    }

    /// The element was deregistered, or nobody has confirmed it in time.
    fn deregistered(&mut self, now: Time, key: ElementId, error: Option<RegisterError>) {
        if self.elements.get(&key).is_some_and(|element| element.returns) {
            return self.withdrawn(now, key, error);
        }
        self.remove_element(key, error);
    }

    /// The element that sessions are for: the first that takes any and is not leaving.
    pub(super) fn session_element(&self) -> Option<ElementId> {
        self.elements
            .iter()
            .find(|(_, element)| {
                matches!(element.registration.transport, ElementTransport::Sessions)
                    && !matches!(element.state, State::Deregistering { .. } | State::Withdrawn)
            })
            .map(|(id, _)| *id)
    }

    /// The element that introduces this process to the servers that it is a pool user of: the one that sessions are for, as
    /// soon as it is registered.
    pub(super) fn introduced_element(&self) -> Option<ElementId> {
        self.session_element().filter(|id| self.elements.get(id).is_some_and(|element| element.registered))
    }

    /// Our identifiers in this pool, or the given one if it is ours, of elements that are not out of it.
    pub(super) fn identities_of(&self, handle: &PoolHandle, id: Option<PeIdentifier>) -> Vec<PeIdentifier> {
        let (from, to) = id.map_or((PeIdentifier(0), PeIdentifier(u32::MAX)), |id| (id, id));
        let ours = self.identities.range((handle.clone(), from)..=(handle.clone(), to));
        let withdrawn = |key| self.elements.get(key).is_some_and(|element| element.state == State::Withdrawn);
        ours.filter(|(_, key)| !withdrawn(key)).map(|((_, id), _)| *id).collect()
    }

    /// There is a new home: what is outstanding goes there at once; what is registered follows within a tenth
    /// of T2, so that not everybody comes at the same moment.
    pub(super) fn repeat_registrations(&mut self, now: Time) {
        let ids: Vec<ElementId> = self.elements.keys().copied().collect();
        for id in ids {
            match self.elements.get(&id).map(|element| &element.state) {
                Some(State::Registering { .. }) => self.send_registration(now, id),
                Some(State::Deregistering { .. }) => self.send_deregistration(now, id),
                Some(State::Registered | State::Rejected) => self.register_soon(now, id),
                Some(State::Withdrawn) | None => {}
            }
        }
    }

    /// The home has claimed these of our elements: those that are registered tell it their values again.
    pub(super) fn renew_soon(&mut self, now: Time, handle: &PoolHandle, ids: &[PeIdentifier]) {
        for id in ids {
            let Some(&id) = self.identities.get(&(handle.clone(), *id)) else { continue };
            if self.elements.get(&id).is_some_and(|element| element.state == State::Registered) {
                self.register_soon(now, id);
            }
        }
    }

    fn register_soon(&mut self, now: Time, id: ElementId) {
        if self.is_wanted(id) {
            self.within(now, Timer::T4(id), self.config.timers.t2_registration / 10);
        }
    }

    /// Whether an element is registered, or was, and a registrar that is asked anew may take it.
    fn is_wanted(&self, id: ElementId) -> bool {
        self.elements
            .get(&id)
            .is_some_and(|element| element.state == State::Registered || element.confirmed.is_some())
    }

    /// Each element registers once more, a second after its registration at the new home: when the former one
    /// sees the old association end it may tell everybody that the element is gone.
    pub(super) fn register_twice(&mut self) {
        for element in self.elements.values_mut() {
            element.twice = true;
        }
    }

    /// SEND.FAILURE: counts like an expired T2 (RFC 5352 §3.1), once for each registration that was sent.
    pub(super) fn registrations_failed(&mut self) {
        let mut ids = Vec::new();
        for (id, element) in &mut self.elements {
            if element.is_registering() && element.sent && !std::mem::replace(&mut element.failed, true) {
                ids.push(*id);
            }
        }
        for id in ids {
            self.count_attempt(id);
        }
    }

    /// No answer to a registration: try again, here or elsewhere (RFC 5352 §3.1, ambiguity A-29).
    pub(super) fn t2_expired(&mut self, now: Time, element: ElementId) {
        self.count_attempt(element);
        self.send_registration(now, element);
        self.start_hunt(now);
    }

    /// No answer to a deregistration (RFC 5352 §3.2).
    pub(super) fn t3_expired(&mut self, now: Time, element: ElementId) {
        let Some(State::Deregistering { until }) = self.elements.get(&element).map(|element| &element.state)
        else {
            return;
        };
        if now >= *until {
            return self.deregistered(now, element, Some(RegisterError::NoRegistrar));
        }
        self.send_deregistration(now, element);
        self.start_hunt(now);
    }

    /// Time to register again.
    pub(super) fn t4_expired(&mut self, now: Time, element: ElementId) {
        self.send_registration(now, element);
    }

    pub(super) fn registration_response(
        &mut self,
        now: Time,
        assoc: AssocId,
        response: RegistrationResponse,
    ) {
        let RegistrationResponse { rejected, handle, id, error } = response;
        let home = self.home.as_ref().and_then(|home| home.id);
        let outstanding = self
            .identities
            .get(&(handle, id))
            .and_then(|key| self.elements.get_mut(key).map(|element| (*key, element)))
            .filter(|(_, element)| element.is_registering() && element.sent);
        let Some((key, element)) = outstanding else {
            self.counters.unexpected += 1;
            return;
        };
        if rejected {
            self.registration_rejected(now, key, error.unwrap_or(OperationError { causes: Vec::new() }));
        } else {
            element.attempts = 0;
            let first = !std::mem::replace(&mut element.registered, true);
            if first || error.is_some() {
                self.events.push_back(Event::Registered { element: key, id, home, warning: error });
            }
            element.pause = None;
            element.state = State::Registered;
            self.timers.cancel(&Timer::T2(key));
            let interval = reregistration_interval(element.registration.life);
            if !element.changed {
                element.confirmed = Some(element.registration.policy.clone());
            }
            if std::mem::take(&mut element.changed) {
                self.send_registration(now, key);
            } else if std::mem::take(&mut element.twice) {
                self.timers.set(Timer::T4(key), now + SECOND_REGISTRATION.min(interval));
            } else {
                let early = self.jitter(interval / 10);
                self.timers.set(Timer::T4(key), now + (interval - early));
            }
            if first {
                self.introduce_to_all(now, key);
            }
        }
        self.answered(assoc);
    }

    /// A rejection is told at once and not repeated unchanged, unless the error can be corrected: the policy
    /// has changed meanwhile (or had, since a registrar confirmed it: then it is what it was before), or the identifier is
    /// taken and another random one will do (ambiguity A-28). An element that
    /// had a home, whose successor has no room for it, asks again: with T2, then ever more rarely up to RETRAN-MAX.
    fn registration_rejected(&mut self, now: Time, key: ElementId, error: OperationError) {
        let Some(element) = self.elements.get_mut(&key) else { return };
        let taken = error.causes.iter().any(|cause| cause.code == CauseCode::NON_UNIQUE_PE_IDENTIFIER);
        let full = error.causes.iter().any(|cause| cause.code == CauseCode::LACK_OF_RESOURCES);
        let former = element.confirmed.clone();
        let former = former.filter(|former| !full && *former != element.registration.policy);
        if std::mem::take(&mut element.changed) {
            self.send_registration(now, key);
        } else if let Some(former) = former {
            element.registration.policy = former;
            element.registered = false;
            let error = RegisterError::Rejected(error);
            self.events.push_back(Event::RegistrationFailed { element: key, error });
            self.send_registration(now, key);
        } else if taken
            && element.registration.id.is_none()
            && element.attempts < self.config.timers.max_reg_attempt
        {
            element.attempts += 1;
            element.registered = false;
            let (handle, old) = (element.registration.handle.clone(), element.id);
            let id = self.random_identifier(&handle);
            self.identities.remove(&(handle.clone(), old));
            self.identities.insert((handle, id), key);
            if let Some(element) = self.elements.get_mut(&key) {
                element.id = id;
            }
            if let Some(service) = self.services.get_mut(&key) {
                service.id = id;
            }
            self.send_registration(now, key);
        } else {
            element.state = State::Rejected;
            element.attempts = 0;
            self.timers.cancel(&Timer::T2(key));
            let timers = &self.config.timers;
            let pause = element.pause.unwrap_or(timers.t2_registration).min(timers.retran_max);
            let had_home = element.registered || element.confirmed.is_some();
            let again = full && (had_home || element.pause.is_some());
            element.pause = again.then_some(pause * 2);
            if again {
                self.timers.set(Timer::T4(key), now + pause);
            }
            element.registered = false;
            let error = RegisterError::Rejected(error);
            self.events.push_back(Event::RegistrationFailed { element: key, error });
        }
    }

    /// The answer to a deregistration; without one outstanding it says that the registration has expired
    /// (RFC 5352 §2.2.4, ambiguity A-48).
    pub(super) fn deregistration_response(
        &mut self,
        now: Time,
        assoc: AssocId,
        response: DeregistrationResponse,
    ) {
        let DeregistrationResponse { handle, id, error } = response;
        let key = self.identities.get(&(handle, id)).copied();
        let Some((key, element)) =
            key.and_then(|key| self.elements.get_mut(&key).map(|element| (key, element)))
        else {
            self.counters.unexpected += 1;
            return;
        };
        match element.state {
            State::Deregistering { .. } => {
                self.left_pool(now, key);
                self.settle(now, key);
                self.deregistered(now, key, error.map(RegisterError::Rejected));
                self.answered(assoc);
            }
            State::Registered if error.is_none() => {
                element.registered = false;
                self.events.push_back(Event::Expired { element: key });
                self.send_registration(now, key);
            }
            _ => self.counters.unexpected += 1,
        }
    }

    /// How long it takes until MAX-REG-ATTEMPT is exceeded, if nothing but T2 tells of failures.
    pub(super) fn most_attempts_take(&self) -> Duration {
        let timers = &self.config.timers;
        timers.t2_registration.saturating_mul(timers.max_reg_attempt.saturating_add(1))
    }

    /// One more has failed.
    fn count_attempt(&mut self, key: ElementId) {
        let before = self.elements.get(&key).map_or(0, |element| element.attempts);
        self.attempts_failed(key, before.saturating_add(1));
    }

    /// At least so many have failed in a row. That MAX-REG-ATTEMPT is exceeded is told once.
    fn attempts_failed(&mut self, key: ElementId, attempts: u32) {
        let Some(element) = self.elements.get_mut(&key) else { return };
        let most = self.config.timers.max_reg_attempt.saturating_add(1);
        let before = element.attempts;
        element.attempts = before.max(attempts);
        if before < most && element.attempts >= most {
            element.registered = false;
            let error = RegisterError::NoRegistrar;
            self.events.push_back(Event::RegistrationFailed { element: key, error });
        }
    }

    /// Sends a registration if there is a home, and starts T2 in any case.
    pub(super) fn send_registration(&mut self, now: Time, key: ElementId) {
        let most = now + self.most_attempts_take();
        let Some(element) = self.elements.get_mut(&key) else { return };
        let until = match element.state {
            State::Registering { until } => until,
            _ => most,
        };
        element.state = State::Registering { until };
        let t2 = now + self.config.timers.t2_registration;
        self.timers.cancel(&Timer::T4(key));
        self.timers.cancel(&Timer::Load(key));
        if now < until {
            self.timers.set(Timer::T2(key), t2.min(until));
        } else {
            // It goes on, but the application waits no longer, also if T2 was due and is put off by a new home.
            self.timers.set(Timer::T2(key), t2);
            self.attempts_failed(key, self.config.timers.max_reg_attempt.saturating_add(1));
        }
        let Some(element) = self.elements.get_mut(&key) else { return };
        let Some(home) = &self.home else { return self.start_hunt(now) };
        (element.sent, element.failed) = (true, false);
        element.changed = false;
        element.announced = Announced::new(now, &element.registration.policy);
        let advertise = &self.config.advertise;
        let addresses = if advertise.is_empty() { &home.peer.local } else { advertise };
        let own = element.pool_element(&self.config, addresses);
        let message = element.message(own.clone());
        self.enters_pool(key, own);
        self.ask(&message);
    }

    fn send_deregistration(&mut self, now: Time, key: ElementId) {
        let Some(element) = self.elements.get(&key) else { return };
        let handle = element.registration.handle.clone();
        let message = Message::Deregistration(Deregistration { handle, id: element.id });
        let mut t3 = now + self.config.timers.t3_deregistration;
        if let State::Deregistering { until } = element.state {
            // However often the home changes, the application waits no longer than it was told.
            t3 = t3.min(until);
        }
        self.timers.set(Timer::T3(key), t3);
        self.seek_home(now);
        self.ask(&message);
    }

    fn remove_element(&mut self, key: ElementId, error: Option<RegisterError>) {
        let Some(element) = self.elements.remove(&key) else { return };
        self.identities.remove(&(element.registration.handle, element.id));
        for timer in [Timer::T2(key), Timer::T3(key), Timer::T4(key), Timer::Load(key)] {
            self.timers.cancel(&timer);
        }
        self.events.push_back(Event::Deregistered { element: key, error });
        self.end_service(key);
    }

    fn random_identifier(&mut self, handle: &PoolHandle) -> PeIdentifier {
        loop {
            let id = PeIdentifier(self.rng.next_u32());
            if id.0 != 0 && !self.identities.contains_key(&(handle.clone(), id)) {
                return id;
            }
        }
    }

    /// Sets a timer to a random moment within `most`. One that is due earlier stays: whoever is told again and again to do
    /// something soon does it.
    pub(super) fn within(&mut self, now: Time, timer: Timer, most: Duration) {
        let soon = now + self.jitter(most);
        let at = self.timers.at(&timer).map_or(soon, |at| at.min(soon));
        self.timers.set(timer, at);
    }

    /// A random duration up to `most`.
    pub(super) fn jitter(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.rng.random_range(0..=micros))
    }
}

/// T4 (RFC 5352 §7.1, ambiguity A-30), before jitter.
fn reregistration_interval(life: Option<Duration>) -> Duration {
    const LONGEST: Duration = Duration::from_secs(600);
    const MARGIN: Duration = Duration::from_secs(20);
    match life {
        None => LONGEST,
        Some(life) if life > 2 * MARGIN => (life - MARGIN).min(LONGEST),
        Some(life) => life / 2,
    }
}
