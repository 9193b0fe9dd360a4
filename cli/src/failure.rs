//! Why a command failed, by its exit code.

use std::process::ExitCode;

/// A failure; its text says what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was asked for does not exist: 1.
    #[error("{0}")]
    NotFound(String),
    /// The user asked for something that makes no sense: 2.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers: 3.
    #[error("{0}")]
    Unreachable(String),
    /// Anything else: 1.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::NotFound(_) | Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        })
    }
}
