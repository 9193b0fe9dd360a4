//! Elements that leave their pool for a while (RFC 5352 §3.2) and come back (§3.1), under the same identifier.
//!
//! Such an element stays an element of this endpoint: what it has, its sessions above all, is there when it is back, and
//! draining it drains all of them.

use super::registration::State;
use super::{AsapEndpoint, CommandError, ElementId, Event, RegisterError, Timer};
use crate::Time;

impl AsapEndpoint {
    /// Takes an element out of its pool until it is ready again: it gets no new sessions, and those that it has go on.
    /// [`Event::Withdrawn`] follows, or [`Event::Registered`] when it is back, or [`Event::RegistrationFailed`]. One that was
    /// rejected and is ready is tried again, and one that no registrar has answered has as long again as at first.
    ///
    /// Returns whether any of these events follows: not if that is how it is already.
    ///
    /// # Errors
    /// There is no such element, or it is leaving for good.
    pub fn set_ready(&mut self, now: Time, element: ElementId, ready: bool) -> Result<bool, CommandError> {
        let most = self.most_attempts_take();
        let state = self.elements.get_mut(&element).ok_or(CommandError::Unknown)?;
        if matches!(state.state, State::Deregistering { .. }) && !state.returns {
            return Err(CommandError::Unknown);
        }
        state.ready = ready;
        match state.state {
            State::Deregistering { .. } => {}
            _ if ready && state.registered => return Ok(false),
            State::Registering { .. } if ready => {
                state.state = State::Registering { until: now + most };
                state.attempts = 0;
            }
            _ if ready => self.send_registration(now, element),
            State::Withdrawn if !state.may_be_known() => return Ok(false),
            _ => {
                state.returns = true;
                state.registered = false;
                if state.may_be_known() {
                    self.begin_deregistration(now, element);
                } else {
                    self.withdrawn(now, element, None);
                }
            }
        }
        Ok(true)
    }

    /// The element is out of its pool; or, on an error, no registrar has confirmed it.
    pub(super) fn withdrawn(&mut self, now: Time, key: ElementId, error: Option<RegisterError>) {
        let Some(element) = self.elements.get_mut(&key) else { return };
        element.withdraw(error.is_some());
        for timer in [Timer::T2(key), Timer::T3(key), Timer::T4(key), Timer::Load(key)] {
            self.timers.cancel(&timer);
        }
        let ready = element.ready;
        self.events.push_back(Event::Withdrawn { element: key, error });
        if ready {
            self.send_registration(now, key);
        }
    }
}
