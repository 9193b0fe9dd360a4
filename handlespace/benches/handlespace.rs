//! What the operations of the handlespace cost at 10³ to 10⁶ elements of one pool, in nanoseconds, and how much is
//! gained over the naive model. `cargo bench -p rserpool-handlespace [-- FILTER]`, where FILTER is a part of
//! "operation policy".
//!
//! Identifiers are random and visited in random order, so that caches help as little as they would in operation.
//! Each figure is the lower quartile of many short batches: other processes slow down the longer half.
//!
//! The line "dependent access" is what memory alone costs: one read at random, whose address is known only when the
//! one before it has arrived, in as much memory as that many elements take. An update cannot be faster than two of
//! them, one in the table of identifiers and one of the element itself.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Measuring needs the clock.

#[path = "../tests/naive/mod.rs"]
mod naive;

use naive::{Naive, POLICIES, element, policy};
use params::{PeIdentifier, PoolElement, PoolHandle, RegistrarId};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rserpool_handlespace::Handlespace;
use std::hint::black_box;
use std::time::{Duration, Instant};

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const POLICY_NAMES: [&str; POLICIES as usize] =
    ["RR", "WRR", "RAND", "WRAND", "PRIO", "LU", "LUD", "PLU", "RLU"];
const OPERATIONS: [&str; 7] =
    ["insert", "update", "remove", "select(1)", "select(3)", "select(all)", "checksum"];
/// Operations in a batch, and batches.
const BATCH: usize = 100;
const BATCHES: usize = 61;

struct Bench {
    space: Handlespace,
    pool: PoolHandle,
    policy: u32,
    /// The identifiers of all elements, in the order in which they are visited.
    ids: Vec<u32>,
    next: usize,
    rng: ChaCha8Rng,
}

impl Bench {
    fn new(size: usize, policy: u32) -> Self {
        let mut bench = Self {
            space: Handlespace::new(),
            pool: PoolHandle::from("EchoPool"),
            policy,
            ids: Vec::new(),
            next: 0,
            rng: ChaCha8Rng::seed_from_u64(size as u64),
        };
        while bench.space.element_count() < size {
            let element = bench.element();
            bench.ids.push(element.id.0);
            if bench.space.register(&bench.pool, element).unwrap() {
                bench.ids.pop();
            }
        }
        bench.ids.shuffle(&mut bench.rng);
        bench
    }

    /// One with a random identifier and random values.
    fn element(&mut self) -> PoolElement {
        element(self.rng.random(), policy(self.policy, self.rng.random_range(1..=1_000_000), 1_000))
    }

    fn next_id(&mut self) -> u32 {
        self.next = (self.next + 1) % self.ids.len();
        self.ids[self.next]
    }

    /// Nanoseconds for one of `operation`.
    fn measure(&mut self, operation: &str) -> f64 {
        let size = self.ids.len();
        let batches = if operation == "select(all)" && size > 10_000 { 3 } else { BATCHES };
        let mut batch_times: Vec<f64> = (0..batches).map(|_| self.batch(operation)).collect();
        batch_times.sort_by(f64::total_cmp);
        batch_times[batches / 4]
    }

    fn batch(&mut self, operation: &str) -> f64 {
        match operation {
            "insert" => {
                let (time, new) = self.insert_batch();
                for id in new {
                    self.space.remove(&self.pool, PeIdentifier(id));
                }
                per(BATCH, time)
            }
            "remove" => {
                let (_, new) = self.insert_batch();
                let start = Instant::now();
                for &id in &new {
                    black_box(self.space.remove(&self.pool, PeIdentifier(id)));
                }
                per(BATCH, start.elapsed())
            }
            "update" => {
                let elements: Vec<_> = (0..BATCH)
                    .map(|_| PoolElement { id: PeIdentifier(self.next_id()), ..self.element() })
                    .collect();
                let start = Instant::now();
                for element in elements {
                    black_box(self.space.register(&self.pool, element).unwrap());
                }
                per(BATCH, start.elapsed())
            }
            "select(1)" => self.select(1, BATCH),
            "select(3)" => self.select(3, BATCH),
            // By element.
            "select(all)" => self.select(self.ids.len(), 1) / self.ids.len() as f64,
            _ => {
                let home = RegistrarId(0xaabb_ccdd);
                let start = Instant::now();
                for _ in 0..BATCH {
                    black_box(self.space.checksum(black_box(home)));
                }
                per(BATCH, start.elapsed())
            }
        }
    }

