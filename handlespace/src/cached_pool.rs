//! The pool user's side of the policies (RFC 5356, "Pool User Considerations").

use crate::policy::{cost, same_type};
use params::{PeIdentifier, Policy, PoolElement};
use rand::{Rng, RngExt};

/// The elements of one answer to a handle resolution, from which a pool user chooses one at a time.
///
/// The order is the registrar's, and weights and loads have had their effect on it, so they are not applied
/// again (ambiguity A-75). A new answer makes a new `CachedPool`.
#[derive(Clone, Debug)]
pub struct CachedPool {
    policy: Policy,
    elements: Vec<Candidate>,
    /// Where round robin goes on.
    next: usize,
}

#[derive(Clone, Debug)]
struct Candidate {
    element: PoolElement,
    failed: bool,
}

impl CachedPool {
    /// The answer as it came: overall policy ([`Policy::RoundRobin`] if it had none) and elements. An element that
    /// is listed twice has two turns (ambiguity A-74).
    pub fn new(policy: Policy, elements: impl IntoIterator<Item = PoolElement>) -> Self {
        let elements = elements.into_iter().map(|element| Candidate { element, failed: false }).collect();
        Self { policy, elements, next: 0 }
    }

    /// The overall policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The elements in the registrar's order, the failed ones included.
    pub fn elements(&self) -> impl Iterator<Item = &PoolElement> {
        self.elements.iter().map(|candidate| &candidate.element)
    }

    /// The element to use now. `None` if all have failed, or there are none: time to resolve again.
    ///
    /// * Round Robin, Weighted Round Robin, unknown policies: the next of the list (RFC 5356 §4.1.3, §4.2.3).
    /// * Random, Weighted Random, Randomized Least Used: any, with equal chances (§4.3.3, §4.4.3, §5.4.3).
    /// * Priority: the one of highest priority (§4.5.3); elements without a priority come last (ambiguity A-35).
    /// * Least Used and its relatives: the first of the list (§5.1.3).
    pub fn choose(&mut self, rng: &mut (impl Rng + ?Sized)) -> Option<&PoolElement> {
        let usable = |index: &usize| self.elements.get(*index).is_some_and(|candidate| !candidate.failed);
        let mut indices = 0..self.elements.len();
        let index = match self.policy {
            Policy::Random
            | Policy::WeightedRandom { .. }
            | Policy::WeightedRandomDpf { .. }
            | Policy::RandomizedLeastUsed { .. }
            | Policy::RandomizedPriorityLeastUsed { .. }
            | Policy::RandomizedLeastUsedDegradation { .. }
            | Policy::RandomizedPriorityLeastUsedDegradation { .. } => {
                let count = indices.clone().filter(usable).count();
                let nth = (count > 0).then(|| rng.random_range(0..count))?;
                indices.filter(usable).nth(nth)?
            }
            Policy::Priority { .. } => {
                let cost_of = |&index: &usize| match &self.elements[index].element.policy {
                    policy if same_type(policy, &self.policy) => cost(policy, 0),
                    _ => u64::MAX,
                };
                indices.filter(usable).min_by_key(cost_of)?
            }
            Policy::LeastUsed { .. }
            | Policy::LeastUsedDegradation { .. }
            | Policy::PriorityLeastUsed { .. }
            | Policy::PriorityLeastUsedDegradation { .. }
            | Policy::LeastUsedDpf { .. }
            | Policy::LeastUsedDegradationDpf { .. } => indices.find(usable)?,
            Policy::RoundRobin | Policy::WeightedRoundRobin { .. } | Policy::Opaque { .. } => {
                let index = (self.next..self.elements.len()).chain(0..self.next).find(usable)?;
                self.next = index + 1;
                index
            }
        };
        Some(&self.elements[index].element)
    }

    /// Marks an element as failed: it is not chosen any more. Whether it is in the list.
    pub fn set_failed(&mut self, id: PeIdentifier) -> bool {
        let mut found = false;
        for candidate in self.elements.iter_mut().filter(|candidate| candidate.element.id == id) {
            candidate.failed = true;
            found = true;
        }
        found
    }
}
