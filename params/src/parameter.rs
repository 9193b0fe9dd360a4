//! Parameter types and what to do with those that are unknown (RFC 5354 §3, table 1).

use std::fmt;

/// The type of a parameter. The two upper bits say what a receiver does that does not know it: [`Action`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterType(pub u16);

/// What a receiver does with a parameter it does not know (RFC 5354 §3): the upper bits of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// 00: drop the whole message, say nothing.
    Stop,
    /// 01: drop the whole message and report the parameter.
    StopAndReport,
    /// 10: skip the parameter.
    Skip,
    /// 11: skip the parameter and report it.
    SkipAndReport,
}

macro_rules! parameter_types {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        impl ParameterType {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Its name, if it is known.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}
parameter_types! {
    /// IPv4 Address (§3.1).
    IPV4_ADDRESS = 0x1, "IPv4 Address";
    /// IPv6 Address (§3.2).
    IPV6_ADDRESS = 0x2, "IPv6 Address";
    /// DCCP Transport (§3.3).
    DCCP_TRANSPORT = 0x3, "DCCP Transport";
    /// SCTP Transport (§3.4).
    SCTP_TRANSPORT = 0x4, "SCTP Transport";
    /// TCP Transport (§3.5).
    TCP_TRANSPORT = 0x5, "TCP Transport";
    /// UDP Transport (§3.6).
    UDP_TRANSPORT = 0x6, "UDP Transport";
    /// UDP-Lite Transport (§3.7).
    UDP_LITE_TRANSPORT = 0x7, "UDP-Lite Transport";
    /// Pool Member Selection Policy (§3.8).
    POLICY = 0x8, "Pool Member Selection Policy";
    /// Pool Handle (§3.9).
    POOL_HANDLE = 0x9, "Pool Handle";
    /// Pool Element (§3.10).
    POOL_ELEMENT = 0xa, "Pool Element";
    /// Server Information (§3.11).
    SERVER_INFORMATION = 0xb, "Server Information";
    /// Operation Error (§3.12).
    OPERATION_ERROR = 0xc, "Operation Error";
    /// Cookie (§3.13).
    COOKIE = 0xd, "Cookie";
    /// PE Identifier (§3.14).
    PE_IDENTIFIER = 0xe, "PE Identifier";
    /// PE Checksum (§3.15).
    PE_CHECKSUM = 0xf, "PE Checksum";
    /// Opaque Transport (§3.16).
    OPAQUE_TRANSPORT = 0x10, "Opaque Transport";
    /// Handle resolution option of rsplib, not of the RFCs: how many items are wanted (ambiguity A-49).
    ITEM_COUNT = 0x803f, "Item Count";
    /// Ours, not of the RFCs, inside Server Information: how large a handle table response may be.
    TABLE_RESPONSE_SIZE = 0x8e52, "Table Response Size";
    /// Ours, not of the RFCs, in ENRP_PRESENCE: how many elements of a pool are silent.
    SILENT_ELEMENTS = 0x8e53, "Silent Elements";
    /// Ours, not of the RFCs, inside Server Information: which start of the registrar this is.
    INCARNATION = 0x8e54, "Incarnation";
}

impl ParameterType {
    /// What its upper bits ask of those who do not know it.
    pub fn action(self) -> Action {
        match self.0 >> 14 {
            0 => Action::Stop,
            1 => Action::StopAndReport,
            2 => Action::Skip,
            _ => Action::SkipAndReport,
        }
    }
}

impl fmt::Display for ParameterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "parameter 0x{:04x}", self.0),
        }
    }
}

impl fmt::Debug for ParameterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParameterType(0x{:04x})", self.0)
    }
}
