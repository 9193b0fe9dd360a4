//! Reading parameters (RFC 5354 §3) with `nom`, whose types stay inside.
//!
//! Padding is read as ambiguity A-01 says: a container may count the padding of its last parameter or not.

use crate::wire::{HEADER, padded};
use crate::{Action, CauseCode, DecodeError, ParameterType, Problem};
use nom::Parser as _;
use nom::bytes::complete::take;
use nom::number::complete::{be_u16, be_u32};

/// Octets still to be read, which know where in the message they stand.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Input<'a> {
    /// Octets that start `offset` octets after the start of the message.
    pub fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    /// What is left.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Octets from the start of the message.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The next two octets, or nothing if there are not as many.
    pub fn u16(&mut self) -> Option<u16> {
        let (rest, value) = be_u16::<_, ()>(self.bytes).ok()?;
        self.advance(rest);
        Some(value)
    }

    /// The next four octets, or nothing if there are not as many.
    pub fn u32(&mut self) -> Option<u32> {
        let (rest, value) = be_u32::<_, ()>(self.bytes).ok()?;
        self.advance(rest);
        Some(value)
    }

    /// The next TLV, a parameter or an error cause, without its padding; nothing at the end.
    pub fn tlv(&mut self) -> Result<Option<Parameter<'a>>, DecodeError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let Ok((_, (kind, length))) = (be_u16::<_, ()>, be_u16).parse(self.bytes) else {
            return Err(DecodeError::new(self.offset, Problem::StrayOctets(self.bytes.len())));
        };
        let (length, available) = (usize::from(length), self.bytes.len());
        let refused = DecodeError::new(self.offset, Problem::ParameterLength { length, available });
        if length < HEADER {
            return Err(refused);
        }
        let Ok((rest, tlv)) = take::<_, _, ()>(length)(self.bytes) else { return Err(refused) };
        let parameter = Parameter { kind: ParameterType(kind), tlv, offset: self.offset };
        self.advance(rest);
        if !rest.is_empty() {
            let padding = padded(length) - length;
            let Ok((rest, _)) = take::<_, _, ()>(padding)(rest) else {
                return Err(DecodeError::new(self.offset, Problem::StrayOctets(rest.len())));
            };
            self.advance(rest);
        }
        Ok(Some(parameter))
    }

    fn advance(&mut self, rest: &'a [u8]) {
        self.offset += self.bytes.len() - rest.len();
        self.bytes = rest;
    }
}

/// One parameter as it stands in the message.
#[derive(Clone, Copy, Debug)]
pub struct Parameter<'a> {
    /// Its type.
    pub kind: ParameterType,
    /// Header and value, without padding.
    pub tlv: &'a [u8],
    /// Octets from the start of the message.
    pub offset: usize,
}

impl<'a> Parameter<'a> {
    /// What follows the header.
    pub fn value(&self) -> Input<'a> {
        Input::new(self.tlv.get(HEADER..).unwrap_or_default(), self.offset + HEADER)
    }

    /// The value of a parameter of exactly four octets.
    pub fn u32(&self) -> Result<u32, DecodeError> {
        let mut value = self.value();
        match value.u32() {
            Some(number) if value.bytes().is_empty() => Ok(number),
            _ => Err(self.invalid("length is not 8")),
        }
    }

    /// The error that this parameter, the innermost that is wrong, has a value that must not be.
    pub fn invalid(&self, why: &'static str) -> DecodeError {
        let problem = Problem::InvalidValues { parameter: self.kind, why };
        DecodeError::with_cause(self.offset, problem, CauseCode::INVALID_VALUES, self.tlv)
    }
}

/// The unknown parameters of one message that its sender wants to hear of, at any depth (ambiguity A-03).
#[derive(Debug, Default)]
pub struct Unrecognized<'a>(Vec<&'a [u8]>);

impl<'a> Unrecognized<'a> {
    /// The parameters without their padding, in the order of the message.
    pub fn parameters(&self) -> &[&'a [u8]] {
        &self.0
    }
}

/// Gives each known parameter of a container to `each` and treats the unknown ones as their action bits say.
///
/// `each` ignores what it does not expect (ambiguity A-04). A value that must not be does not end the walk, so that an
/// unknown parameter behind it can still drop the message; the first such error is returned in the end.
pub fn walk<'a>(
    mut container: Input<'a>,
    unrecognized: &mut Unrecognized<'a>,
    mut each: impl FnMut(Parameter<'a>, &mut Unrecognized<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut first_invalid = None;
    while let Some(parameter) = container.tlv()? {
        if parameter.kind.name().is_some() {
            match each(parameter, unrecognized) {
                Err(error) if error.is_invalid_values() => first_invalid = first_invalid.or(Some(error)),
                result => result?,
            }
            continue;
        }
        let problem = Problem::UnknownParameter(parameter.kind);
        match parameter.kind.action() {
            Action::Stop => return Err(DecodeError::new(parameter.offset, problem)),
            Action::StopAndReport => {
                let code = CauseCode::UNRECOGNIZED_PARAMETER;
                return Err(DecodeError::with_cause(parameter.offset, problem, code, parameter.tlv));
            }
            Action::Skip => {}
            Action::SkipAndReport => unrecognized.0.push(parameter.tlv),
        }
    }
    first_invalid.map_or(Ok(()), Err)
}

/// Keeps the value of a parameter that may stand only once.
pub fn set_once<T>(slot: &mut Option<T>, parameter: &Parameter<'_>, value: T) -> Result<(), DecodeError> {
    if slot.replace(value).is_some() {
        return Err(DecodeError::new(parameter.offset, Problem::Duplicate(parameter.kind)));
    }
    Ok(())
}

/// The value of a parameter that must be there; `container` is where it was looked for.
pub fn require<T>(slot: Option<T>, container: &Input<'_>, kind: ParameterType) -> Result<T, DecodeError> {
    slot.ok_or_else(|| DecodeError::new(container.offset(), Problem::Missing(kind)))
}
