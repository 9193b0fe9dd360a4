//! A simulated datagram network in virtual time.
