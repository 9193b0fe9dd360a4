//! The ASAP endpoint machine.
