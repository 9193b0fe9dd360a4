//! Operation errors and their causes (RFC 5354 §3.12).

use crate::transport::encode_address;
use crate::wire::{Encoder, HEADER, Input, Parameter, padded};
use crate::{DecodeError, EncodeError, ParameterType, Policy, PolicyType, Problem, Transport};
use bytes::Bytes;
use std::fmt;
use std::net::IpAddr;

/// The code of an error cause (RFC 5354 §3.12, table 2; rsplib's in its own range). Unknown codes survive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CauseCode(pub u16);

macro_rules! cause_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        impl CauseCode {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Its name in lower case with underscores, if it is known.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}
cause_codes! {
    /// Unspecified Error (§3.12.1).
    UNSPECIFIED = 0x0, "unspecified";
    /// Unrecognized Parameter (§3.12.2): the parameter.
    UNRECOGNIZED_PARAMETER = 0x1, "unrecognized_parameter";
    /// Unrecognized Message (§3.12.3): the message.
    UNRECOGNIZED_MESSAGE = 0x2, "unrecognized_message";
    /// Invalid Values (§3.12.4): the offending parameter.
    INVALID_VALUES = 0x3, "invalid_values";
    /// Non-unique PE Identifier (§3.12.5).
    NON_UNIQUE_PE_IDENTIFIER = 0x4, "non_unique_pe_id";
    /// Inconsistent Pooling Policy (§3.12.6): the policy of the pool.
    INCONSISTENT_POLICY = 0x5, "inconsistent_policy";
    /// Lack of Resources (§3.12.7).
    LACK_OF_RESOURCES = 0x6, "lack_of_resources";
    /// Inconsistent Transport Type (§3.12.8): a transport as the pool has it.
    INCONSISTENT_TRANSPORT_TYPE = 0x7, "inconsistent_transport_type";
    /// Inconsistent Data/Control Configuration (§3.12.9).
    INCONSISTENT_DATA_CONTROL = 0x8, "inconsistent_data_control";
    /// Unknown Pool Handle (§3.12.11, ambiguity A-12).
    UNKNOWN_POOL_HANDLE = 0x9, "unknown_pool_handle";
    /// Rejected due to security considerations (§3.12.10, ambiguity A-12).
    SECURITY = 0xa, "security";
}

impl fmt::Display for CauseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(&name.replace('_', " ")),
            None => write!(f, "cause 0x{:04x}", self.0),
        }
    }
}

impl fmt::Debug for CauseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CauseCode(0x{:04x})", self.0)
    }
}

/// One cause of an operation error: a code with the information that the code defines.
///
/// ```text
/// +-------------------------------+-------------------------------+
/// |          Cause Code           |         Cause Length          |
/// +-------------------------------+-------------------------------+
/// :                  Cause-Specific Information                   :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorCause {
    /// What went wrong.
    pub code: CauseCode,
    /// Cause specific information, mostly the offending TLV.
    pub information: Bytes,
}

impl ErrorCause {
    /// Invalid Values with an address that does not belong there (§3.12.4).
    pub fn invalid_address(address: &IpAddr) -> Self {
        Self {
            code: CauseCode::INVALID_VALUES,
            information: alone(|encoder| encode_address(address, encoder)),
        }
    }

    /// Inconsistent Pooling Policy with the policy of the pool (§3.12.6).
    pub fn inconsistent_policy(pool: &Policy) -> Self {
        Self { code: CauseCode::INCONSISTENT_POLICY, information: alone(|encoder| pool.encode(encoder)) }
    }

    /// Inconsistent Transport Type with a transport as the pool has it (§3.12.8).
    pub fn inconsistent_transport_type(pool: &Transport) -> Self {
        Self {
            code: CauseCode::INCONSISTENT_TRANSPORT_TYPE,
            information: alone(|encoder| pool.encode(encoder)),
        }
    }

    /// The policy type of the pool, if the information is one (§3.12.6).
    pub fn pool_policy(&self) -> Option<PolicyType> {
        let parameter = self.parameter(ParameterType::POLICY)?;
        Some(Policy::decode(&parameter).ok()?.policy_type())
    }

    /// The parameter type of the pool's transport, if the information is one (§3.12.8).
    pub fn pool_transport(&self) -> Option<ParameterType> {
        Some(Input::new(&self.information, 0).tlv().ok()??.kind)
    }

    fn parameter(&self, kind: ParameterType) -> Option<Parameter<'_>> {
        Input::new(&self.information, 0).tlv().ok()?.filter(|parameter| parameter.kind == kind)
    }
}

/// The octets of a parameter; none if it cannot be sent, for a cause tells more than silence.
fn alone(write: impl FnOnce(&mut Encoder) -> Result<(), EncodeError>) -> Bytes {
    Encoder::alone(write).unwrap_or_default()
}

impl From<CauseCode> for ErrorCause {
    /// A cause without information.
    fn from(code: CauseCode) -> Self {
        Self { code, information: Bytes::new() }
    }
}

impl fmt::Display for ErrorCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)
    }
}

/// The Operation Error parameter: one or more causes (RFC 5354 §3.12).
///
/// ```text
/// +-------------------------------+-------------------------------+
/// |          Type = 0xc           |            Length             |
/// +-------------------------------+-------------------------------+
/// :                   one or more error causes                    :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationError {
    /// In the order of the wire.
    pub causes: Vec<ErrorCause>,
}

impl From<ErrorCause> for OperationError {
    fn from(cause: ErrorCause) -> Self {
        Self { causes: vec![cause] }
    }
}

impl From<CauseCode> for OperationError {
    fn from(code: CauseCode) -> Self {
        ErrorCause::from(code).into()
    }
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, cause) in self.causes.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{cause}")?;
        }
        Ok(())
    }
}

impl OperationError {
    /// Whether one of its causes has this code.
    pub fn has(&self, code: CauseCode) -> bool {
        self.causes.iter().any(|cause| cause.code == code)
    }

    /// Octets of the parameter with its padding.
    pub fn encoded_length(&self) -> usize {
        HEADER + self.causes.iter().map(|cause| HEADER + padded(cause.information.len())).sum::<usize>()
    }

    /// Reads the parameter.
    pub fn decode(parameter: &Parameter<'_>) -> Result<Self, DecodeError> {
        let mut value = parameter.value();
        let mut causes = Vec::new();
        while let Some(cause) = value.tlv()? {
            let information = Bytes::copy_from_slice(cause.value().bytes());
            causes.push(ErrorCause { code: CauseCode(cause.kind.0), information });
        }
        if causes.is_empty() {
            return Err(DecodeError::new(parameter.offset, Problem::NoCause));
        }
        Ok(Self { causes })
    }

    /// Writes the parameter.
    pub fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        if self.causes.is_empty() {
            return Err(EncodeError::NoCause);
        }
        encoder.parameter(ParameterType::OPERATION_ERROR, |encoder| {
            for cause in &self.causes {
                encoder.tlv(cause.code.0, |encoder| {
                    encoder.bytes(&cause.information);
                    Ok(())
                })?;
            }
            Ok(())
        })
    }
}
