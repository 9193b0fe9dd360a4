//! The Pool Element parameter (RFC 5354 §3.10).

use crate::wire::{Encoder, HEADER, Input, Parameter, Unrecognized, set_once, walk};
use crate::{
    DecodeError, EncodeError, ParameterType, PeIdentifier, Policy, Problem, RegistrarId, SctpTransport,
    Transport,
};

/// Registration Life as it stands on the wire: -1 = for ever, otherwise in the unit of the scope
/// (seconds in RFC 5354; milliseconds with rsplib, ambiguity A-08).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationLife(pub i32);

impl RegistrationLife {
    /// Never expires.
    pub const INFINITE: RegistrationLife = RegistrationLife(-1);
}

/// The Pool Element parameter: everything that is known of one pool element (RFC 5354 §3.10).
///
/// ```text
/// +-------------------------------+-------------------------------+
/// |          Type = 0xa           |            Length             |
/// +-------------------------------+-------------------------------+
/// |                         PE Identifier                         |
/// +---------------------------------------------------------------+
/// |                Home ENRP Server Identifier                    |
/// +---------------------------------------------------------------+
/// |                       Registration Life                       |
/// +---------------------------------------------------------------+
/// :                        User Transport                         :
/// +---------------------------------------------------------------+
/// :                    Member Selection Policy                    :
/// +---------------------------------------------------------------+
/// :                   ASAP Transport (optional)                   :
/// +---------------------------------------------------------------+
/// ```
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

/// Length of the fields before the nested parameters.
const FIXED: usize = 12;

impl PoolElement {
    /// Octets of the parameter with its padding.
    pub fn encoded_length(&self) -> usize {
        let asap_transport = self.asap_transport.as_ref().map_or(0, SctpTransport::encoded_length);
        self.encoded_length_for_users() + asap_transport
    }

    /// Octets of the parameter as [`encode_for_users`](Self::encode_for_users) writes it.
    pub fn encoded_length_for_users(&self) -> usize {
        HEADER + FIXED + self.user_transport.encoded_length() + self.policy.encoded_length()
    }

    /// Reads the parameter. The first transport is the User Transport, the second the ASAP Transport.
    pub fn decode<'a>(
        parameter: &Parameter<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let mut value = parameter.value();
        let (id, home, life) = fixed_fields(&mut value).ok_or_else(|| parameter.invalid("too short"))?;
        let mut user_transport = None;
        let mut asap_transport = None;
        let mut policy = None;
        walk(value, unrecognized, |inner, unrecognized| {
            if inner.kind == ParameterType::POLICY {
                return set_once(&mut policy, &inner, Policy::decode(&inner)?);
            }
            let Some(transport) = Transport::decode(&inner, unrecognized)? else { return Ok(()) };
            if user_transport.is_none() {
                user_transport = Some(transport);
                return Ok(());
            }
            match transport {
                Transport::Sctp(transport) => set_once(&mut asap_transport, &inner, transport),
                _ if asap_transport.is_some() => {
                    Err(DecodeError::new(inner.offset, Problem::Duplicate(inner.kind)))
                }
                _ => Err(parameter.invalid("ASAP Transport is not SCTP")),
            }
        })?;
        Ok(Self {
            id: PeIdentifier(id),
            home: RegistrarId(home),
            life: RegistrationLife(life.cast_signed()),
            user_transport: user_transport.ok_or_else(|| parameter.invalid("no User Transport"))?,
            policy: policy.ok_or_else(|| parameter.invalid("no Member Selection Policy"))?,
            asap_transport,
        })
    }

    /// Writes the parameter.
    pub fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        self.encode_with(self.asap_transport.as_ref(), encoder)
    }

    /// Writes the parameter as pool users get it: without the ASAP Transport (ambiguity A-10).
    pub fn encode_for_users(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        self.encode_with(None, encoder)
    }

    fn encode_with(
        &self,
        asap_transport: Option<&SctpTransport>,
        encoder: &mut Encoder,
    ) -> Result<(), EncodeError> {
        encoder.parameter(ParameterType::POOL_ELEMENT, |encoder| {
            encoder.u32(self.id.0);
            encoder.u32(self.home.0);
            encoder.u32(self.life.0.cast_unsigned());
            self.user_transport.encode(encoder)?;
            self.policy.encode(encoder)?;
            asap_transport.map_or(Ok(()), |transport| transport.encode(encoder))
        })
    }
}

fn fixed_fields(value: &mut Input<'_>) -> Option<(u32, u32, u32)> {
    Some((value.u32()?, value.u32()?, value.u32()?))
}
