//! What an element costs in memory: at most 512 bytes as the allocator counts them, in pools of 100 and more, with
//! one address for its service and one for its ASAP endpoint. `--nocapture` prints the table.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod naive;

use naive::{POLICIES, element, policy};
use params::PoolHandle;
use rserpool_handlespace::Handlespace;

const ELEMENTS: u32 = 20_000;

/// Bytes per element in pools of this size.
fn bytes_per_element(pool_size: u32, number: u32) -> i64 {
    let mut space = None;
    let allocations = allocation_counter::measure(|| {
        let filled = space.insert(Handlespace::new());
        for n in 0..ELEMENTS {
            let handle = PoolHandle::from(format!("pool{:08}", n / pool_size).as_str());
            // Identifiers in no order, as elements choose them.
            let id = n.wrapping_mul(0x9e37_79b1);
            filled.register(&handle, element(id, policy(number, n % 1000 + 1, 1))).unwrap();
        }
    });
    assert_eq!(space.unwrap().element_count(), ELEMENTS as usize);
    allocations.bytes_current / i64::from(ELEMENTS)
}

#[test]
fn an_element_costs_at_most_512_bytes() {
    println!("bytes per element in pools of         1     100   20000");
    for number in 0..POLICIES {
        let [one, hundred, all] = [1, 100, ELEMENTS].map(|pool_size| bytes_per_element(pool_size, number));
        println!("{one:34} {hundred:7} {all:7}  {:?}", policy(number, 0, 0));
        assert!(hundred <= 512 && all <= 512, "{:?}: {hundred}, {all}", policy(number, 0, 0));
    }
}
