//! One pool: its attributes, its elements by identifier, its schedules.

use crate::checksum::handle_words;
use crate::entry::{Entries, Entry, Place, Rank};
use crate::policy::{self, same_type};
use crate::roster::Roster;
use crate::select::{Round, Schedule};
use crate::slab::Slot;
use crate::stored;
use params::{
    CauseCode, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrarId, Transport, TransportUse,
};
use rand::Rng;

/// Why an element may not join a pool (RFC 5352 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Its policy is not the pool's.
    #[error("the pool has another member selection policy")]
    InconsistentPolicy,
    /// Its transport protocol is not the pool's.
    #[error("the pool uses another transport protocol")]
    InconsistentTransportType,
    /// Data only in a pool with a control channel, or the reverse.
    #[error("the pool uses its transport otherwise: with or without a control channel")]
    InconsistentTransportUse,
}

impl RegisterError {
    /// What to report to the element (RFC 5354 §3.12).
    pub fn cause(self) -> CauseCode {
        CauseCode(match self {
            Self::InconsistentPolicy => 0x5,
            Self::InconsistentTransportType => 0x7,
            Self::InconsistentTransportUse => 0x8,
        })
    }
}

/// What an element has replaced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replaced {
    pub(crate) home: RegistrarId,
    pub(crate) bytes: usize,
}

/// The transport protocol of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs)]
pub enum TransportKind {
    Dccp,
    Sctp,
    Tcp,
    Udp,
    UdpLite,
    Opaque,
}

impl TransportKind {
    /// The protocol of a transport parameter.
    pub fn of(transport: &Transport) -> Self {
        match transport {
            Transport::Dccp(_) => Self::Dccp,
            Transport::Sctp(_) => Self::Sctp,
            Transport::Tcp(_) => Self::Tcp,
            Transport::Udp(_) => Self::Udp,
            Transport::UdpLite(_) => Self::UdpLite,
            Transport::Opaque(_) => Self::Opaque,
        }
    }
}

fn transport_use(transport: &Transport) -> TransportUse {
    match transport {
        Transport::Sctp(sctp) => sctp.transport_use,
        _ => TransportUse::DATA_ONLY,
    }
}

/// What all elements of a pool have in common; the first one decides (ambiguity A-60).
#[derive(Debug)]
pub(crate) struct Attributes {
    pub(crate) policy: Policy,
    pub(crate) transport: TransportKind,
    pub(crate) transport_use: TransportUse,
}

impl Attributes {
    fn of(element: &PoolElement) -> Self {
        Self {
            policy: element.policy.clone(),
            transport: TransportKind::of(&element.user_transport),
            transport_use: transport_use(&element.user_transport),
        }
    }

    fn check(&self, element: &PoolElement) -> Result<(), RegisterError> {
        if !same_type(&self.policy, &element.policy) {
            return Err(RegisterError::InconsistentPolicy);
        }
        if self.transport != TransportKind::of(&element.user_transport) {
            return Err(RegisterError::InconsistentTransportType);
        }
        if self.transport_use != transport_use(&element.user_transport) {
            return Err(RegisterError::InconsistentTransportUse);
        }
        Ok(())
    }

    fn rank(&self, element: &PoolElement, suspect: bool) -> Rank {
        if self.check(element).is_err() {
            return if suspect { Rank::SuspectContradicting } else { Rank::Contradicting };
        }
        match (policy::weight(&element.policy, 0) == 0, suspect) {
            (false, false) => Rank::Regular,
            (false, true) => Rank::Suspect,
            (true, false) => Rank::Drained,
            (true, true) => Rank::SuspectDrained,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) attributes: Attributes,
    /// The handle's part of each element's checksum block.
    pub(crate) handle_words: u64,
    pub(crate) roster: Roster,
    /// Ascending by rank; none is empty.
    schedules: Vec<(Rank, Schedule)>,
}

impl Pool {
    /// An empty pool that `first` decides the attributes of.
    pub(crate) fn new(handle: &PoolHandle, first: &PoolElement) -> Self {
        Self {
            attributes: Attributes::of(first),
            handle_words: handle_words(handle),
            roster: Roster::default(),
            schedules: Vec::new(),
        }
    }

    /// Whether the element has the attributes of the pool.
    pub(crate) fn check(&self, element: &PoolElement) -> Result<(), RegisterError> {
        self.attributes.check(element)
    }

