//! Makes a failing run smaller, as long as it fails in the same way.

use crate::faults;
use crate::run::Violation;
use crate::spec::{Spec, Spread};
use net::memory::Link;
use std::collections::BTreeSet;
use std::time::Duration;

/// The smallest run found that still violates what `violation` does, by running at most `budget` others.
///
/// `runs` runs a spec and says what is violated in it.
pub fn minimise(
    violation: Violation,
    budget: u32,
    runs: &dyn Fn(&Spec) -> Option<Box<Violation>>,
) -> Violation {
    let kind = violation.kind();
    let mut search = Search { best: violation, kind, budget, runs };
    search.shorten();
    while search.round() {}
    search.best
}

struct Search<'a> {
    best: Violation,
    kind: String,
    budget: u32,
    runs: &'a dyn Fn(&Spec) -> Option<Box<Violation>>,
}

impl Search<'_> {
    /// Keeps a smaller spec if it still fails. Says so.
    fn attempt(&mut self, spec: Spec) -> bool {
        if self.budget == 0 || spec == self.best.spec {
            return false;
        }
        self.budget -= 1;
        match (self.runs)(&spec).filter(|violation| violation.kind() == self.kind) {
            Some(violation) => {
                self.best = *violation;
                true
            }
            None => false,
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Spec)) -> bool {
        let mut spec = self.best.spec.clone();
        change(&mut spec);
        self.attempt(spec)
    }

    /// Nothing after the violation matters.
    fn shorten(&mut self) {
        let rounds = self.best.round + 1;
        self.change(|spec| spec.rounds = rounds);
    }

    /// Tries everything once. Says whether anything helped.
    fn round(&mut self) -> bool {
        let incidents = self.fewer(&self.incidents(), &|spec, only| spec.only = Some(only.clone()));
        let hosts = self.best.spec.hosts().into_iter().skip(1).collect();
        let hosts = self.fewer(&hosts, &|spec, kept| {
            let all = spec.hosts().into_iter().skip(1);
            spec.without.extend(all.filter(|host| !kept.contains(host)));
        });
        let simpler = self.simpler();
        incidents | hosts | simpler
    }

    fn incidents(&self) -> BTreeSet<u32> {
        let spec = &self.best.spec;
        let incidents = (0..spec.rounds).flat_map(|round| faults::incidents(spec, round));
        incidents.map(|incident| incident.number).collect()
    }

    /// Takes away ever smaller parts of a set (delta debugging). Says whether anything could go.
    fn fewer<T: Copy + Ord>(&mut self, all: &BTreeSet<T>, keep: &dyn Fn(&mut Spec, &BTreeSet<T>)) -> bool {
        let mut kept = all.clone();
        let mut part = kept.len();
        while part > 0 {
            let items: Vec<T> = kept.iter().copied().collect();
            for part in items.chunks(part) {
                let fewer: BTreeSet<T> = kept.iter().copied().filter(|item| !part.contains(item)).collect();
                if self.change(|spec| keep(spec, &fewer)) {
                    kept = fewer;
                }
            }
            part /= 2;
        }
        kept.len() < all.len()
    }

    /// Fewer elements and sessions, a better network, less going on.
    fn simpler(&mut self) -> bool {
        let mut any = false;
        let fewer = |spread: Spread| Spread { count: (spread.count / 2).max(spread.hosts), ..spread };
        while self.change(|spec| spec.elements = fewer(spec.elements)) {
            any = true;
        }
        while self.change(|spec| spec.users = fewer(spec.users)) {
            any = true;
        }
        any |= self.change(|spec| spec.link = Link::perfect());
        any |= self.change(|spec| spec.link.loss = 0);
        any |= self.change(|spec| spec.link.jitter = Duration::ZERO);
        any |= self.change(|spec| spec.refused = 0);
        any |= self.change(|spec| spec.churn_every = Duration::ZERO);
        any |= self.change(|spec| spec.drains = false);
        any |= self.change(|spec| spec.patience = Duration::ZERO);
        any |= self.change(|spec| spec.replay = false);
        any |= self.change(|spec| spec.learned = false);
        any |= self.change(|spec| spec.registrar_pool = false);
        any |= self.change(|spec| spec.backlogs = false);
        any |= self.change(|spec| spec.strict_rfc = false);
        any |= self.change(|spec| spec.announce = false);
        any |= self.change(|spec| spec.pools = 1);
        any |= self.change(|spec| spec.peace = Duration::from_secs(4));
        let quiet = Spec::quiet(0);
        any |= self.change(|spec| spec.send_queue = quiet.send_queue);
        any |= self.change(|spec| spec.page = quiet.page);
        any |= self.change(|spec| spec.skew = quiet.skew);
        any |= self.change(|spec| spec.twins = false);
        any |= self.change(|spec| spec.small_limits = false);
        any |= self.change(|spec| spec.icmp = quiet.icmp);
        any |= self.change(|spec| spec.hold = quiet.hold);
        any |= self.change(|spec| spec.arbitration = quiet.arbitration);
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Wire;
    use proto::Time;

    #[test]
    fn everything_that_a_spec_can_do_without_goes() {
        for seed in 0..100 {
            let fails = |spec: &Spec| {
                let what = "whatever there is".to_owned();
                Some(Box::new(Violation { spec: spec.clone(), round: 0, at: Time::ZERO, what }))
            };
            let spec = Spec::random(seed, Wire::Channels);
            let violation = *fails(&spec).expect("it always fails");
            let smallest = minimise(violation, 10_000, &fails).spec;
            let Spec {
                registrars, elements, users, watchers, trouble, fault_every, think, blackouts, ..
            } = spec;
            let expected = Spec {
                registrars,
                elements: Spread { count: elements.hosts, ..elements },
                users: Spread { count: users.hosts, ..users },
                watchers,
                trouble,
                fault_every,
                think,
                blackouts,
                only: smallest.only.clone(),
                without: smallest.without.clone(),
                ..Spec::quiet(seed)
            };
            assert_eq!(smallest, expected);
            assert_eq!(smallest.hosts().len(), 1);
            assert_eq!(smallest.only.unwrap_or_default().len(), 0);
        }
    }
}
