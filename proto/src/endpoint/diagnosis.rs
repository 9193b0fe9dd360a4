//! Whose fault is it? Failed elements: which are reported (RFC 5352 §3.5), which are avoided, and which are not to blame.
//!
//! When an element does not answer, the fault may be on this side: a cable, an interface, a process that stood still. So
//! nothing is reported and nobody is avoided until something else is heard, and the registrar is asked, to hear it. What was
//! heard before says nothing: it may have come just before the cable was pulled. If nothing is heard for a while, or the
//! registrar falls silent as well, the failure is forgotten. A connect that is refused while something else is heard needs no
//! other witness: somebody has answered. One that this host cannot even try says nothing of anybody else.
//!
//! An element is reported once per event, and all reports together are limited: a client that sees many elements fail at
//! once is not the only one, and the registrars probe by themselves.

use super::AsapEndpoint;
use crate::{DownReason, Time};
use asap::{EndpointUnreachable, Message};
use params::{PeIdentifier, PoolHandle};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Reports that wait for a home registrar.
const MOST_WAITING: usize = 64;
/// Failures of which it is not clear whose fault they are.
const MOST_DOUBTFUL: usize = 1024;

/// Where something came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// An element that we use. Those of the same identifier in two pools count as one, which makes less evidence.
    Element(PeIdentifier),
    /// A registrar, or a pool user.
    Other,
}

/// When what was heard last, of two sources.
#[derive(Debug, Default)]
pub(super) struct Heard {
    latest: Option<(Source, Time)>,
    /// The latest of all other sources.
    before: Option<(Source, Time)>,
}

impl Heard {
    fn note(&mut self, now: Time, source: Source) {
        if self.latest.is_none_or(|(latest, _)| latest != source) {
            self.before = self.latest;
        }
        self.latest = Some((source, now));
    }

    /// When something was last heard that is not this element.
    fn beside(&self, id: PeIdentifier) -> Option<Time> {
        let heard = [self.latest, self.before].into_iter().flatten();
        heard.filter(|(source, _)| *source != Source::Element(id)).map(|(_, at)| at).max()
    }
}

/// What was reported lately, whether the registrar still lists it or not.
#[derive(Debug, Default)]
pub(super) struct Reported {
    /// When each was reported last.
    elements: BTreeMap<(PoolHandle, PeIdentifier), Time>,
    /// The same in the order of time, and what was reported before.
    order: VecDeque<(Time, PoolHandle, PeIdentifier)>,
}

impl Reported {
    /// Whether a failure is to be reported now: once per event (RFC 5352 §3.5), which lasts so long.
    fn once(&mut self, now: Time, event: Duration, handle: &PoolHandle, id: PeIdentifier) -> bool {
        while self.order.front().is_some_and(|(at, ..)| now >= *at + event)
            && let Some((at, handle, id)) = self.order.pop_front()
        {
            let name = (handle, id);
            if self.elements.get(&name) == Some(&at) {
                self.elements.remove(&name);
            }
        }
        let first = !self.elements.contains_key(&(handle.clone(), id));
        if first {
            self.sent(now, handle, id);
        }
        first
    }

    /// A report goes out: its event begins now.
    fn sent(&mut self, now: Time, handle: &PoolHandle, id: PeIdentifier) {
        self.elements.insert((handle.clone(), id), now);
        self.order.push_back((now, handle.clone(), id));
    }
}

impl AsapEndpoint {
    /// The element is there. Its failures are forgotten, and what has not been reported yet is not reported any more.
    pub(super) fn element_alive(&mut self, handle: &PoolHandle, id: PeIdentifier) {
        self.cache.set_alive(handle, id);
        if self.unsent_reports.is_empty() {
            return;
        }
        for id in self.cache.at_endpoint_of(handle, id).into_iter().chain([id]) {
            self.unsent_reports.remove(&(handle.clone(), id));
        }
    }

