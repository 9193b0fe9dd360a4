//! The mass-failure guard (design D9): a network problem of one site must not empty a pool.
//!
//! Silence is no proof of death. Whoever refuses (an ABORT, an ICMP message, an orderly end) is gone, and removed at
//! once. Whoever only stays silent, after a keep-alive and its repetition or until SCTP gives up, is *silent* first:
//! listed last, and looked for on and on. What becomes of it depends on how many others of its pool are:
//!
//! * few: it is removed when the others had the time to show the same, one keep-alive interval, and of a pool that has several
//!   homes the longest of theirs;
//! * more than [`Guard::share`]: all are *held*. An answer or a registration makes an element regular again, a refusal
//!   removes it, and after [`Guard::hold`] it is removed whatever the others do. When the mass has come back, the
//!   rest is given up after a few more attempts.
//!
//! The share is one of the whole pool: registrars tell each other how many of their own elements are silent, and those of a home
//! that does not speak count as silent (see [`silence`](super::silence)), also when they are taken over, until they answer. The share of what one home has says little: of four
//! elements two may well be dead. In a scope with rsplib, which tells nothing, it is all there is to judge by. (Those of
//! other homes that a registrar looked for because of reports are judged on their own. Those that were held are left to
//! their home, which guards them too and looks for them on and on.) With less than [`Guard::floor`] of them whoever is
//! silent is removed at once: nobody could tell a dead server from a dead site, and a last resort that is not
//! listed fails sooner than one that is.

use super::owned::Owned;
use super::timers::Timer;
use super::{ElementKey, Event, Registrar, RemovalReason};
use crate::Time;
use params::{PeIdentifier, PoolHandle};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// When silence is doubted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Per cent of a pool that may be removed for silence within the window; 100 and more: all, there is no guard.
    pub share: u8,
    /// A pool with less elements than this is not guarded.
    pub floor: usize,
    /// How long a removal for silence counts.
    pub window: Duration,
    /// How long an element may stay silent at most; it is two keep-alive intervals when these have become longer than that,
    /// of a pool that has several homes the longest of theirs.
    pub hold: Duration,
}

impl Guard {
    /// A guard whose window has room for a few keep-alives.
    pub fn of(keep_alive_interval: Duration) -> Self {
        Self { share: 30, floor: 4, window: keep_alive_interval * 20, hold: Duration::from_secs(60) }
    }

    /// No guard: whoever is silent is removed at once.
    pub fn off() -> Self {
        Self { share: 100, ..Self::of(Duration::ZERO) }
    }
}

/// Attempts that the rest of a mass that has come back still gets.
const LAST_ATTEMPTS: u32 = 4;
/// One element alone is no mass.
const MASS: usize = 2;

/// Whose silence is judged together: the elements of a pool that are ours, or those that are not.
pub(super) type Scope = (PoolHandle, bool);

/// The silence of one element.
#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Time,
    claimed: bool,
}

/// What is silent in one pool.
#[derive(Debug, Default)]
struct Watch {
    silent: BTreeMap<PeIdentifier, Silence>,
    /// The same, the longest first.
    by_time: BTreeSet<(Time, PeIdentifier)>,
    /// How many of them are claimed.
    claimed: usize,
    /// When elements were removed for silence, within the window.
    removed: VecDeque<Time>,
    holding: Option<Holding>,
}

/// A mass failure that goes on.
#[derive(Debug)]
struct Holding {
    since: Time,
    /// Since when the silent ones are few again.
    calm: Option<Time>,
    released: usize,
    removed: usize,
}

impl Watch {
    fn insert(&mut self, now: Time, id: PeIdentifier, claimed: bool) {
        self.silent.insert(id, Silence { since: now, claimed });
        self.by_time.insert((now, id));
        self.claimed += usize::from(claimed);
    }

    /// Whether it was silent.
    fn remove(&mut self, id: PeIdentifier) -> bool {
        let Some(Silence { since, claimed }) = self.silent.remove(&id) else { return false };
        self.claimed -= usize::from(claimed);
        self.by_time.remove(&(since, id))
    }

    /// How many are silent, or were removed for that lately, with so many claimed elements in the pool. Of these the former
    /// home did not speak any more, and nobody has heard them since.
    fn count(&self, claimed: usize) -> usize {
        self.silent.len() - self.claimed + claimed + self.removed.len()
    }
}

