//! What the owner of an endpoint in a scenario remembers, and what it does with its elements and its session.

use super::command::Arguments;
use bytes::Bytes;
use params::{Load, PeIdentifier, PoolElement, PoolHandle};
use proto::Time;
use proto::endpoint::{
    AsapEndpoint, CookieKey, CookieSealing, ElementId, Event, Message, ReplayLimits, ResolveOptions,
    SessionId, SessionOptions,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// The owner of an endpoint.
#[derive(Default)]
pub(super) struct Owner {
    /// Its elements, with their pools.
    pub(super) elements: BTreeMap<ElementId, PoolHandle>,
    /// The session that began last, with the number of failovers that it has told of.
    session: Option<(SessionId, u32)>,
    /// The last business card of a pool user.
    card: Option<(PoolHandle, Vec<PoolElement>)>,
}

impl Owner {
    /// Takes note of what happens.
    pub(super) fn hears(&mut self, event: &Event) {
        match event {
            Event::SessionAccepted { session, .. } => self.session = Some((*session, 0)),
            Event::Failover { session, epoch, .. } => self.session = Some((*session, *epoch)),
            Event::Closed { session, .. } => self.session = self.session.filter(|(id, _)| id != session),
            Event::CardReceived { handle, elements, .. } => {
                self.card = Some((handle.clone(), elements.clone()));
            }
            _ => {}
        }
    }

    fn session(&self) -> Result<(SessionId, u32), String> {
        self.session.ok_or_else(|| "it has no session".into())
    }

    fn element(&self, pool: &PoolHandle) -> Result<ElementId, String> {
        let element = self.elements.iter().find(|(_, handle)| *handle == pool);
        element.map(|(element, _)| *element).ok_or_else(|| "it has no such element".into())
    }

    /// Carries out a command of the scenario.
    pub(super) fn execute(
        &mut self,
        endpoint: &mut AsapEndpoint,
        now: Time,
        command: &str,
        arguments: &Arguments<'_>,
    ) -> Result<(), String> {
        match command {
            "open" | "turn" | "close" | "say" | "cookie" => {
                self.with_session(endpoint, now, command, arguments)
            }
            _ => self.with_pool(endpoint, now, command, arguments),
        }
    }

    fn with_pool(
        &self,
        endpoint: &mut AsapEndpoint,
        now: Time,
        command: &str,
        arguments: &Arguments<'_>,
    ) -> Result<(), String> {
        let pool = arguments.pool()?;
        let done = match command {
            "resolve" => {
                let options = ResolveOptions::new().uncached(!arguments.bit("cached")?);
                endpoint.resolve(now, pool, options).map(|_| ())
            }
            "watch" => endpoint.watch(now, pool),
            "unwatch" => {
                endpoint.unwatch(now, &pool);
                Ok(())
            }
            "purge" => {
                endpoint.purge(&pool);
                Ok(())
            }
            "report" => {
                endpoint.report_unreachable(now, &pool, PeIdentifier(arguments.needed("pe")?));
                Ok(())
            }
            "policy" => endpoint.set_policy(now, self.element(&pool)?, arguments.policy()?),
            "load" => {
                let load = Load::of(arguments.needed("percent")?.into(), 100);
                endpoint.set_load(now, self.element(&pool)?, load)
            }
            "seal" => {
                let key = u8::try_from(arguments.needed("key")?).map_err(|error| error.to_string())?;
                let key = CookieKey::new(key.into(), [key; 32]);
                endpoint.seal_cookies(self.element(&pool)?, CookieSealing::new(key))
            }
            "recommend" => {
                let order = arguments.numbers("pes")?.into_iter().map(PeIdentifier).collect();
                endpoint.set_failover_order(now, self.element(&pool)?, order)
            }
            "ready" => {
                let ready = match arguments.words() {
                    [.., "0"] => false,
                    [.., "1"] => true,
                    _ => return Err("it is ready, 1, or not, 0".into()),
                };
                endpoint.set_ready(now, self.element(&pool)?, ready).map(|_| ())
            }
            "drain" => {
                let grace = arguments.span("grace")?.unwrap_or(Duration::ZERO);
                endpoint.drain(now, self.element(&pool)?, grace)
            }
            _ => endpoint.deregister(now, self.element(&pool)?),
        };
        done.map_err(|error| error.to_string())
    }

    fn with_session(
        &mut self,
        endpoint: &mut AsapEndpoint,
        now: Time,
        command: &str,
        arguments: &Arguments<'_>,
    ) -> Result<(), String> {
        let options = SessionOptions::default();
        match command {
            "open" => {
                let replay = arguments.bit("replay")?.then(ReplayLimits::default);
                let options = options.replay(replay);
                let session = endpoint.connect(now, arguments.pool()?, options);
                self.session = Some((session.map_err(|error| error.to_string())?, 0));
            }
            "turn" => {
                let (pool, elements) = self.card.as_ref().ok_or("nobody gave it a card")?;
                let session = endpoint.connect_preferring(now, pool.clone(), elements, options);
                self.session = Some((session.map_err(|error| error.to_string())?, 0));
            }
            "close" => endpoint.close(now, self.session()?.0),
            "cookie" => {
                let (session, cookie) =
                    (self.session()?.0, Bytes::copy_from_slice(arguments.text().as_bytes()));
                endpoint.set_cookie(now, session, cookie).map_err(|error| error.to_string())?;
            }
            _ => {
                let (session, epoch) = self.session()?;
                let message = Message::new(Bytes::copy_from_slice(arguments.text().as_bytes()));
                endpoint.send(now, session, epoch, message).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}
