//! rsplib's services whose sessions are jobs that last: CalcApp, Fractal Generator, Scripting.

use super::cast::{Registrar, SOON, Side};
use super::{Row, both_ways};
use crate::lab::{Lab, Mark, Program, theirs};
use crate::ours::{self, Way};
use crate::rsplib;
use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub(super) const ROWS: &[Row] = both_ways! {
    400,
    "calcapp-rsplib", "jobs of both clients in a pool of both CalcApp servers go on when one is killed; rsplib's registrar" =>
        |lab, way| calcapp(lab, way, Side::Rsplib);
    "calcapp-ours", "jobs of both clients in a pool of both CalcApp servers go on when one is killed; our registrar" =>
        |lab, way| calcapp(lab, way, Side::Ours);
    "fractal-rsplib", "one image of both fractal servers, begun by either and ended by the other; rsplib's registrar" =>
        |lab, way| fractal(lab, way, Side::Rsplib);
    "fractal-ours", "one image of both fractal servers, begun by either and ended by the other; our registrar" =>
        |lab, way| fractal(lab, way, Side::Ours);
    "fractal-viewer", "rsplib's client gets an image of our server, one that rsplib's ends with our cookie, one of rsplib's" => viewer;
    "scripting-ours", "rsplib's scripting client has a script run by rsplib's server, found at our registrar" => scripting;
};

/// The longest failover: without an ABORT or ICMP, rsplib's client waits for the end of SCTP's retransmissions.
const FAILOVER: Duration = Duration::from_secs(120);

fn calcapp(lab: &mut Lab, way: Way, registrar: Side) -> anyhow::Result<()> {
    let registrar = Registrar::start(lab, way, registrar)?;
    let [p1, p2] = [lab.host("p1", way.ours())?, lab.host("p2", way.theirs())?];
    let [u1, u2] = [lab.host("u1", way.ours())?, lab.host("u2", way.theirs())?];
    let server = ours::example_server(way, "calcapp_server", &p1, registrar.address());
    let first = lab.start("ours", &p1, &server)?;
    ours::serving(&first)?;

    // Jobs that last for some seconds, and never an idle moment.
    let ours = ours::example_client(way, "calcapp_client", registrar.address());
    let ours = lab.start("client-ours", &u1, &ours.args(["--jobs=1000", "--size=3000000"]))?;
    let theirs = rsplib::client(registrar.address(), "calcappclient").args([
        "-jobsize=3000000",
        "-jobinterval=0.5",
        "-keepalivetransmissioninterval=1000",
        "-keepalivetimeoutinterval=3000",
        "-scalar=/tmp/calcapp.sca",
        "-vector=/tmp/calcapp.vec",
    ]);
    let theirs = lab.start("client-rsplib", &u2, &theirs)?;
    ours.wait(": done by ", SOON)?;
    theirs.wait_for(Mark::default(), "that a job is done", SOON, their_job_is_done)?;

    // From ours to rsplib's.
    let server_of_theirs =
        rsplib::server(registrar.address(), "calcapp").args(["-capcookiemaxcalculations=100000"]);
    let second = lab.start("rsplib", &p2, &server_of_theirs)?;
    let id = rsplib::registered(&second)?;
    first.stop(Signal::SIGKILL, SOON)?;
    let mark = theirs.mark();
    ours.wait_for(Mark::default(), "that rsplib's server ends a job of ours", FAILOVER, |line| {
        line.text.contains(": done by ") && line.text.contains(&id)
    })?;
    theirs.wait_for(mark, "that a job is done", FAILOVER, their_job_is_done)?;

    // And back: the jobs that rsplib's server leaves are not begun anew.
    let third = lab.start("ours-again", &p1, &server)?;
    ours::serving(&third)?;
    ours.wait_after(ours.mark(), "goes on from 0", SOON)?;
    both_work_elsewhere(lab, &id, &ours, (&theirs, &u2.v4().to_string()), &third)?;
    let mark = theirs.mark();
    second.stop(Signal::SIGKILL, SOON)?;
    let address = u1.v4().to_string();
    let line =
        third.wait_for(Mark::default(), "that it goes on with our client's job", FAILOVER, |line| {
            line.text.starts_with(&address) && taken_over(&line.text).is_some()
        })?;
    lab.note(format!("our client's: {}", line.text));
    ours.wait_after(ours.mark(), ": done by ", SOON)?;
    let address = u2.v4().to_string();
    let line = third.wait(&address, FAILOVER)?;
    lab.note(format!("rsplib's client's: {}", line.text));
    theirs.wait_after(mark, "- FAILOVER -", FAILOVER)?;
    theirs.wait_for(theirs.mark(), "that a job is done", SOON, their_job_is_done)?;
    Ok(())
}

