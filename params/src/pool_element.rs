//! The Pool Element parameter (RFC 5354 §3.10).

use crate::{PeIdentifier, Policy, RegistrarId, SctpTransport, Transport};

/// Registration Life as it stands on the wire: -1 = for ever, otherwise in the unit of the scope
/// (seconds in RFC 5354; milliseconds with rsplib, ambiguity A-08).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationLife(pub i32);

impl RegistrationLife {
    /// Never expires.
    pub const INFINITE: RegistrationLife = RegistrationLife(-1);
}

/// The Pool Element parameter: everything that is known of one pool element (RFC 5354 §3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolElement {
    /// Who it is within its pool.
    pub id: PeIdentifier,
    /// Its home registrar; [`RegistrarId::NONE`] while unknown.
    pub home: RegistrarId,
    /// How long the registration lives without being renewed.
    pub life: RegistrationLife,
    /// Where its service is.
    pub user_transport: Transport,
    /// The policy with this element's values.
    pub policy: Policy,
    /// Where its ASAP endpoint is; filled in by the home registrar (ambiguity A-10).
    pub asap_transport: Option<SctpTransport>,
}