    /// The same element comes again, with the same values: only its place is new. Says whether that is so.
    pub(crate) fn renew(&mut self, entries: &mut Entries, element: &PoolElement) -> bool {
        let same = |slot: &Slot| entries[*slot].element == *element;
        let Some(slot) = self.roster.get(element.id).filter(same) else { return false };
        entries[slot].selections = 0;
        self.reschedule(entries, slot);
        true
    }

    /// Adds an element, or replaces the one of the same identifier and says what that was.
    pub(crate) fn insert(&mut self, entries: &mut Entries, element: PoolElement) -> Option<Replaced> {
        if let Some(slot) = self.roster.get(element.id) {
            let entry = &mut entries[slot];
            let replaced = Replaced { home: entry.element.home, bytes: entry.element.encoded_length() };
            stored::replace(&mut entry.element, element);
            entry.selections = 0;
            self.reschedule(entries, slot);
            return Some(replaced);
        }
        let id = element.id;
        let rank = self.attributes.rank(&element, false);
        let element = stored::compact(element);
        let slot = entries.insert(Entry { element, suspect: false, selections: 0, rank, place: Place::None });
        self.roster.insert(id, slot);
        self.schedule_mut(rank).insert(entries, slot);
        None
    }

    pub(crate) fn remove(&mut self, entries: &mut Entries, id: PeIdentifier) -> Option<PoolElement> {
        let slot = self.roster.remove(id)?;
        self.unschedule(entries, slot);
        Some(entries.remove(slot).element)
    }

    pub(crate) fn set_suspect(&mut self, entries: &mut Entries, id: PeIdentifier, suspect: bool) -> bool {
        let Some(slot) = self.roster.get(id) else { return false };
        entries[slot].suspect = suspect;
        self.reschedule(entries, slot);
        true
    }

    /// Chooses up to `count` elements as the policy demands, and counts them as selected.
    pub(crate) fn select(
        &mut self,
        entries: &mut Entries,
        count: usize,
        max_increment: usize,
        rng: &mut (impl Rng + ?Sized),
    ) -> Vec<Slot> {
        let round = Round { degrades: policy::degrades(&self.attributes.policy), max_increment };
        let mut chosen = Vec::with_capacity(count.min(self.roster.len()));
        let listed = self.listed();
        for (_, schedule) in &mut self.schedules[..listed] {
            schedule.select(entries, count - chosen.len(), round, rng, &mut chosen);
        }
        chosen
    }

    /// The elements in the order of the schedules, without counting them as selected.
    pub(crate) fn peek(&self) -> impl Iterator<Item = Slot> {
        self.schedules[..self.listed()].iter().flat_map(|(_, schedule)| schedule.iter())
    }

    /// How many of the schedules take part: all, or those before the drained elements if there are any.
    fn listed(&self) -> usize {
        match self.schedules.partition_point(|(rank, _)| !rank.is_drained()) {
            0 => self.schedules.len(),
            able => able,
        }
    }

    pub(crate) fn default_count(&self) -> usize {
        policy::default_count(&self.attributes.policy)
    }

    /// After any change of an element: moves it to where it belongs now. It keeps its turn if that is where it is.
    fn reschedule(&mut self, entries: &mut Entries, slot: Slot) {
        let entry = &entries[slot];
        let rank = self.attributes.rank(&entry.element, entry.suspect);
        if rank == entry.rank {
            self.schedule_mut(rank).update(entries, slot);
            return;
        }
        self.unschedule(entries, slot);
        entries[slot].rank = rank;
        self.schedule_mut(rank).insert(entries, slot);
    }

    fn unschedule(&mut self, entries: &mut Entries, slot: Slot) {
        let rank = entries[slot].rank;
        let Ok(index) = self.schedules.binary_search_by_key(&rank, |(rank, _)| *rank) else { return };
        let (_, schedule) = &mut self.schedules[index];
        schedule.remove(entries, slot);
        if schedule.is_empty() {
            self.schedules.remove(index);
        }
    }

    fn schedule_mut(&mut self, rank: Rank) -> &mut Schedule {
        let index = match self.schedules.binary_search_by_key(&rank, |(rank, _)| *rank) {
            Ok(index) => index,
            Err(index) => {
                // Most pools never have a second group.
                self.schedules.reserve_exact(1);
                self.schedules.insert(index, (rank, Schedule::new(&self.attributes.policy)));
                index
            }
        };
        &mut self.schedules[index].1
    }
}
