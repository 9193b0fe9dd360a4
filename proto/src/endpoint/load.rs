//! Load updates (RFC 5356 §5): how a changing load reaches the registrar without a registration for every change.
//!
//! The latest load goes with each registration. Between them one is sent when the load differs enough from what the registrar
//! knows, and not too soon after the one before.

use super::registration::Element;
use super::{AsapEndpoint, CommandError, ElementId, Timer};
use crate::Time;
use params::{Load, Policy};

/// What the registrar knows of an element's load.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Announced {
    load: Option<Load>,
    at: Time,
}

impl Announced {
    pub(super) fn new(now: Time, policy: &Policy) -> Self {
        Self { load: policy.load(), at: now }
    }

    /// Whether a load differs from it by at least this much.
    fn differs(&self, load: Load, by: Load) -> bool {
        self.load.is_none_or(|known| known != load && known.0.abs_diff(load.0) >= by.0)
    }
}

impl AsapEndpoint {
    /// Tells how much an element is used. Cheap: may be called for every request that begins or ends. Registers again if the
    /// load differs from the last registered one by the configured hysteresis, at once or when the configured interval has passed.
    /// An element that was rejected stays so: its load goes with its next registration.
    ///
    /// # Errors
    /// There is no such element, or its policy does not go by the load.
    pub fn set_load(&mut self, now: Time, element: ElementId, load: Load) -> Result<(), CommandError> {
        let state = self.elements.get_mut(&element).ok_or(CommandError::Unknown)?;
        if !state.set_load(load) {
            return Err(CommandError::Invalid("the policy of this element does not go by its load"));
        }
        if !state.is_kept_registered() {
            return Ok(());
        }
        let updates = &self.config.load_updates;
        if !state.announced.differs(load, updates.hysteresis) {
            self.timers.cancel(&Timer::Load(element));
        } else if self.timers.at(&Timer::Load(element)).is_none() {
            let earliest = state.announced.at + updates.interval;
            if now < earliest {
                self.timers.set(Timer::Load(element), earliest);
            } else {
                self.register_again(now, element);
            }
        }
        Ok(())
    }

    pub(super) fn load_expired(&mut self, now: Time, element: ElementId) {
        if self.elements.get(&element).is_some_and(Element::is_kept_registered) {
            self.register_again(now, element);
        }
    }
}
