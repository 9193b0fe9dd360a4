//! How an endpoint conducts itself, seen on the wire: it keeps the limits that it promises, and its cookies go only forward.
//!
//! The limits are those of `endpoint::Config`'s defaults. They are counted here once more, from what is sent, and with
//! room only for what cannot be told from outside.

use crate::counter::{Count, Tag};
use crate::invariants::Name;
use asap::{Message, MessageType};
use bytes::Bytes;
use proto::endpoint::Counters;
use proto::exactly_once::Done;
use proto::{AssocId, Channel, Input, PPID_ASAP, Time, Transmit};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Reports: so many a second, and so many at once.
const REPORTS: Allowance = Allowance::new(10, 20 + WAITING_REPORTS);
/// So many may have waited for a home registrar.
const WAITING_REPORTS: u32 = 64;
/// All failures of one element within this time are one event: four times `connect_timeout`.
const EVENT: Duration = Duration::from_millis(1400);
/// Further tries of a search at once: so many a second, and ten seconds' worth saved up.
const RETRIES: Allowance = Allowance::new(10, 100);
/// And so many thousandths for each search.
const RETRIES_OF_A_SEARCH: u64 = 200;

/// So many a second, and so many at once, in thousandths.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    per_second: u64,
    most: u64,
    /// What was used of it, less what has come back.
    used: u64,
    at: Time,
}

impl Allowance {
    const fn new(per_second: u32, most: u32) -> Self {
        Self { per_second: per_second as u64, most: most as u64 * 1000, used: 0, at: Time::ZERO }
    }

    fn give(&mut self, thousandths: u64) {
        self.used = self.used.saturating_sub(thousandths);
    }

    /// Uses one. Says whether there was one.
    fn take(&mut self, now: Time) -> bool {
        // In whole milliseconds, of which one may be shared by two takers.
        let elapsed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        self.at += Duration::from_millis(elapsed);
        self.give(elapsed.saturating_mul(self.per_second));
        self.used += 1000;
        self.used <= self.most + 1000
    }
}

/// What an endpoint has done since its start. All times are its own.
#[derive(Debug)]
pub struct Conduct {
    reports: Allowance,
    /// When an element was reported last.
    reported: BTreeMap<Name, Time>,
    retries: Allowance,
    /// Searches and pauses that have been counted.
    counted: (u64, u64),
    /// First tries, of a search and after a pause, that are still to come, at most.
    first_tries: u64,
    /// The newest cookie that each of its sessions has got.
    cookies: BTreeMap<Tag, u64>,
    /// The newest cookie that it has set, in each session that it serves.
    set: BTreeMap<AssocId, u64>,
    /// Associations on which something was sent.
    begun: BTreeSet<AssocId>,
}

impl Default for Conduct {
    fn default() -> Self {
        Self {
            reports: REPORTS,
            reported: BTreeMap::new(),
            retries: RETRIES,
            counted: (0, 0),
            first_tries: 0,
            cookies: BTreeMap::new(),
            set: BTreeMap::new(),
            begun: BTreeSet::new(),
        }
    }
}

impl Conduct {
    /// The endpoint gets something.
    ///
    /// # Errors
    /// A cookie that is older than the one before.
    pub fn input(&mut self, input: &Input) -> Result<(), String> {
        match input {
            Input::Message { ppid: PPID_ASAP, bytes, .. } => {
                if let Some((tag, number)) = cookie(MessageType::COOKIE, bytes) {
                    let before = self.cookies.insert(tag, number).unwrap_or(0);
                    return forward("the cookie that it gets", before, number);
                }
            }
            Input::Down { assoc, .. } => {
                self.begun.remove(assoc);
                self.set.remove(assoc);
            }
            _ => {}
        }
        Ok(())
    }

    /// The endpoint sends something, or connects.
    ///
    /// # Errors
    /// It should not.
    pub fn transmit(&mut self, now: Time, transmit: &Transmit) -> Result<(), String> {
        match transmit {
            Transmit::Send { assoc, ppid, bytes, .. } => {
                let first = self.begun.insert(*assoc);
                if *ppid == PPID_ASAP { self.control(now, *assoc, first, bytes) } else { Ok(()) }
            }
            Transmit::Connect { channel: Channel::Session, .. } => self.tries(now),
            _ => Ok(()),
        }
    }

    fn control(&mut self, now: Time, assoc: AssocId, first: bool, bytes: &Bytes) -> Result<(), String> {
        if let Some((_, number)) = cookie(MessageType::COOKIE, bytes) {
            let before = self.set.insert(assoc, number).unwrap_or(0);
            return forward("the cookie that it sets", before, number);
        }
        if let Some((tag, number)) = cookie(MessageType::COOKIE_ECHO, bytes) {
            let newest = self.cookies.get(&tag).copied().unwrap_or(0);
            return match (first, number == newest) {
                (true, true) => Ok(()),
                (false, _) => Err("something was sent before the cookie".into()),
                (_, false) => Err(format!("cookie {number} is echoed, {newest} is the newest")),
            };
        }
        if is(MessageType::ENDPOINT_UNREACHABLE, bytes)
            && let Ok(Message::EndpointUnreachable(report)) = asap::decode(bytes).message
        {
            return self.reports(now, (report.handle, report.id));
        }
        Ok(())
    }

    fn reports(&mut self, now: Time, name: Name) -> Result<(), String> {
        if !self.reports.take(now) {
            return Err("more reports than it may send".into());
        }
        self.reported.retain(|_, at| now < *at + EVENT);
        match self.reported.insert(name.clone(), now) {
            None => Ok(()),
            Some(_) => Err(format!("element {} of {} is reported again and again", name.1, name.0)),
        }
    }

    fn tries(&mut self, now: Time) -> Result<(), String> {
        if self.first_tries > 0 {
            self.first_tries -= 1;
            return Ok(());
        }
        match self.retries.take(now) {
            true => Ok(()),
            false => Err("more servers are tried at once than may be".into()),
        }
    }

    /// What the endpoint says of itself, to be asked before what it sends; it has so many sessions.
    pub fn note(&mut self, counters: &Counters, sessions: usize) {
        let (searches, pauses) = std::mem::replace(&mut self.counted, (counters.searches, counters.pauses));
        let searches = counters.searches - searches;
        self.retries.give(searches * RETRIES_OF_A_SEARCH);
        // Each session has one at a time.
        let more = searches + counters.pauses - pauses;
        self.first_tries = (self.first_tries + more).min(u64::try_from(sessions).unwrap_or(u64::MAX));
    }
}

fn forward(what: &str, before: u64, number: u64) -> Result<(), String> {
    match number >= before {
        true => Ok(()),
        false => Err(format!("{what} is number {number}, after {before}")),
    }
}

fn is(of: MessageType, bytes: &[u8]) -> bool {
    bytes.first() == Some(&of.0)
}

/// The session and the number of the last operation of a cookie, if the message is of this type.
fn cookie(of: MessageType, bytes: &Bytes) -> Option<(Tag, u64)> {
    if !is(of, bytes) {
        return None;
    }
    let cookie = match asap::decode(bytes).message.ok()? {
        Message::Cookie(message) => message.cookie,
        Message::CookieEcho(message) => message.cookie,
        _ => return None,
    };
    let done = Done::from_cookie(&cookie)?;
    Some((Count::decode(done.state())?.tag, done.number()))
}
