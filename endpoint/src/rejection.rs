//! Why a registrar refuses a registration, and what to do about it (RFC 5352 §3.1, RFC 5354 §3.12).

use params::{CauseCode, OperationError, ParameterType, PolicyType};
use std::fmt;
use std::slice;

/// One reason why a registrar refuses a registration. `Display` says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// All elements of a pool have one policy type, and this pool has another one: that, if the registrar says.
    Policy(Option<PolicyType>),
    /// All elements of a pool have one transport protocol, and this pool has another one: that, if the registrar says.
    TransportType(Option<ParameterType>),
    /// The elements of the pool have a control channel and this one has not, or the other way round.
    ControlChannel,
    /// Another element of the pool has this identifier.
    IdentifierTaken,
    /// The registrar does not take some value: mostly an address at which it does not see the element.
    InvalidValue,
    /// The registrar is full.
    NoRoom,
    /// The element may not do that: another one holds the registration, or the pool is reserved.
    NotAllowed,
    /// Something else.
    Other(CauseCode),
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(Some(theirs)) => {
                write!(f, "the pool's policy is {theirs}: register with it, or in another pool")
            }
            Self::Policy(None) => f.write_str("the pool has another policy: register with it, or in another pool"),
            Self::TransportType(theirs) => {
                f.write_str("the pool's elements use ")?;
                match theirs.and_then(ParameterType::name) {
                    Some(name) => f.write_str(name)?,
                    None => f.write_str("another transport protocol")?,
                }
                f.write_str(": register the same, or in another pool")
            }
            Self::ControlChannel => f.write_str(
                "the pool mixes servers that accept sessions of this library with others: register in another pool",
            ),
            Self::IdentifierTaken => f.write_str(
                "the identifier is taken by another element: choose another one, or none for a random one",
            ),
            Self::InvalidValue => f.write_str(
                "it does not take a value, mostly an address that it does not see the element at: \
                 register an address that this endpoint listens on",
            ),
            Self::NoRoom => f.write_str("it is full: try again later, or at another registrar"),
            Self::NotAllowed => f.write_str(
                "it belongs to somebody else: choose another identifier or pool, or wait until the former registration expires",
            ),
            Self::Other(code) => write!(f, "{code}: see the registrar's log"),
        }
    }
}

/// All reasons why a registrar refuses a registration; shown separated by semicolons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejections(Vec<Rejection>);

impl Rejections {
    /// One after the other, as the registrar has listed them.
    pub fn iter(&self) -> slice::Iter<'_, Rejection> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Rejections {
    type Item = &'a Rejection;
    type IntoIter = slice::Iter<'a, Rejection>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<OperationError> for Rejections {
    fn from(error: OperationError) -> Self {
        let reasons = error.causes.iter().map(|cause| match cause.code {
            CauseCode::INCONSISTENT_POLICY => Rejection::Policy(cause.pool_policy()),
            CauseCode::INCONSISTENT_TRANSPORT_TYPE => Rejection::TransportType(cause.pool_transport()),
            CauseCode::INCONSISTENT_DATA_CONTROL => Rejection::ControlChannel,
            CauseCode::NON_UNIQUE_PE_IDENTIFIER => Rejection::IdentifierTaken,
            CauseCode::INVALID_VALUES => Rejection::InvalidValue,
            CauseCode::LACK_OF_RESOURCES => Rejection::NoRoom,
            CauseCode::SECURITY => Rejection::NotAllowed,
            code => Rejection::Other(code),
        });
        Self(reasons.collect())
    }
}

impl fmt::Display for Rejections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("it does not say why");
        }
        for (n, reason) in self.0.iter().enumerate() {
            write!(f, "{}{reason}", if n > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_says_what_to_do() {
        for (reason, advice) in [
            (Rejection::Policy(Some(PolicyType::RANDOM)), "register with it, or in another pool"),
            (Rejection::Policy(None), "register with it, or in another pool"),
            (Rejection::TransportType(None), "register the same, or in another pool"),
            (Rejection::ControlChannel, "register in another pool"),
            (Rejection::IdentifierTaken, "choose another one, or none for a random one"),
            (Rejection::InvalidValue, "register an address that this endpoint listens on"),
            (Rejection::NoRoom, "try again later, or at another registrar"),
            (
                Rejection::NotAllowed,
                "choose another identifier or pool, or wait until the former registration expires",
            ),
            (Rejection::Other(CauseCode(0x99)), "see the registrar's log"),
        ] {
            let shown = reason.to_string();
            assert_eq!(shown.rsplit(": ").next(), Some(advice), "{shown}");
        }
    }
}