    /// Inserts a batch and returns its identifiers in another order.
    fn insert_batch(&mut self) -> (Duration, Vec<u32>) {
        let elements: Vec<_> = (0..BATCH).map(|_| self.element()).collect();
        let mut ids: Vec<_> = elements.iter().map(|element| element.id.0).collect();
        ids.shuffle(&mut self.rng);
        let start = Instant::now();
        for element in elements {
            black_box(self.space.register(&self.pool, element).unwrap());
        }
        (start.elapsed(), ids)
    }

    fn select(&mut self, count: usize, times: usize) -> f64 {
        let start = Instant::now();
        for _ in 0..times {
            black_box(self.space.select(&self.pool, Some(count), &mut self.rng));
        }
        per(times, start.elapsed())
    }
}

/// What an element takes in memory, about (see the test of the memory).
const BYTES_PER_ELEMENT: usize = 400;

/// Nanoseconds of a read in the memory of `size` elements, at an address that comes from the read before.
fn dependent_access(size: usize) -> f64 {
    // A cache line each.
    let mut lines = vec![[0u64; 8]; size * BYTES_PER_ELEMENT / 64];
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
    for (index, &line) in order.iter().enumerate() {
        lines[line][0] = order[(index + 1) % order.len()] as u64;
    }
    let mut line = 0;
    let mut batch_times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..10 * BATCH {
                line = black_box(lines[line][0] as usize);
            }
            per(10 * BATCH, start.elapsed())
        })
        .collect();
    batch_times.sort_by(f64::total_cmp);
    batch_times[BATCHES / 4]
}

fn per(times: usize, time: Duration) -> f64 {
    time.as_nanos() as f64 / times as f64
}

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    let wanted = |operation: &str, policy: &str| format!("{operation} {policy}").contains(&filter);
    println!("ns per operation; select(all): per element\n");
    println!(
        "{:19} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "operation    policy", "10^3", "10^4", "10^5", "10^6", "ratio"
    );
    print_row("dependent access", SIZES.map(dependent_access));
    for (number, name) in (0..).zip(POLICY_NAMES) {
        let operations: Vec<_> = OPERATIONS
            .into_iter()
            .filter(|&operation| wanted(operation, name) && (operation != "checksum" || number == 0))
            .collect();
        let figures: Vec<Vec<f64>> = SIZES
            .iter()
            .filter(|_| !operations.is_empty())
            .map(|&size| {
                let mut bench = Bench::new(size, number);
                operations.iter().map(|operation| bench.measure(operation)).collect()
            })
            .collect();
        for (row, operation) in operations.iter().enumerate() {
            print_row(&format!("{operation:12} {name}"), [0, 1, 2, 3].map(|size| figures[size][row]));
        }
    }
    println!("\nselect(1) of the naive model at 10^5, in ns, and how many times faster this crate is\n");
    for (number, name) in (0..).zip(POLICY_NAMES).filter(|&(_, name)| wanted("naive", name)) {
        let (naive, ours) = against_the_naive_model(100_000, number);
        println!("{:12} {name:6} {naive:9.0} {ours:9.0} {:7.0}", "naive", naive / ours);
    }
}

fn print_row(label: &str, [a, b, c, d]: [f64; 4]) {
    println!("{label:19} {a:9.0} {b:9.0} {c:9.0} {d:9.0} {:7.1}", d / a);
}

fn against_the_naive_model(size: usize, number: u32) -> (f64, f64) {
    let mut bench = Bench::new(size, number);
    let mut naive = Naive::default();
    for (handle, element) in bench.space.elements_after(None) {
        let pool = naive.pools.entry(handle.clone()).or_insert_with(|| naive::NaivePool {
            policy: element.policy.clone(),
            transport: element.user_transport.clone(),
            list: Vec::new(),
        });
        pool.list.push(naive::NaiveElement {
            element: element.clone(),
            suspect: false,
            counter: 0,
            behind: 0,
        });
    }
    let pool = naive.pools.get_mut(&bench.pool).unwrap();
    let times = 5;
    let start = Instant::now();
    for _ in 0..times {
        black_box(pool.select(1, &mut bench.rng));
    }
    (per(times, start.elapsed()), bench.measure("select(1)"))
}
