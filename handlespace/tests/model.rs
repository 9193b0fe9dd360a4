//! Long random histories: the crate and the naive model must agree after every step.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod naive;

use handlespace::{Handlespace, RegisterError};
use naive::{Naive, POLICIES, element, policy};
use params::{PeIdentifier, Policy, PoolHandle, RegistrarId, TcpTransport, Transport, TransportUse};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rserpool_handlespace as handlespace;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Step {
    Store { pool: u8, id: u32, home: u32, policy: Policy, transport: u8, strict: bool },
    Remove { pool: u8, id: u32 },
    SetHome { pool: u8, id: u32, home: u32 },
    Suspect { pool: u8, id: u32, suspect: bool },
    Select { pool: u8, count: Option<usize> },
}

const HOMES: u32 = 3;

/// Two pools with a policy each, few identifiers and few values, so that steps meet.
fn step(policies: [u32; 2]) -> impl Strategy<Value = Step> {
    let value = prop_oneof![3 => 0..4u32, 1 => Just(u32::MAX), 1 => any::<u32>()];
    // One in ten has the policy or the transport of nobody else.
    let number = prop_oneof![9 => Just(None), 1 => (0..POLICIES).prop_map(Some)];
    let transport = prop_oneof![9 => Just(0u8), 1 => 1..3u8];
    let place = || (0..2u8, 0..24u32);
    prop_oneof![
        6 => (place(), 0..HOMES, (number, value.clone(), value), transport, any::<bool>()).prop_map(
            move |((pool, id), home, (number, value, degradation), transport, strict)| Step::Store {
                pool, id, home, transport, strict,
                policy: policy(number.unwrap_or(policies[usize::from(pool)]), value, degradation),
            }
        ),
        1 => place().prop_map(|(pool, id)| Step::Remove { pool, id }),
        1 => (place(), 0..HOMES).prop_map(|((pool, id), home)| Step::SetHome { pool, id, home }),
        1 => (place(), any::<bool>()).prop_map(|((pool, id), suspect)| Step::Suspect { pool, id, suspect }),
        6 => (0..2u8, proptest::option::of(0..30usize)).prop_map(|(pool, count)| Step::Select { pool, count }),
    ]
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    [0..POLICIES, 0..POLICIES].prop_flat_map(|policies| proptest::collection::vec(step(policies), 1..250))
}

fn handle(pool: u8) -> PoolHandle {
    PoolHandle::from(if pool == 0 { "EchoPool" } else { "ftp" })
}

fn take(
    step: Step,
    space: &mut Handlespace,
    naive: &mut Naive,
    rng: &mut ChaCha8Rng,
) -> Result<(), TestCaseError> {
    match step {
        Step::Store { pool, id, home, policy, transport, strict } => {
            let mut new = element(id, policy);
            new.home = RegistrarId(home);
            match (&mut new.user_transport, transport) {
                (Transport::Sctp(sctp), 1) => sctp.transport_use = TransportUse::DATA_AND_CONTROL,
                (other, 2) => {
                    *other = Transport::Tcp(TcpTransport { port: 80, address: "10.0.0.1".parse().unwrap() });
                }
                _ => {}
            }
            let handle = handle(pool);
            let known = space.get(&handle, new.id).is_some();
            if strict && !naive.fits(&handle, &new) {
                prop_assert!(space.register(&handle, new).is_err());
            } else if strict {
                prop_assert_eq!(space.register(&handle, new.clone()), Ok::<_, RegisterError>(known));
                naive.store(&handle, new);
            } else {
                prop_assert_eq!(space.replicate(&handle, new.clone()), known);
                naive.store(&handle, new);
            }
        }
        Step::Remove { pool, id } => {
            let known = space.get(&handle(pool), PeIdentifier(id)).cloned();
            prop_assert_eq!(space.remove(&handle(pool), PeIdentifier(id)), known);
            naive.remove(&handle(pool), PeIdentifier(id));
        }
        Step::SetHome { pool, id, home } => {
            space.set_home(&handle(pool), PeIdentifier(id), RegistrarId(home));
            naive.set_home(&handle(pool), PeIdentifier(id), RegistrarId(home));
        }
        Step::Suspect { pool, id, suspect } => {
            space.set_suspect(&handle(pool), PeIdentifier(id), suspect);
            naive.set_suspect(&handle(pool), PeIdentifier(id), suspect);
        }
        Step::Select { pool, count } => select(&handle(pool), count, space, naive, rng)?,
    }
    agree(space, naive)
}

