//! A list of entries to which several processes add: a directory in which the file `7` is entry 7.
//!
//! A process writes its entry to a file of its own first, and then links that to the next number. To make a link is all or
//! nothing: a number is given once, and never to half an entry, wherever a process is killed. So no lock is needed, which a
//! dead process could hold. (Whoever fears for the power supply also calls `File::sync_all`; whoever has many entries writes
//! the values of all keys to a file now and then, and begins there.)

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// The journal, as far as this process has read it.
pub(crate) struct Journal {
    directory: PathBuf,
    /// Where an entry is written before it has a number.
    draft: PathBuf,
    /// The next entry to read.
    next: u64,
}

impl Journal {
    /// Opens a journal at its beginning. Each process that does so has a name of its own.
    pub(crate) fn open(directory: impl Into<PathBuf>, process: &str) -> io::Result<Self> {
        let directory = directory.into();
        fs::create_dir_all(&directory)?;
        Ok(Self { draft: directory.join(format!("draft-{process}")), directory, next: 1 })
    }

    /// The next entry; `None` if there is none yet.
    pub(crate) fn read(&mut self) -> io::Result<Option<String>> {
        match fs::read_to_string(self.directory.join(self.next.to_string())) {
            Ok(entry) => {
                self.next += 1;
                Ok(Some(entry))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes this the next entry; returns its number. `None` if another process was faster: there is something to read first.
    pub(crate) fn append(&mut self, entry: &str) -> io::Result<Option<u64>> {
        fs::write(&self.draft, entry)?;
        let linked = fs::hard_link(&self.draft, self.directory.join(self.next.to_string()));
        // Written to again it would change the entry that it has become.
        fs::remove_file(&self.draft)?;
        match linked {
            Ok(()) => Ok(Some(self.next)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }
}