    /// There is a home registrar: it hears what has waited for it, unless that was long ago.
    pub(super) fn send_reports(&mut self, now: Time) {
        let event = self.cache.memory();
        for ((handle, id), failed) in std::mem::take(&mut self.unsent_reports) {
            if now < failed + event {
                self.reported.sent(now, &handle, id);
                self.ask(&Message::EndpointUnreachable(EndpointUnreachable { handle, id }));
            }
        }
    }

    /// Something was heard: what could not be reached meanwhile is really not there.
    pub(super) fn heard(&mut self, now: Time, source: Source) {
        self.heard.note(now, source);
        if self.doubtful.is_empty() {
            return;
        }
        for ((handle, id), until) in std::mem::take(&mut self.doubtful) {
            if now >= until || source == Source::Element(id) {
                continue;
            }
            self.element_unreachable(now, &handle, id);
        }
    }

    /// Reports that an element that the pool's resolution named cannot be reached (RFC 5352 §3.5).
    ///
    /// For applications with their own transports; sessions report by themselves. One event counts once: a
    /// repetition shortly after is not sent again. Nothing is sent before something else is heard after that, so a
    /// fault of this host's network is not reported. Nor is an element that is not listed (any more): the registrars know
    /// that already.
    pub fn report_unreachable(&mut self, now: Time, handle: &PoolHandle, id: PeIdentifier) {
        if self.cache.contains(handle, id) {
            self.element_silent(now, handle, id);
        }
    }

    /// A session has lost an element, or could not reach it, which it has tried since then. Silence and refused connects are
    /// evidence that nobody is there; whoever ends a session, in order or not, is there, and wants it elsewhere.
    ///
    /// A refusal may also come from this side's network. That is known at once, while one of the element's host takes the
    /// time in which a busy client hears something else.
    pub(super) fn element_failed(
        &mut self,
        now: Time,
        handle: &PoolHandle,
        id: PeIdentifier,
        since: Time,
        why: &DownReason,
    ) {
        match why {
            DownReason::ConnectFailed(_) if self.heard.beside(id).is_some_and(|heard| heard > since) => {
                self.element_unreachable(now, handle, id);
            }
            DownReason::Unreachable | DownReason::ConnectFailed(_) => self.element_silent(now, handle, id),
            DownReason::CannotConnect(_) | DownReason::NoAddress => {}
            _ => self.cache.set_failed(now, handle, id),
        }
    }

    /// An element is silent, as far as we can see.
    fn element_silent(&mut self, now: Time, handle: &PoolHandle, id: PeIdentifier) {
        if self.doubtful.len() < MOST_DOUBTFUL {
            // Without a registrar it is likely that nothing can be heard, and what is later says little of now.
            let soon = self.config.timers.connect_timeout;
            let until = now + if self.home.is_some() { self.cache.memory() } else { soon };
            self.doubtful.insert((handle.clone(), id), until);
            self.refresh(now, handle.clone());
        }
    }

    /// A registrar is there. If all were silent for a whole round of a hunt, the fault was rather on this side, and who did not
    /// answer then is not to blame. One that refuses is a witness: it was only started anew.
    pub(super) fn registrar_back(&mut self) {
        if self.home.is_none() && self.hunt.was_silent() {
            self.doubtful.clear();
        }
    }

    /// The home registrar has fallen silent, too: the fault is on this side.
    pub(super) fn home_silent(&mut self) {
        self.doubtful.clear();
    }

    /// Reports an element once per event, and prefers others for a while.
    fn element_unreachable(&mut self, now: Time, handle: &PoolHandle, id: PeIdentifier) {
        self.cache.set_failed(now, handle, id);
        if !self.reported.once(now, self.cache.memory(), handle, id) {
            return;
        }
        if !self.reports.take(now) {
            self.counters.reports_suppressed += 1;
            return;
        }
        if self.home.is_some() {
            let handle = handle.clone();
            self.ask(&Message::EndpointUnreachable(EndpointUnreachable { handle, id }));
        } else if self.unsent_reports.len() < MOST_WAITING {
            self.unsent_reports.insert((handle.clone(), id), now);
            self.seek_home(now);
        }
    }
}