/// What is silent in all pools.
#[derive(Debug, Default)]
pub(super) struct Guards(BTreeMap<Scope, Watch>);

impl Guards {
    /// Whether any element is silent, or was removed for that lately.
    pub(super) fn has_silent(&self) -> bool {
        !self.0.is_empty()
    }

    /// Since when an element is silent.
    pub(super) fn silent_since(&self, key: &ElementKey) -> Option<Time> {
        if self.0.is_empty() {
            return None;
        }
        let watches = [true, false].into_iter().filter_map(|own| self.0.get(&(key.handle.clone(), own)));
        watches.filter_map(|watch| watch.silent.get(&key.id)).map(|silence| silence.since).next()
    }

    /// Whether an element is silent.
    pub(super) fn is_silent(&self, key: &ElementKey) -> bool {
        self.silent_since(key).is_some()
    }

    /// Since when a pool is guarded, and how many of its elements are silent.
    pub(super) fn pool(&self, handle: &PoolHandle) -> (Option<Time>, usize) {
        let watches = [true, false].into_iter().filter_map(|own| self.0.get(&(handle.clone(), own)));
        watches.fold((None, 0), |(since, silent), watch| {
            let holding = watch.holding.as_ref().map(|holding| holding.since);
            (since.into_iter().chain(holding).min(), silent + watch.silent.len())
        })
    }

    /// The pools of which own elements are silent, or were removed for that lately.
    pub(super) fn silent_pools(&self) -> impl Iterator<Item = &PoolHandle> {
        self.0.keys().filter(|(_, own)| *own).map(|(handle, _)| handle)
    }

    /// An element of ours is claimed, which may be silent already.
    pub(super) fn claimed(&mut self, key: &ElementKey) {
        if !self.0.is_empty()
            && let Some(watch) = self.0.get_mut(&(key.handle.clone(), true))
            && let Some(silence) = watch.silent.get_mut(&key.id)
            && !std::mem::replace(&mut silence.claimed, true)
        {
            watch.claimed += 1;
        }
    }

    /// How many elements are silent, and in how many pools they are held.
    pub(super) fn totals(&self) -> (usize, usize) {
        let held = self.0.values().filter(|watch| watch.holding.is_some()).count();
        (self.0.values().map(|watch| watch.silent.len()).sum(), held)
    }
}

impl Registrar {
    /// How many of our elements of a pool are silent, were removed for that lately, or are claimed.
    pub(super) fn own_silent(&self, handle: &PoolHandle) -> usize {
        let claimed = self.owned.claimed_in(handle);
        self.guards.0.get(&(handle.clone(), true)).map_or(claimed, |watch| watch.count(claimed))
    }

    /// Claims an element of ours, or notes that it has acknowledged that; whether it was claimed. Until then it counts as silent.
    pub(super) fn set_claimed(&mut self, now: Time, key: &ElementKey, claimed: bool) -> bool {
        let before = self.owned.set_claimed(key, claimed);
        if before != claimed && self.owned.contains(key) {
            self.claims_changed(now, &key.handle);
        }
        before
    }

    /// Elements of ours are claimed that were not, or the reverse. Peers for which that matters ask.
    pub(super) fn claims_changed(&mut self, now: Time, handle: &PoolHandle) {
        self.telling.outdated();
        let scope = (handle.clone(), true);
        if self.guards.0.contains_key(&scope) {
            self.judge_silence(now, &scope);
        }
    }

    /// An element does not answer, and nothing says why: removed now, later or not at all.
    pub(super) fn gone_silent(&mut self, now: Time, key: &ElementKey, why: RemovalReason) {
        let scope = (key.handle.clone(), self.owned.contains(key));
        if !self.is_guarded(&scope) || self.asap_addresses(key).is_empty() || self.is_contended(key) {
            return self.remove_and_announce(now, key, why);
        }
        self.probe_outdated(now, key);
        let watch = self.guards.0.entry(scope.clone()).or_default();
        if !watch.silent.contains_key(&key.id) {
            watch.insert(now, key.id, self.owned.get(key).is_some_and(Owned::is_claimed));
            self.counters.elements_silent += 1;
            let hold = self.hold(&scope);
            // Its life does not end while nobody could tell us that it goes on.
            if let Some(owned) = self.owned.get_mut(key) {
                owned.expires = owned.expires.max(now + hold * 2);
            }
            self.update_suspicion(now, key);
            self.silence_changed(now);
            self.judge_silence(now, &scope);
        }
        self.schedule_keep_alive(now, key);
    }

