//! The RSerPool handlespace: pools, pool elements, selection (RFC 5356) and checksums (RFC 5353 §3.6.2).
//!
//! [`Handlespace`] is what a registrar knows: every pool with its elements, which registrar is home to which
//! element, and in which order a handle resolution lists them. [`CachedPool`] is what a pool user keeps of one
//! answer: it chooses one element at a time. Both are plain data structures without a clock; randomness is
//! passed in. All orders are deterministic.
//!
//! With n elements in a pool, registering, updating and removing one costs O(log n), selecting k of them
//! O(k log n), for every policy; reading a checksum is a look-up.

mod cached_pool;
mod checksum;
mod entry;
mod handlespace;
mod homes;
mod policy;
mod pool;
mod roster;
mod select;
mod slab;
mod stored;

pub use cached_pool::CachedPool;
pub use handlespace::{ElementState, Handlespace, PoolView};
pub use homes::Cursor;
pub use policy::ANSWER_LIMIT;
pub use pool::{RegisterError, TransportKind};
