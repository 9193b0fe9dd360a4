//! Tests of the endpoint: two or more of them on a simulated network.

mod handshake;
mod support;
