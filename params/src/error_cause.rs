//! Operation errors and their causes (RFC 5354 §3.12).

use bytes::Bytes;

/// The code of an error cause (RFC 5354 §3.12, table 2; rsplib's in its own range). Unknown codes survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CauseCode(pub u16);

/// One cause of an operation error: a code with the information that the code defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorCause {
    /// What went wrong.
    pub code: CauseCode,
    /// Cause specific information, mostly the offending TLV.
    pub information: Bytes,
}

/// The Operation Error parameter: one or more causes (RFC 5354 §3.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationError {
    /// In the order of the wire.
    pub causes: Vec<ErrorCause>,
}
