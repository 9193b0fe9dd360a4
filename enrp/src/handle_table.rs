//! ENRP_HANDLE_TABLE_REQUEST and its response (RFC 5353 §2.2, §2.3), and how a large table is cut into responses.

use crate::message::PREFIX;
use params::message::MAX_MESSAGE_LENGTH;
use params::wire::{Encoder, Input, Unrecognized, walk};
use params::{DecodeError, EncodeError, ParameterType, PoolElement, PoolHandle, Problem};

/// ENRP_HANDLE_TABLE_REQUEST: give me (the next part of) the handlespace (RFC 5353 §2.2).
///
/// ```text
/// +---------------+-------------+-+-------------------------------+
/// |  Type = 0x02  |      0      |W|     Message Length = 0xC      |
/// +---------------+-------------+-+-------------------------------+
/// |                     Sending Server's ID                       |
/// +---------------------------------------------------------------+
/// |                    Receiving Server's ID                      |
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleTableRequest {
    /// W: only the elements that the receiver owns.
    pub own_children_only: bool,
}

/// W: own children only.
const W: u8 = 0x01;

impl HandleTableRequest {
    pub(crate) fn flags(&self) -> u8 {
        if self.own_children_only { W } else { 0 }
    }

    pub(crate) fn encoded_length(&self) -> usize {
        0
    }

    pub(crate) fn decode<'a>(
        flags: u8,
        body: Input<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        walk(body, unrecognized, |_, _| Ok(()))?;
        Ok(Self { own_children_only: flags & W != 0 })
    }

    pub(crate) fn encode(&self, _encoder: &mut Encoder) -> Result<(), EncodeError> {
        Ok(())
    }
}

/// One pool of a [`HandleTableResponse`], or a part of it (ambiguity A-71).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolEntry {
    /// The pool.
    pub handle: PoolHandle,
    /// At least one.
    pub elements: Vec<PoolElement>,
}

/// ENRP_HANDLE_TABLE_RESPONSE: a part of the handlespace (RFC 5353 §2.3).
///
/// ```text
/// +---------------+-----------+-+-+-------------------------------+
/// |  Type = 0x03  |     0     |M|R|        Message Length         |
/// +---------------+-----------+-+-+-------------------------------+
/// |                     Sending Server's ID                       |
/// +---------------------------------------------------------------+
/// |                    Receiving Server's ID                      |
/// +---------------------------------------------------------------+
/// :  pool entries: a Pool Handle with one or more Pool Elements   :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleTableResponse {
    /// R: the request is refused; there are no entries.
    pub rejected: bool,
    /// M: another request gives more.
    pub more: bool,
    /// The pools. One pool may stand several times, also in several responses.
    pub entries: Vec<PoolEntry>,
}

/// R: rejected.
const R: u8 = 0x01;
/// M: more to send.
const M: u8 = 0x02;

impl HandleTableResponse {
    /// Cuts a table into responses of at most `limit` octets, which must be sent in this order; the last one has M=0.
    /// An empty table is one response without entries (ambiguity A-21).
    pub fn split(entries: Vec<PoolEntry>, limit: usize) -> Vec<Self> {
        let mut responses = Vec::new();
        let mut page = TablePage::new(limit);
        for PoolEntry { handle, elements } in entries {
            for element in elements {
                if !page.has_room(&handle, &element) {
                    responses.push(std::mem::replace(&mut page, TablePage::new(limit)).finish(true));
                }
                page.push(&handle, element);
            }
        }
        responses.push(page.finish(false));
        responses
    }

    pub(crate) fn flags(&self) -> u8 {
        (if self.rejected { R } else { 0 }) | (if self.more { M } else { 0 })
    }

    pub(crate) fn encoded_length(&self) -> usize {
        let elements =
            |entry: &PoolEntry| entry.elements.iter().map(PoolElement::encoded_length).sum::<usize>();
        self.entries.iter().map(|entry| entry.handle.encoded_length() + elements(entry)).sum()
    }

    pub(crate) fn decode<'a>(
        flags: u8,
        body: Input<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let mut entries: Vec<PoolEntry> = Vec::new();
        walk(body, unrecognized, |parameter, unrecognized| {
            match parameter.kind {
                ParameterType::POOL_HANDLE => {
                    let handle = PoolHandle::decode(&parameter);
                    entries.push(PoolEntry { handle, elements: Vec::new() });
                }
                ParameterType::POOL_ELEMENT => {
                    let Some(entry) = entries.last_mut() else {
                        let missing = Problem::Missing(ParameterType::POOL_HANDLE);
                        return Err(DecodeError::new(parameter.offset, missing));
                    };
                    entry.elements.push(PoolElement::decode(&parameter, unrecognized)?);
                }
                _ => {}
            }
            Ok(())
        })?;
        let rejected = flags & R != 0;
        entries.retain(|entry| !rejected && !entry.elements.is_empty());
        Ok(Self { rejected, more: flags & M != 0, entries })
    }

    pub(crate) fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        if self.rejected && !self.entries.is_empty() {
            return Err(EncodeError::Forbidden("a rejecting response has no pool entries"));
        }
        for entry in &self.entries {
            if entry.elements.is_empty() {
                return Err(EncodeError::Forbidden("a pool entry needs a Pool Element"));
            }
            entry.handle.encode(encoder)?;
            for element in &entry.elements {
                element.encode(encoder)?;
            }
        }
        Ok(())
    }
}

/// A response that is filled element by element up to a size.
#[derive(Debug)]
pub struct TablePage {
    entries: Vec<PoolEntry>,
    length: usize,
    limit: usize,
}

impl TablePage {
    /// An empty response that may grow to `limit` octets.
    pub fn new(limit: usize) -> Self {
        Self { entries: Vec::new(), length: PREFIX, limit: limit.min(MAX_MESSAGE_LENGTH) }
    }

    /// Whether an element still fits. The first one always does, so that a limit that is too small stops nothing.
    pub fn has_room(&self, handle: &PoolHandle, element: &PoolElement) -> bool {
        self.entries.is_empty() || self.length + self.added_length(handle, element) <= self.limit
    }

    /// Appends an element.
    pub fn push(&mut self, handle: &PoolHandle, element: PoolElement) {
        self.length += self.added_length(handle, &element);
        match self.entries.last_mut() {
            Some(entry) if entry.handle == *handle => entry.elements.push(element),
            _ => self.entries.push(PoolEntry { handle: handle.clone(), elements: vec![element] }),
        }
    }

    /// The response; `more` says that others follow.
    pub fn finish(self, more: bool) -> HandleTableResponse {
        HandleTableResponse { rejected: false, more, entries: self.entries }
    }

    fn added_length(&self, handle: &PoolHandle, element: &PoolElement) -> usize {
        let same_pool = self.entries.last().is_some_and(|entry| entry.handle == *handle);
        element.encoded_length() + if same_pool { 0 } else { handle.encoded_length() }
    }
}
