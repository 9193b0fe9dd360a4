//! The registrar machine.
