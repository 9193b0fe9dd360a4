//! The values of the keys, as the journal tells them.

use crate::journal::Journal;
use std::collections::BTreeMap;
use std::io;

/// The store. It changes only by reading the journal, in which the updates of all servers are: so they all have the same.
pub(crate) struct Store {
    journal: Journal,
    values: BTreeMap<String, String>,
    /// The last update of each client, and its answer.
    answered: BTreeMap<u64, (u64, String)>,
}

impl Store {
    pub(crate) fn new(journal: Journal) -> Self {
        Self { journal, values: BTreeMap::new(), answered: BTreeMap::new() }
    }

    /// A number that no client has: that of an entry of the journal.
    pub(crate) fn new_client(&mut self) -> io::Result<u64> {
        loop {
            self.catch_up()?;
            if let Some(number) = self.journal.append("client")? {
                return Ok(number);
            }
        }
    }

    /// The value of a key, with all updates that any client has got the answer of.
    pub(crate) fn get(&mut self, key: &str) -> io::Result<&str> {
        self.catch_up()?;
        Ok(self.values.get(key).map_or("", String::as_str))
    }

    /// Does the update with this number of this client, unless it was done before, here or elsewhere; returns its answer.
    /// `None` if it is no update.
    pub(crate) fn update(&mut self, client: u64, number: &str, update: &str) -> io::Result<Option<String>> {
        let entry = format!("{client} {number} {update}");
        let Some(Update { number, .. }) = Update::parse(&entry) else { return Ok(None) };
        loop {
            self.catch_up()?;
            match self.answered.get(&client) {
                // A client that repeats itself has not yet seen this answer, so it has sent nothing else.
                Some((last, answer)) if *last >= number => return Ok(Some(answer.clone())),
                // Whether it is the next entry, or another process was faster, is read in the journal. So nothing is done twice
                // even if this server was frozen, its client has gone elsewhere, and it wakes up just here.
                _ => self.journal.append(&entry)?,
            };
        }
    }

    fn catch_up(&mut self) -> io::Result<()> {
        while let Some(entry) = self.journal.read()? {
            if let Some(update) = Update::parse(&entry) {
                self.apply(update);
            }
        }
        Ok(())
    }

    fn apply(&mut self, update: Update<'_>) {
        let Update { client, number, key, change } = update;
        let former = self.values.get(key).and_then(|value| value.parse().ok()).unwrap_or(0i64);
        let value = match change {
            Change::Set(value) => value.to_owned(),
            Change::Add(amount) => former.saturating_add(amount).to_string(),
        };
        self.values.insert(key.to_owned(), value.clone());
        self.answered.insert(client, (number, value));
    }
}

/// An entry of the journal that changes a value.
struct Update<'a> {
    client: u64,
    number: u64,
    key: &'a str,
    change: Change<'a>,
}

enum Change<'a> {
    Set(&'a str),
    Add(i64),
}

impl<'a> Update<'a> {
    /// `CLIENT NUMBER set KEY VALUE`, or `CLIENT NUMBER add KEY AMOUNT`.
    fn parse(entry: &'a str) -> Option<Self> {
        let mut words = entry.splitn(5, ' ');
        let (client, number) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let (verb, key, operand) = (words.next()?, words.next()?, words.next()?);
        let change = match verb {
            "set" => Change::Set(operand),
            "add" => Change::Add(operand.parse().ok()?),
            _ => return None,
        };
        Some(Self { client, number, key, change })
    }
}
