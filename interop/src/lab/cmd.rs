//! Command lines of programs, ours and others.

use std::ffi::OsStr;
use std::process::Command;

/// A program with its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Cmd {
    program: String,
    args: Vec<String>,
    environment: Vec<(&'static str, &'static str)>,
    ours: bool,
    without_proc: bool,
}

/// One of our programs: a binary of the workspace, or an example.
///
/// It runs with the loader and the libraries of the machine that built it, which may be newer than the VM's. The link
/// in /in/start gives the process its own name.
pub(crate) fn ours(program: &str) -> Cmd {
    let args =
        ["--library-path", "/in/lib"].map(str::to_owned).into_iter().chain([format!("/in/bin/{program}")]);
    Cmd { args: args.collect(), ours: true, ..theirs(&format!("/in/start/{program}")) }
}

/// A program of the image: rsplib's, or a tool.
pub(crate) fn theirs(program: &str) -> Cmd {
    Cmd {
        program: program.to_owned(),
        args: Vec::new(),
        environment: Vec::new(),
        ours: false,
        without_proc: false,
    }
}

impl Cmd {
    /// Adds one argument.
    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Cmd {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub(crate) fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Cmd {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Leaves out an argument.
    pub(crate) fn without(mut self, arg: &str) -> Cmd {
        self.args.retain(|other| other != arg);
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &'static str, value: &'static str) -> Cmd {
        self.environment.push((name, value));
        self
    }

    /// Starts it where /proc is empty: it cannot see what the kernel has.
    pub(crate) fn without_proc(mut self) -> Cmd {
        self.without_proc = true;
        self
    }

    /// Whether it speaks for us on the wire.
    pub(crate) fn is_ours(&self) -> bool {
        self.ours
    }

    /// The command to start. A C program writes its lines at once, as if to a terminal.
    pub(crate) fn command(&self) -> Command {
        let mut command = if self.without_proc {
            let mut unshare = Command::new("unshare");
            unshare
                .args(["-m", "sh", "-c", "mount -t tmpfs none /proc && exec \"$0\" \"$@\""])
                .arg(&self.program);
            unshare
        } else {
            Command::new(&self.program)
        };
        command.args(self.args.iter().map(OsStr::new)).envs(self.environment.iter().copied());
        if !self.ours {
            command.env("LD_PRELOAD", "/usr/libexec/coreutils/libstdbuf.so").env("_STDBUF_O", "L");
        }
        command
    }
}

impl std::fmt::Display for Cmd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = if self.ours { &self.args[2..] } else { &self.args[..] };
        let program = (!self.ours).then_some(&self.program);
        let words: Vec<&str> = program.into_iter().chain(shown).map(String::as_str).collect();
        f.write_str(&words.join(" "))
    }
}
