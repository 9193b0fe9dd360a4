//! The RSerPool registrar.
pub mod admin;
pub mod config;
pub use config::Config;
