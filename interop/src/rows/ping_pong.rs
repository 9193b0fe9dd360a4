//! The ping-pong service in a pool of both implementations: the state of a session passes between them.

use super::cast::{Registrar, Side};
use super::{Row, both_ways};
use crate::lab::{Host, Lab, Program};
use crate::ours::{self, Way};
use crate::rsplib;
use anyhow::ensure;
use nix::sys::signal::Signal;
use std::sync::Arc;
use std::time::Duration;

pub(super) const ROWS: &[Row] = both_ways! {
    400,
    "failover-rsplib", "mixed ping-pong pool at rsplib's registrar, kill -9 alternately: no gap for either client" =>
        |lab, way| alternate(lab, way, Side::Rsplib);
    "failover-ours", "mixed ping-pong pool at our registrar, kill -9 alternately: no gap for either client" =>
        |lab, way| alternate(lab, way, Side::Ours);
};

/// The longest failover: without an ABORT or ICMP, rsplib's client waits for the end of SCTP's retransmissions.
const FAILOVER: Duration = Duration::from_secs(120);

/// Both clients use the same server, which is killed; when both are at the other one it is started anew, and so on.
fn alternate(lab: &mut Lab, way: Way, registrar: Side) -> anyhow::Result<()> {
    let registrar = Registrar::start(lab, way, registrar)?;
    let mut servers = [Server::ours(lab, way, &registrar)?, Server::rsplib(lab, way, &registrar)?];
    let clients = [Client::ours(lab, way, &registrar)?, Client::rsplib(lab, way, &registrar)?];
    for client in &clients {
        client.wait_replies(0, 3, "any server", |_| true)?;
    }
    for (round, victim) in [0, 1, 0, 1].into_iter().enumerate() {
        let before = clients.each_ref().map(|client| client.replies().len());
        let survivor = servers[1 - victim].id.clone();
        let killed = lab.elapsed();
        servers[victim].program.signal(Signal::SIGKILL)?;
        for (client, before) in clients.iter().zip(before) {
            let first = client.wait_replies(before, 5, &survivor, |reply| reply.from == survivor)?;
            // In the first round it may have been there already.
            if round > 0 {
                let gap = first.saturating_sub(killed);
                lab.note(format!(
                    "kill -9 of {}: {} goes on after {:.1} s",
                    servers[victim].who,
                    client.who,
                    gap.as_secs_f64()
                ));
            }
        }
        servers[victim].restart(lab, round)?;
    }
    for client in &clients {
        let numbers: Vec<u64> = client.replies().iter().map(|reply| reply.number).collect();
        let gap = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1);
        ensure!(gap.is_none(), "{}: reply {:?}", client.who, gap);
        ensure!(numbers.first() == Some(&1), "{}: the first reply is {:?}", client.who, numbers.first());
        lab.note(format!("{}: replies 1 to {}, no gap", client.who, numbers.len()));
    }
    Ok(())
}

/// A ping-pong server, and how to start it again.
struct Server {
    who: &'static str,
    host: Host,
    cmd: crate::lab::Cmd,
    program: Arc<Program>,
    id: String,
    registered: fn(&Program) -> anyhow::Result<String>,
}

impl Server {
    fn ours(lab: &mut Lab, way: Way, registrar: &Registrar) -> anyhow::Result<Server> {
        let host = lab.host("p1", way.ours())?;
        let cmd = ours::example_server(way, "ping_pong_server", &host, registrar.address());
        let program = lab.start("ours", &host, &cmd)?;
        let registered = ours::serving;
        Ok(Server { who: "our server", id: registered(&program)?, host, cmd, program, registered })
    }

    fn rsplib(lab: &mut Lab, way: Way, registrar: &Registrar) -> anyhow::Result<Server> {
        let host = lab.host("p2", way.theirs())?;
        let cmd = rsplib::server(registrar.address(), "pingpong");
        let program = lab.start("rsplib", &host, &cmd)?;
        let registered = rsplib::registered;
        Ok(Server { who: "rsplib's server", id: registered(&program)?, host, cmd, program, registered })
    }

    fn restart(&mut self, lab: &mut Lab, round: usize) -> anyhow::Result<()> {
        self.program = lab.start(&format!("{}-{round}", self.host.name()), &self.host, &self.cmd)?;
        self.id = (self.registered)(&self.program)?;
        Ok(())
    }
}

/// A ping-pong client.
struct Client {
    who: &'static str,
    program: Arc<Program>,
}

struct Reply {
    at: Duration,
    from: String,
    number: u64,
}

impl Client {
    fn ours(lab: &mut Lab, way: Way, registrar: &Registrar) -> anyhow::Result<Client> {
        let host = lab.host("u1", way.ours())?;
        let cmd = ours::example_client(way, "ping_pong_client", registrar.address()).arg("--interval=200");
        Ok(Client { who: "our client", program: lab.start("client-ours", &host, &cmd)? })
    }

    fn rsplib(lab: &mut Lab, way: Way, registrar: &Registrar) -> anyhow::Result<Client> {
        let host = lab.host("u2", way.theirs())?;
        let cmd = rsplib::client(registrar.address(), "pingpongclient").arg("-interval=200");
        Ok(Client { who: "rsplib's client", program: lab.start("client-rsplib", &host, &cmd)? })
    }

    /// All replies that it has got.
    fn replies(&self) -> Vec<Reply> {
        self.program.lines().iter().filter_map(|line| reply(line.at, &line.text)).collect()
    }

    /// Waits until it has got this many replies that satisfy the condition, after the first `skip`; when the first
    /// of them came.
    fn wait_replies(
        &self,
        skip: usize,
        count: usize,
        what: &str,
        condition: impl Fn(&Reply) -> bool,
    ) -> anyhow::Result<Duration> {
        let mut first = None;
        let (mut seen, mut found) = (0, 0);
        let what = format!("{count} replies from {what}");
        self.program.wait_for(crate::lab::Mark::default(), &what, FAILOVER, |line| {
            let Some(reply) = reply(line.at, &line.text) else { return false };
            seen += 1;
            if seen > skip && condition(&reply) {
                first.get_or_insert(reply.at);
                found += 1;
            }
            found == count
        })?;
        Ok(first.unwrap_or_default())
    }
}

/// A reply in the words of either client: "ping 7: reply 7 from 0x1", "Ack #7 from PE $1 (reply #7)".
fn reply(at: Duration, line: &str) -> Option<Reply> {
    let word_after = |word: &str| {
        let rest = &line[line.find(word)? + word.len()..];
        Some(rest.split([' ', ')', ',']).next()?.to_owned())
    };
    let (from, number) = if line.contains("Ack #") {
        (word_after("from PE $")?, word_after("(reply #")?)
    } else if line.starts_with("ping ") {
        (word_after("from 0x")?, word_after("reply ")?)
    } else {
        return None;
    };
    Some(Reply { at, from, number: number.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::reply;
    use std::time::Duration;

    #[test]
    fn the_words_of_both_clients_are_understood() {
        for line in ["ping 8: reply 7 from 0x0a1b2c3d", "Ack #8 from PE $0a1b2c3d (reply #7)"] {
            let reply = reply(Duration::ZERO, line).unwrap();
            assert_eq!((reply.from.as_str(), reply.number), ("0a1b2c3d", 7));
        }
    }
}
