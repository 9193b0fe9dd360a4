//! What tasks ask for, by command.

use super::{Entry, Registered, Shell};
use crate::element::{Backlog, Standing, Status};
use crate::pipe::Pipe;
use crate::session::Side;
use crate::{
    AsapEndpoint, CookieSealing, Element, ElementOptions, EndpointError, RegisterError, Registration,
    Resolution, ResolveError, ResolveOptions, Session, SessionError, SessionOptions, Watch,
};
use params::{PeIdentifier, PoolElement, PoolHandle};
use proto::Time;
use proto::endpoint::{self as machine, ElementId, ElementTransport};
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

impl Shell {
    pub(crate) fn machine(&mut self) -> &mut machine::AsapEndpoint {
        &mut self.machine
    }

    /// Whether a shutdown has finished.
    pub(crate) fn is_drained(&self) -> bool {
        self.machine.is_drained()
    }

    pub(crate) fn register(
        &mut self,
        now: Time,
        registration: Registration,
        options: ElementOptions,
        endpoint: AsapEndpoint,
    ) -> Result<Element, RegisterError> {
        let pool = registration.handle.clone();
        let takes_sessions = matches!(registration.transport, ElementTransport::Sessions);
        if takes_sessions && self.elements.values().any(|element| element.takes_sessions) {
            return Err(RegisterError::EndpointTaken(pool));
        }
        let id = self.machine.register(now, registration).map_err(EndpointError::from)?;
        let sealed = options.cookies.is_some();
        if let Some(sealing) = options.cookies {
            self.seal_cookies(now, id, sealing)?;
        }
        let order = options.failover_order;
        self.machine.set_failover_order(now, id, order).map_err(EndpointError::from)?;
        let (status, watched) = watch::channel(Status::Pending);
        let standing = watch::Sender::new(Standing::default());
        let failure = watch::Sender::new(None);
        let backlog = Arc::<Backlog>::default();
        let element = Element {
            id,
            pool: pool.clone(),
            status: watched,
            standing: standing.subscribe(),
            home: self.home.subscribe(),
            failure: failure.subscribe(),
            backlog: Arc::clone(&backlog),
            sealed,
            endpoint,
        };
        let registered = Registered {
            pool,
            status,
            standing,
            failure,
            backlog,
            takes_sessions,
            leaving: false,
            drain: None,
        };
        self.elements.insert(id, registered);
        Ok(element)
    }

    pub(crate) fn seal_cookies(
        &mut self,
        now: Time,
        element: ElementId,
        sealing: CookieSealing,
    ) -> Result<(), EndpointError> {
        self.seals = true;
        self.fed(now);
        Ok(self.machine.seal_cookies(element, sealing)?)
    }

    pub(crate) fn set_ready(
        &mut self,
        now: Time,
        id: ElementId,
        ready: bool,
    ) -> Result<(), machine::CommandError> {
        let outstanding = self.machine.set_ready(now, id, ready)?;
        if let Some(element) = self.elements.get(&id).filter(|_| outstanding) {
            element.status.send_replace(if ready { Status::Pending } else { Status::Leaving });
        }
        Ok(())
    }

    pub(crate) fn resolve(
        &mut self,
        now: Time,
        pool: PoolHandle,
        options: ResolveOptions,
    ) -> Result<oneshot::Receiver<Result<Resolution, ResolveError>>, EndpointError> {
        let request = self.machine.resolve(now, pool.clone(), options)?;
        let (answer, answered) = oneshot::channel();
        self.resolutions.insert(request, (pool, answer));
        Ok(answered)
    }

    pub(crate) fn watch(
        &mut self,
        now: Time,
        pool: PoolHandle,
        endpoint: AsapEndpoint,
    ) -> Result<Watch, EndpointError> {
        self.machine.watch(now, pool.clone())?;
        let sender = self.watches.entry(pool.clone()).or_insert_with(|| watch::Sender::new(None));
        Ok(Watch::new(sender.subscribe(), pool, endpoint))
    }

    pub(crate) fn connect(
        &mut self,
        now: Time,
        pool: PoolHandle,
        preferred: &[PoolElement],
        options: SessionOptions,
        endpoint: AsapEndpoint,
    ) -> Result<(Session, oneshot::Receiver<Result<PeIdentifier, SessionError>>), EndpointError> {
        let id = match preferred {
            [] => self.machine.connect(now, pool.clone(), options)?,
            preferred => self.machine.connect_preferring(now, pool.clone(), preferred, options)?,
        };
        let pipe = Arc::new(Pipe::new(self.window));
        let (connecting, connected) = oneshot::channel();
        self.sessions
            .insert(id, Entry { pool, element: None, pipe: Arc::clone(&pipe), connecting: Some(connecting) });
        Ok((Session::new(id, pipe, endpoint, Side::Started), connected))
    }
}
