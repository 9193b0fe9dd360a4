//! Serving and reading tables, page by page (RFC 5353 §3.2.3, ambiguities ).

use super::overload::Work;
use super::timers::Timer;
use super::{ElementKey, Registrar};
use crate::{AssocId, Time};
use enrp::{Body, HandleTableRequest, HandleTableResponse, PoolEntry};
use params::{PoolElement, PoolHandle, RegistrarId};

/// Bytes of a table response that every registrar takes, also rsplib's.
pub(super) const COMMON_TABLE_RESPONSE: usize = 1400;

/// A table that is being served: where the next page begins.
#[derive(Debug)]
pub(super) struct TableSession {
    last: ElementKey,
    expires: Time,
}

impl Registrar {
    /// HANDLE_TABLE_REQUEST: the first or the next page of the whole table, or of our own elements.
    pub(super) fn table_request_received(
        &mut self,
        now: Time,
        assoc: AssocId,
        sender: RegistrarId,
        request: HandleTableRequest,
    ) {
        self.counters.table_requests += 1;
        let key = (assoc, request.own_children_only);
        let session = self.table_sessions.remove(&key).filter(|session| session.expires > now);
        let full = self.table_sessions.len() >= self.config.limits.table_sessions;
        if !self.serves_tables() || full || self.sheds(now, Work::Table) {
            self.counters.table_requests_rejected += 1;
            let rejection = HandleTableResponse { rejected: true, more: false, entries: Vec::new() };
            return self.send_enrp(assoc, sender, Body::HandleTableResponse(rejection));
        }
        let last = session.as_ref().map(|session| (&session.last.handle, session.last.id));
        let room = self.room_for_table(sender);
        let (entries, next) = if request.own_children_only {
            page(self.handlespace.owned_after(self.id, last), room)
        } else {
            page(self.handlespace.elements_after(last), room)
        };
        let more = next.is_some();
        if let Some(last) = next {
            let expires = now + self.config.timers.max_time_no_response;
            self.table_sessions.insert(key, TableSession { last, expires });
            // Those that came before it end before it.
            if self.timers.at(&Timer::TableSession).is_none() {
                self.timers.set(Timer::TableSession, expires);
            }
        }
        let response = HandleTableResponse { rejected: false, more, entries };
        self.send_enrp(assoc, sender, Body::HandleTableResponse(response));
    }

    /// How large a page, or a list, for this peer may be: as large as it says, or what everybody takes.
    pub(super) fn room_for_table(&self, peer: RegistrarId) -> usize {
        let said = self.peers.get(&peer).and_then(|peer| peer.table_response_size);
        let taken = said.map_or(COMMON_TABLE_RESPONSE, |size| usize::try_from(size).unwrap_or(usize::MAX));
        self.config.limits.table_response_bytes.min(taken)
    }

    /// Whoever asks next over this association asks for the first page.
    pub(super) fn end_table_sessions(&mut self, assoc: AssocId) {
        self.table_sessions.remove(&(assoc, false));
        self.table_sessions.remove(&(assoc, true));
    }

    /// Drops sessions that were not continued in time.
    pub(super) fn table_session_timeout(&mut self, now: Time) {
        self.table_sessions.retain(|_, session| session.expires > now);
        if let Some(next) = self.table_sessions.values().map(|session| session.expires).min() {
            self.timers.set(Timer::TableSession, next);
        }
    }

    /// HANDLE_TABLE_RESPONSE: to our start, to a resynchronisation, or to nothing that we asked.
    pub(super) fn table_response_received(
        &mut self,
        now: Time,
        assoc: AssocId,
        sender: RegistrarId,
        response: HandleTableResponse,
    ) {
        let HandleTableResponse { rejected, more, entries } = response;
        if !rejected && more && (entries.is_empty() || self.is_endless(sender, &entries)) {
            // More to come after nothing would never end (ambiguity A-21).
            self.counters.table_responses_ignored += 1;
            return self.table_session_failed(now, sender);
        }
        if self.startup.downloads_from(sender) {
            self.transfer(now, sender, entries);
            self.startup_table_received(now, assoc, sender, rejected, more);
        } else if self.resynchronizations.contains_key(&sender) {
            self.resynchronize(now, assoc, sender, rejected, more, entries);
        } else {
            self.counters.table_responses_ignored += 1;
            if let Some(peer) = self.peers.get_mut(&sender) {
                peer.pace.interrupted(now, self.config.timers.max_time_no_response);
            }
        }
    }

    /// Whether a table has become longer than any that we could keep: the peer lists something again and again.
    fn is_endless(&mut self, sender: RegistrarId, entries: &[PoolEntry]) -> bool {
        let resynchronization = self.resynchronizations.get_mut(&sender);
        let listed = match resynchronization {
            _ if self.startup.downloads_from(sender) => &mut self.startup.listed,
            Some(resynchronization) => &mut resynchronization.listed,
            None => return false,
        };
        *listed += entries.iter().map(|entry| entry.elements.len()).sum::<usize>();
        // Elements come and go, and registrars are elements of their own pool.
        *listed > self.config.limits.elements.saturating_mul(2).saturating_add(self.config.limits.peers)
    }

    /// What a peer answers is no table: its session is over, and nothing was complete.
    fn table_session_failed(&mut self, now: Time, sender: RegistrarId) {
        if self.startup.downloads_from(sender) {
            self.mentor_lost(now, sender);
        } else {
            self.resynchronization_interrupted(now, sender);
        }
    }

    /// Stores the mentor's entries. What is known of another home came from that home itself meanwhile, and what
    /// registered here is ours. What the mentor says of others is second-hand: their last updates may not have reached
    /// it, and were not sent here, so their tables are to be loaded from themselves, too.
    fn transfer(&mut self, now: Time, mentor: RegistrarId, entries: Vec<PoolEntry>) {
        for entry in entries {
            for element in entry.elements {
                let home = element.home;
                let known = self.home(&ElementKey::new(&entry.handle, element.id));
                let nobodys = home == self.id || home == RegistrarId::NONE;
                if !nobodys && known.is_none_or(|known| known == home && home == mentor) {
                    self.store_foreign(now, &entry.handle, element);
                    if let Some(peer) = self.peers.get_mut(&home).filter(|_| home != mentor) {
                        peer.missed = true;
                    }
                }
            }
        }
    }
}

/// As many elements as fit, and the last of them if there are more.
fn page<'a>(
    elements: impl Iterator<Item = (&'a PoolHandle, &'a PoolElement)>,
    room: usize,
) -> (Vec<PoolEntry>, Option<ElementKey>) {
    /// Header, identifiers.
    const MESSAGE: usize = 12;
    /// Header of the Pool Handle, and its padding.
    const HANDLE: usize = 7;
    let mut entries: Vec<PoolEntry> = Vec::new();
    let mut last: Option<ElementKey> = None;
    let mut used = MESSAGE;
    for (handle, element) in elements {
        let same_pool = entries.last().is_some_and(|entry| entry.handle == *handle);
        used += element.encoded_length() + if same_pool { 0 } else { HANDLE + handle.as_bytes().len() };
        if used > room && last.is_some() {
            return (entries, last);
        }
        match entries.last_mut().filter(|_| same_pool) {
            Some(entry) => entry.elements.push(element.clone()),
            None => entries.push(PoolEntry { handle: handle.clone(), elements: vec![element.clone()] }),
        }
        last = Some(ElementKey::new(handle, element.id));
    }
    (entries, None)
}