    fn is_guarded(&self, scope: &Scope) -> bool {
        let guard = &self.config.guard;
        !self.config.strict_rfc && guard.share < 100 && self.at_risk(scope) >= guard.floor.max(MASS)
    }

    /// How many elements there are to be judged by, those that were removed lately included.
    fn at_risk(&self, (handle, own): &Scope) -> usize {
        let owned = self.owned.count_in(handle);
        let all = self.handlespace.pool(handle).map_or(0, |pool| pool.len());
        let stored = match own {
            true if self.config.compat.is_rsplib() => owned,
            true => all,
            false => all.saturating_sub(owned),
        };
        let removed = self.guards.0.get(&(handle.clone(), *own)).map_or(0, |watch| watch.removed.len());
        stored + removed
    }

    /// Begins to hold, or finds that the mass has come back; then sets the timer for what is next.
    pub(super) fn judge_silence(&mut self, now: Time, scope: &Scope) {
        let window = self.config.guard.window;
        if let Some(watch) = self.guards.0.get_mut(scope) {
            while watch.removed.front().is_some_and(|at| *at + window <= now) {
                watch.removed.pop_front();
                self.telling.outdated();
            }
        }
        let Some(watch) = self.guards.0.get(scope) else { return };
        // Who was asked when the first fell silent has had the time to answer.
        let first = watch.by_time.first().map(|(since, _)| *since);
        let unheard_since = first.filter(|since| *since + self.patience(scope, watch) <= now);
        let elements = self.at_risk(scope);
        let elsewhere = if scope.1 { self.silent_elsewhere(&scope.0, unheard_since) } else { 0 };
        let Some(watch) = self.guards.0.get_mut(scope) else { return };
        let claimed = if scope.1 { self.owned.claimed_in(&scope.0) } else { 0 };
        let silent = watch.count(claimed).saturating_add(elsewhere).min(elements);
        let mass = silent >= MASS && silent * 100 > elements * usize::from(self.config.guard.share);
        match &mut watch.holding {
            None if mass && !watch.silent.is_empty() => {
                watch.holding = Some(Holding { since: now, calm: None, released: 0, removed: 0 });
                self.counters.guards_begun += 1;
                let handle = scope.0.clone();
                self.events.push_back(Event::GuardBegan {
                    handle,
                    silent,
                    elsewhere: elsewhere.min(silent),
                    elements,
                });
            }
            Some(holding) if watch.silent.is_empty() => {
                let (released, removed) = (holding.released, holding.removed);
                let lasted = now.since(holding.since);
                watch.holding = None;
                let handle = scope.0.clone();
                self.events.push_back(Event::GuardEnded { handle, released, removed, lasted });
            }
            Some(holding) if mass => holding.calm = None,
            Some(holding) => _ = holding.calm.get_or_insert(now),
            None => {}
        }
        self.set_guard_timer(now, scope);
    }

    fn set_guard_timer(&mut self, now: Time, scope: &Scope) {
        let Some(watch) = self.guards.0.get(scope) else { return };
        let first = watch.by_time.first().map(|(since, _)| self.given_up_at(scope, watch, *since));
        let forgotten = watch.removed.front().map(|at| *at + self.config.guard.window);
        // Others may have gone or come back meanwhile.
        let again = watch.holding.as_ref().map(|_| now + self.attempt(scope));
        match first.into_iter().chain(forgotten).chain(again).min() {
            Some(at) => self.timers.set(Timer::Guard(scope.clone()), at),
            None => {
                self.guards.0.remove(scope);
                self.timers.cancel(&Timer::Guard(scope.clone()));
            }
        }
    }

    /// How often an element of the pool is looked at, at least.
    fn interval(&self, scope: &Scope) -> Duration {
        if scope.1 { self.longest_keep_alive_interval(&scope.0) } else { self.keep_alive_interval() }
    }

    /// How long a living element of the pool may take to show that it lives.
    fn attempt(&self, scope: &Scope) -> Duration {
        self.interval(scope) + self.config.timers.keep_alive_timeout * 2
    }

