//! Tests of the endpoint: two or more of them on a simulated network, or packets by hand.

mod addresses;
mod assumptions;
mod carriers;
mod cookies;
mod determinism;
mod ends;
mod flow;
mod handshake;
mod hostile;
mod packets;
mod paths;
mod ports;
mod scale;
mod soak;
mod support;