fn select(
    handle: &PoolHandle,
    count: Option<usize>,
    space: &mut Handlespace,
    naive: &mut Naive,
    rng: &mut ChaCha8Rng,
) -> Result<(), TestCaseError> {
    let peeked: Vec<_> = space.peek(handle).map(|element| element.id).collect();
    let chosen: Vec<_> = space.select(handle, count, rng).iter().map(|element| element.id).collect();
    let Some(pool) = naive.pools.get_mut(handle) else {
        prop_assert!(chosen.is_empty());
        return Ok(());
    };
    let short = matches!(
        pool.policy,
        Policy::WeightedRoundRobin { .. }
            | Policy::WeightedRandom { .. }
            | Policy::RandomizedLeastUsed { .. }
    );
    let mut left = count.unwrap_or(if short { 3 } else { 128 });
    if !short && !matches!(pool.policy, Policy::Random) {
        prop_assert_eq!(&chosen[..], &peeked[..left.min(peeked.len())], "peek foretells");
        prop_assert_eq!(chosen, pool.select(left, rng));
        return Ok(());
    }
    // Which ones is a matter of chance or of the schedule: group by group, each once.
    let mut rest = &chosen[..];
    for group in pool.groups() {
        let ids: BTreeSet<_> = group.iter().map(|&index| pool.list[index].element.id).collect();
        let part = rest.split_off(..left.min(ids.len())).unwrap_or_default();
        let distinct: BTreeSet<_> = part.iter().copied().collect();
        prop_assert_eq!(distinct.len(), left.min(ids.len()), "listed twice or missing: {:?}", part);
        prop_assert!(distinct.is_subset(&ids), "{:?} are not all of {:?}", distinct, ids);
        left -= distinct.len();
    }
    prop_assert!(rest.is_empty());
    Ok(())
}

fn agree(space: &Handlespace, naive: &Naive) -> Result<(), TestCaseError> {
    let all = naive.elements();
    prop_assert_eq!(space.element_count(), all.len());
    prop_assert_eq!(space.pool_count(), naive.pools.len());
    let bytes = all.iter().map(|(handle, element)| handle.encoded_length() + element.encoded_length());
    prop_assert_eq!(space.bytes(), bytes.sum::<usize>());
    let stored: Vec<_> =
        space.pools().flat_map(|pool| pool.elements().map(move |e| (pool.handle(), e))).collect();
    prop_assert_eq!(&stored, &all);
    // Pages of three, each behind the last of the one before.
    let (mut paged, mut cursor) = (Vec::new(), None);
    loop {
        let page: Vec<_> = space.elements_after(cursor).take(3).collect();
        let Some(&(handle, last)) = page.last() else { break };
        cursor = Some((handle, last.id));
        paged.extend(page);
    }
    prop_assert_eq!(&paged, &all);
    for home in (0..HOMES).map(RegistrarId) {
        let owned: Vec<_> = all.iter().copied().filter(|(_, element)| element.home == home).collect();
        prop_assert_eq!(space.owned_by(home).collect::<Vec<_>>(), &owned[..]);
        prop_assert_eq!(space.owned_count(home), owned.len());
        prop_assert_eq!(space.checksum(home), naive.checksum(home));
        if let Some(&(handle, element)) = owned.get(owned.len() / 2) {
            let behind: Vec<_> = space.owned_after(home, Some((handle, element.id))).collect();
            prop_assert_eq!(behind, &owned[owned.len() / 2 + 1..]);
        }
    }
    for (handle, pool) in &naive.pools {
        for entry in &pool.list {
            let state = space.state(handle, entry.element.id);
            prop_assert_eq!(state.map(|state| state.suspect), Some(entry.suspect));
            prop_assert_eq!(state.map(|state| state.contradicts), Some(pool.contradicts(&entry.element)));
            if matches!(pool.policy, Policy::LeastUsedDegradation { .. }) {
                prop_assert_eq!(state.map(|state| u64::from(state.selections)), Some(entry.counter));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    // ENRP-3.6.2-01, ENRP-3.6.2-05, ENRP-3.6.2-07, ENRP-3.6.2-10, POL-4.1-07, POL-5.1-05, POL-5.2-06, POL-5.3-05
    // POL-5.3-03
    #[test]
    fn agrees_with_the_naive_model(steps in history(), seed: u64) {
        let (mut space, mut naive) = (Handlespace::new(), Naive::default());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for step in steps {
            take(step, &mut space, &mut naive, &mut rng)?;
        }
        // And back to nothing: no sum, no index entry is left behind.
        let ids: Vec<_> = space.elements_after(None).map(|(handle, element)| (handle.clone(), element.id)).collect();
        for (handle, id) in ids {
            space.remove(&handle, id);
        }
        prop_assert_eq!((space.element_count(), space.pool_count(), space.homes().count()), (0, 0, 0));
        prop_assert_eq!((space.checksum(RegistrarId(0)), space.bytes()), (0xffff, 0));
    }
}