    /// How long an element stays silent before it is given up, if the others are not.
    fn patience(&self, scope: &Scope, watch: &Watch) -> Duration {
        let shared = scope.1 && self.at_risk(scope) > self.owned.count_in(&scope.0) + watch.removed.len();
        // Others need the time to tell, too.
        let telling = if shared { self.config.timers.keep_alive_interval / 2 } else { Duration::ZERO };
        self.interval(scope) + telling
    }

    /// How long an element may stay silent at most. It is asked again meanwhile. This is never less than the
    /// [`patience`](Self::patience).
    fn hold(&self, scope: &Scope) -> Duration {
        self.config.guard.hold.max(self.interval(scope) * 2)
    }

    /// When an element that is silent since then is given up, if nothing changes.
    fn given_up_at(&self, scope: &Scope, watch: &Watch, since: Time) -> Time {
        let soon = since + self.patience(scope, watch);
        let Some(holding) = &watch.holding else { return soon };
        let rest = holding.calm.map(|calm| soon.max(calm + self.attempt(scope) * LAST_ATTEMPTS));
        let hold = since + self.hold(scope);
        rest.map_or(hold, |rest| rest.min(hold))
    }

    /// Gives up who was silent for long enough.
    pub(super) fn guard_timeout(&mut self, now: Time, scope: &Scope) {
        self.judge_silence(now, scope);
        while let Some(watch) = self.guards.0.get(scope)
            && let Some((since, id)) = watch.by_time.first().copied()
            && self.given_up_at(scope, watch, since) <= now
        {
            self.give_up(now, scope, id);
        }
        self.judge_silence(now, scope);
    }

    fn give_up(&mut self, now: Time, scope: &Scope, id: PeIdentifier) {
        let key = ElementKey::new(&scope.0, id);
        let Some(watch) = self.guards.0.get_mut(scope) else { return };
        if !watch.remove(id) {
            return;
        }
        watch.removed.push_back(now);
        let held = watch.holding.as_mut().map(|holding| holding.removed += 1).is_some();
        self.counters.elements_given_up += 1;
        // Only its home looks for it all the time, and knows better.
        match !scope.1 && held {
            true => self.update_suspicion(now, &key),
            false => self.remove_and_announce(now, &key, RemovalReason::KeepAliveFailed),
        }
    }

    /// An element, or its home, was heard: it is not silent any more.
    pub(super) fn not_silent(&mut self, now: Time, key: &ElementKey) {
        self.end_silence(now, key, true);
    }

    /// An element was removed for better reasons than silence.
    pub(super) fn forget_silence(&mut self, now: Time, key: &ElementKey) {
        self.end_silence(now, key, false);
    }

    fn end_silence(&mut self, now: Time, key: &ElementKey, released: bool) {
        if self.guards.0.is_empty() {
            return;
        }
        for own in [true, false] {
            let scope = (key.handle.clone(), own);
            let Some(watch) = self.guards.0.get_mut(&scope) else { continue };
            if !watch.remove(key.id) {
                continue;
            }
            self.silence_changed(now);
            let Some(watch) = self.guards.0.get_mut(&scope) else { continue };
            if let Some(holding) = &mut watch.holding {
                holding.released += usize::from(released);
                holding.removed += usize::from(!released);
            }
            if released {
                self.counters.elements_heard_again += 1;
                self.update_suspicion(now, key);
            }
            self.judge_silence(now, &scope);
        }
    }

    /// Whether an element is to be listed last: it is silent, or many clients cannot reach it.
    pub(super) fn update_suspicion(&mut self, now: Time, key: &ElementKey) {
        let reported = self.reports.get(key).is_some_and(super::report::Reports::are_many);
        let silent = self.guards.is_silent(key);
        let suspect = reported || silent;
        if self.handlespace.state(&key.handle, key.id).is_some_and(|state| state.suspect != suspect) {
            self.handlespace.set_suspect(&key.handle, key.id, suspect);
            self.pool_changed(now, &key.handle, suspect);
            let (handle, id) = (key.handle.clone(), key.id);
            self.events.push_back(match suspect {
                true => Event::ElementSuspected { handle, id, silent },
                false => Event::ElementCleared { handle, id },
            });
        }
    }
}
