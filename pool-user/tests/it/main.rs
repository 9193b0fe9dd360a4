//! Servers, clients and registrars in one process, over real sockets on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod api;
mod business_card;
mod cancel;
mod cookies;
mod dns;
mod drain;
mod elements;
mod encap;
mod exactly_once;
mod failover;
mod flow_control;
mod multicast;
mod registrars;
mod replay;
mod requests;
mod resolution;
mod service;
mod split;
mod support;
