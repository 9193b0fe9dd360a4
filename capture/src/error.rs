//! Why a capture cannot be read, or not to its end.

use std::io;

/// A capture cannot be read, or not further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The first octets are those of no format that we know.
    #[error("this is neither a pcap nor a pcapng file")]
    Unknown,
    /// The file ends within a record.
    #[error("the file ends within the record after frame {0}: it was cut off")]
    Truncated(u64),
    /// A record contradicts itself.
    #[error("the record after frame {0} is malformed")]
    Malformed(u64),
    /// A record is longer than any frame.
    #[error("the record after frame {0} is longer than any frame, so it is malformed")]
    TooLong(u64),
    /// The source of the octets failed.
    #[error("cannot read: {0}")]
    Read(io::Error),
}

impl From<io::Error> for CaptureError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}
