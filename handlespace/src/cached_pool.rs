//! The pool user's side of the policies (RFC 5356, "Pool User Considerations").

use crate::policy::{cost, same_type};
use params::{Policy, PoolElement};
use rand::{Rng, RngExt};

/// The elements of one answer to a handle resolution, from which a pool user chooses one at a time.
///
/// Which of them failed is not kept here: whoever chooses says whom to pass over. The order is the registrar's, and weights and loads have had their effect on it, so they are not applied
/// again (ambiguity A-75). A new answer makes a new `CachedPool`.
#[derive(Clone, Debug)]
pub struct CachedPool {
    policy: Policy,
    elements: Vec<PoolElement>,
    /// Where round robin goes on.
    next: usize,
}

impl CachedPool {
    /// The answer as it came: overall policy ([`Policy::RoundRobin`] if it had none) and elements. An element that
    /// is listed twice has two turns (ambiguity A-74).
    pub fn new(policy: Policy, elements: impl IntoIterator<Item = PoolElement>) -> Self {
        Self { policy, elements: elements.into_iter().collect(), next: 0 }
    }

    /// The overall policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The elements in the registrar's order.
    pub fn elements(&self) -> &[PoolElement] {
        &self.elements
    }

    /// The element to use now among those that are `usable`. `None` if there are none: time to resolve again.
    ///
    /// * Round Robin, Weighted Round Robin, unknown policies: the next of the list (RFC 5356 §4.1.3, §4.2.3).
    /// * Random, Weighted Random, Randomized Least Used: any, with equal chances (§4.3.3, §4.4.3, §5.4.3).
    /// * Priority: the one of highest priority (§4.5.3); elements without a priority come last (ambiguity A-35).
    /// * Least Used and its relatives: the first of the list (§5.1.3).
    pub fn choose(
        &mut self,
        usable: impl Fn(&PoolElement) -> bool,
        rng: &mut (impl Rng + ?Sized),
    ) -> Option<&PoolElement> {
        let usable = |index: &usize| self.elements.get(*index).is_some_and(&usable);
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
                let cost_of = |&index: &usize| match &self.elements[index].policy {
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
        Some(&self.elements[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use params::{Load, PeIdentifier, PolicyType, RegistrarId, RegistrationLife, TcpTransport, Transport};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn element(id: u32, policy: Policy) -> PoolElement {
        PoolElement {
            id: PeIdentifier(id),
            home: RegistrarId(1),
            life: RegistrationLife::INFINITE,
            user_transport: Transport::Tcp(TcpTransport { port: 80, address: "10.0.0.1".parse().unwrap() }),
            policy,
            asap_transport: None,
        }
    }

    /// The elements 1, 2, 3, … with these policies.
    fn answer(overall: Policy, policies: impl IntoIterator<Item = Policy>) -> CachedPool {
        CachedPool::new(overall, (1..).zip(policies).map(|(id, policy)| element(id, policy)))
    }

    fn choices(pool: &mut CachedPool, times: usize) -> Vec<u32> {
        choices_but(0, pool, times)
    }

    fn choices_but(failed: u32, pool: &mut CachedPool, times: usize) -> Vec<u32> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut choose = || Some(pool.choose(|element| element.id.0 != failed, &mut rng)?.id.0);
        (0..times).filter_map(|_| choose()).collect()
    }

    // POL-4.1-08, POL-4.1-09, POL-4.2-07, A-78, ASAP-2.2.6-05: each element of the list in turn, whatever its weight.
    #[test]
    fn round_robin_goes_through_the_list() {
        let weighted = |weight| Policy::WeightedRoundRobin { weight };
        let unknown = Policy::Opaque { policy_type: PolicyType(0x8000_0001), value: Default::default() };
        for overall in [Policy::RoundRobin, weighted(1), unknown] {
            let mut pool = answer(overall, [9, 1, 1].map(weighted));
            assert_eq!(choices(&mut pool, 5), [1, 2, 3, 1, 2]);
            assert_eq!(choices_but(1, &mut pool, 4), [3, 2, 3, 2]);
        }
    }

    // listed twice, two turns.
    #[test]
    fn duplicates_count_as_turns() {
        let elements = [1, 2, 1].map(|id| element(id, Policy::WeightedRoundRobin { weight: 1 }));
        let mut pool = CachedPool::new(Policy::WeightedRoundRobin { weight: 1 }, elements);
        assert_eq!(choices(&mut pool, 6), [1, 2, 1, 1, 2, 1]);
        assert_eq!(choices_but(1, &mut pool, 2), [2, 2]);
    }

    // POL-4.3-05, POL-4.4-07, POL-5.4-05: uniform, the weights have had their effect.
    #[test]
    fn random_policies_choose_uniformly() {
        let weighted = |weight| Policy::WeightedRandom { weight };
        let randomized = |load| Policy::RandomizedLeastUsed { load: Load(load) };
        let pools = [
            answer(Policy::Random, [Policy::Random, Policy::Random, Policy::Random]),
            answer(weighted(1), [1000, 1, 1].map(weighted)),
            answer(randomized(0), [0, u32::MAX, u32::MAX].map(randomized)),
        ];
        for mut pool in pools {
            let chosen = choices(&mut pool, 9000);
            for id in 1..=3 {
                // Four standard deviations.
                let times = chosen.iter().filter(|&&chosen| chosen == id).count();
                assert!((2820..=3180).contains(&times), "{id} was chosen {times} times");
            }
        }
    }

    // POL-4.5-06, POL-4.5-07
    #[test]
    fn priority_chooses_the_highest_that_works() {
        let mut pool =
            answer(Policy::Priority { priority: 0 }, [3, 9, 7].map(|priority| Policy::Priority { priority }));
        assert_eq!(choices(&mut pool, 2), [2, 2]);
        assert_eq!(choices_but(2, &mut pool, 2), [3, 3]);
        // Elements that say nothing of priorities: the order of the list.
        let mut pool = answer(Policy::Priority { priority: 0 }, [Policy::RoundRobin, Policy::RoundRobin]);
        assert_eq!(choices(&mut pool, 2), [1, 1]);
    }

    // POL-5.1-06, POL-5.2-08, POL-5.3-07: the registrar knows the loads better.
    // POL-1-01
    #[test]
    fn least_used_follows_the_list() {
        let used = |load| Policy::LeastUsed { load: Load(load) };
        let mut pool = answer(used(0), [20, 10, 30].map(used));
        assert_eq!(choices(&mut pool, 2), [1, 1]);
        assert_eq!(choices_but(1, &mut pool, 2), [2, 2]);
    }

    #[test]
    fn nothing_left() {
        let mut pool = answer(Policy::Random, [Policy::Random]);
        assert_eq!(choices_but(1, &mut pool, 1), []);
        assert_eq!(choices(&mut answer(Policy::RoundRobin, []), 1), []);
    }
}