/// Waits until both clients, which have a session for each job, are in the middle of one: ours has begun it long enough ago
/// for a cookie, and rsplib's has it not at this server of ours.
fn both_work_elsewhere(
    lab: &Lab,
    server: &str,
    ours: &Program,
    (theirs, address): (&Program, &str),
    third: &Program,
) -> anyhow::Result<()> {
    let until = Instant::now() + FAILOVER;
    let since = |line: &crate::lab::Line| lab.elapsed().saturating_sub(line.at);
    let seconds = |begin: u64, end: u64| Duration::from_secs(begin)..Duration::from_secs(end);
    loop {
        let ours_goes_on = ours.lines().last().is_some_and(|line| {
            line.text.contains(&format!("{server} goes on from")) && seconds(1, 4).contains(&since(line))
        });
        let jobs = theirs.lines();
        let theirs_goes_on =
            jobs.iter().rposition(|line| their_job_size(&line.text).is_some()).is_some_and(|begun| {
                let (begun, after) = (&jobs[begun], &jobs[begun..]);
                // A server that has nothing else to do makes a million calculations a second.
                let left = their_job_size(&begun.text).unwrap_or_default() / 1e6 - since(begun).as_secs_f64();
                left > 0.5
                    && after.iter().any(|line| line.text.contains(" accepted"))
                    && !after.iter().any(their_job_is_done)
            });
        let at_third = third.lines().into_iter().rfind(|line| line.text.starts_with(address));
        if ours_goes_on && theirs_goes_on && at_third.is_none_or(|line| line.text.ends_with(": ended")) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "never were both clients busy at {server}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// The calculations of "Request for job #35 (job size 3.37002e+06)".
fn their_job_size(line: &str) -> Option<f64> {
    let (_, size) = line.strip_prefix("Request for job #")?.split_once("(job size ")?;
    size.strip_suffix(')')?.parse().ok()
}

fn their_job_is_done(line: &crate::lab::Line) -> bool {
    line.text.contains("Job #") && line.text.contains("completed")
}

/// How much was done of a job that our server took over: "10.77.0.4:1234: job 7 from 1000 to 3000".
fn taken_over(line: &str) -> Option<u64> {
    let (_, job) = line.split_once(": job ")?;
    let done = job.split_whitespace().nth(2)?.parse().ok()?;
    (done > 0).then_some(done)
}

fn fractal(lab: &mut Lab, way: Way, registrar: Side) -> anyhow::Result<()> {
    let registrar = Registrar::start(lab, way, registrar)?;
    let [p1, p2] = [lab.host("p1", way.ours())?, lab.host("p2", way.theirs())?];
    let u1 = lab.host("u1", way.ours())?;
    let client = ours::example_client(way, "fractal_client", registrar.address());
    let client = client.args(["--width=400", "--height=200", "--iterations=200"]);
    let server = ours::example_server(way, "fractal_server", &p1, registrar.address());
    let theirs = rsplib::server(registrar.address(), "fractal");

    // Each alone: the points are the same.
    let ours_alone = lab.start("ours-alone", &p1, &server)?;
    ours::serving(&ours_alone)?;
    let image = hash(&lab.start("client-of-ours", &u1, &client)?)?;
    ours_alone.stop(Signal::SIGKILL, SOON)?;
    let theirs_alone = lab.start("rsplib-alone", &p2, &theirs)?;
    let alone = rsplib::registered(&theirs_alone)?;
    let of_theirs = lab.start("client-of-theirs", &u1, &client)?;
    ensure!(hash(&of_theirs)? == image, "another image than ours");
    of_theirs.wait(&alone, SOON)?;
    theirs_alone.stop(Signal::SIGINT, SOON)?;

    // Ours begins, and is killed; rsplib's gives up every 40 messages, and ours goes on.
    let slow = lab.start("ours-slow", &p1, &server.clone().arg("--pause=50"))?;
    let begins = ours::serving(&slow)?;
    let shared = lab.start("client-of-both", &u1, &client)?;
    shared.wait(&begins, SOON)?;
    let fragile = lab.start("rsplib-fragile", &p2, &theirs.arg("-fgpfailureafter=40"))?;
    let fragile = rsplib::registered(&fragile)?;
    slow.stop(Signal::SIGKILL, SOON)?;
    let ends = lab.start("ours-again", &p1, &server)?;
    let ends = ours::serving(&ends)?;
    shared.wait(&format!("to 0x{fragile}"), FAILOVER)?;
    shared.wait(&format!("to 0x{ends}"), FAILOVER)?;
    ensure!(hash(&shared)? == image, "another image than that of one server");
    for line in shared.lines().iter().filter(|line| line.text.contains("FAILOVER")) {
        lab.note(&line.text);
    }
    Ok(())
}

/// What rsplib's client is to show, in the words of its configuration files.
const FRACTAL: &str = "mkdir -p /tmp/fractals && cat > /tmp/fractals/one.fsf << END
<!DOCTYPE XMLFractalSave>
<FractalV1>
 <Algorithm>
  <AlgorithmName>Mandelbrot</AlgorithmName>
  <C1Real>-0.75</C1Real><C1Imag>1.3</C1Imag><C2Real>2.0</C2Real><C2Imag>-1.3</C2Imag>
  <Useroptions><MaxIterations>100</MaxIterations><N>2</N></Useroptions>
 </Algorithm>
 <ColorScheme><ColorSchemeName>SimpleHSV</ColorSchemeName></ColorScheme>
</FractalV1>
END";

/// rsplib's client, which is made for a screen: it draws into memory. What it draws the rows with our client compare.
fn viewer(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let registrar = Registrar::start(lab, way, Side::Ours)?;
    let [p1, p2] = [lab.host("p1", way.ours())?, lab.host("p2", way.theirs())?];
    let u1 = lab.host("u1", way.theirs())?;
    lab.run("config", &u1, &theirs("sh").args(["-c", FRACTAL]))?;
    let server = ours::example_server(way, "fractal_server", &p1, registrar.address()).arg("--pause=20");
    let ours = lab.start("ours", &p1, &server)?;
    ours::serving(&ours)?;
    let viewer = rsplib::client(registrar.address(), "fractalpooluser").args([
        "-configdir=/tmp/fractals",
        "-width=400",
        "-height=200",
        "-threads=1",
        "-nocolormarks",
        "-nosessions",
        "-interimagetime=0",
    ]);
    let viewer = lab.start("viewer", &u1, &viewer.env("QT_QPA_PLATFORM", "offscreen"))?;
    // The next image begins when the one before is complete. The second is interrupted, the third is rsplib's.
    let image = |number: usize| {
        let mut seen = 0;
        viewer.wait_for(Mark::default(), &format!("that image {number} begins"), FAILOVER, |line| {
            seen += usize::from(line.text.contains("Getting parameters from"));
            seen == number
        })
    };
    image(2)?;
    let theirs_too = lab.start("rsplib", &p2, &rsplib::server(registrar.address(), "fractal"))?;
    rsplib::registered(&theirs_too)?;
    ours.stop(Signal::SIGKILL, SOON)?;
    viewer.wait("Sending Cookie Echo", FAILOVER)?;
    image(4)?;
    Ok(())
}

/// What the client says in the end.
fn hash(client: &Arc<Program>) -> anyhow::Result<String> {
    client.wait_exit(FAILOVER)?;
    let last = client.lines().last().map(|line| line.text.clone());
    let last = last.filter(|line| line.contains("hash")).context("the client has no image")?;
    Ok(last)
}

/// An archive with what is to be run and what it reads.
const SCRIPT: &str = "mkdir -p /tmp/job && cd /tmp/job && echo 'six times seven' > question && \
    printf '#!/bin/sh\\necho \"$(cat question): $((6 * 7))\" > answer && tar cf $1 answer\\n' > ssrun && \
    tar cf /tmp/input.tar ssrun question";

fn scripting(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let registrar = Registrar::start(lab, way, Side::Ours)?;
    let [p1, u1] = [lab.host("p1", way.theirs())?, lab.host("u1", way.theirs())?];
    let server = lab.start("server", &p1, &rsplib::server(registrar.address(), "scripting"))?;
    let id = rsplib::registered(&server)?;
    let listed = registrar.elements(lab, "registered")?;
    ensure!(listed.contains(&id), "the registrar does not list {id}:\n{listed}");
    let sh = |command: &str| theirs("sh").args(["-c", command]);
    lab.run("input", &u1, &sh(SCRIPT))?;
    let client = rsplib::client(registrar.address(), "scriptingclient");
    let client = client.args(["-input=/tmp/input.tar", "-output=/tmp/output.tar"]);
    lab.run("client", &u1, &client)?;
    let answer = lab.run("answer", &u1, &sh("tar xOf /tmp/output.tar answer"))?;
    ensure!(answer.iter().any(|line| line.text == "six times seven: 42"), "another answer: {answer:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::taken_over;

    #[test]
    fn what_our_server_takes_over_is_told_from_what_it_begins() {
        assert_eq!(taken_over("10.77.0.4:1234: job 7 from 1000 to 3000"), Some(1000));
        assert_eq!(taken_over("10.77.0.4:1234: job 7 from 0 to 3000"), None);
        assert_eq!(taken_over("10.77.0.4:1234: job 7 is done"), None);
    }
}
