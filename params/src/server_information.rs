//! The Server Information parameter (RFC 5354 §3.11).

use crate::{RegistrarId, SctpTransport};

/// Who a registrar is and where its ENRP endpoint is (RFC 5354 §3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInformation {
    /// Its identifier.
    pub id: RegistrarId,
    /// Its ENRP endpoint. Transport use is sent as 0 and ignored (ambiguity A-11).
    pub transport: SctpTransport,
}
