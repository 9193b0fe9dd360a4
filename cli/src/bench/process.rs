//! What a process has used, from `/proc`.

use anyhow::{Context, anyhow};
use std::fs;
use std::time::Duration;

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// On a CPU, all threads, in user and kernel mode.
    pub(super) cpu: Duration,
    /// Resident and its own, in bytes: not the pages of files, such as its code.
    pub(super) memory: u64,
}

impl Usage {
    /// Of the process `pid` on this machine.
    pub(super) fn of(pid: u32) -> anyhow::Result<Self> {
        Self::read(pid).with_context(|| format!("cannot measure process {pid}"))
    }

    fn read(pid: u32) -> anyhow::Result<Self> {
        let mut cpu = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread that ends meanwhile takes its time with it; those of a registrar do not end.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            cpu += on_cpu(&text)
                .ok_or_else(|| anyhow!("the scheduler's statistics are unreadable: {text:?}"))?;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let memory = own_memory(&status).ok_or_else(|| anyhow!("its status has no RssAnon"))?;
        Ok(Self { cpu, memory })
    }
}

/// The first number is nanoseconds on a CPU.
fn on_cpu(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn own_memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.cpu > Duration::ZERO && usage.memory > 4096, "{usage:?}");
    }

    #[test]
    fn a_process_that_does_not_exist_is_named() {
        let error = Usage::of(u32::MAX).unwrap_err();
        assert_eq!(error.to_string(), "cannot measure process 4294967295");
    }

    #[test]
    fn the_kernels_formats_are_read() {
        assert_eq!(on_cpu("123456 789 10\n"), Some(Duration::from_nanos(123_456)));
        assert_eq!(on_cpu(""), None);
        assert_eq!(own_memory("Name:\tx\nRssAnon:\t    1024 kB\n"), Some(1 << 20));
        assert_eq!(own_memory("Name:\tx\n"), None);
    }
}
