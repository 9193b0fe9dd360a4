//! Every policy that rsplib's programs offer, registered by either side at the other's registrar.

use super::cast::{Registrar, SOON, Side};
use super::{Row, both_ways};
use crate::lab::Lab;
use crate::ours::{self, Way};
use crate::rsplib;
use anyhow::ensure;

pub(super) const ROWS: &[Row] = both_ways! {
    300,
    "policies-theirs", "rsplib's elements with each policy of rspserver at our registrar, used by our user" =>
        theirs_at_ours;
    "policies-ours", "our elements with each policy of rspserver at rsplib's registrar, used by rspterminal" =>
        ours_at_theirs;
};

/// rspserver's words for a policy, and ours. (It offers PriorityLeastUsedDegradationDPF, too, and aborts with it.)
const POLICIES: [(&str, &str); 14] = [
    ("RoundRobin", "round robin"),
    ("WeightedRoundRobin:3", "weighted round robin"),
    ("Random", "random"),
    ("WeightedRandom:3", "weighted random"),
    ("WeightedRandomDPF:3:0.001", "weighted random dpf"),
    ("Priority:7", "priority"),
    ("LeastUsed", "least used"),
    ("LeastUsedDegradation:0.25", "least used degradation"),
    ("LeastUsedDPF:0.001", "least used dpf"),
    ("LeastUsedDegradationDPF:0.25:0.001", "least used degradation dpf"),
    ("PriorityLeastUsed:0.25", "priority least used"),
    ("PriorityLeastUsedDegradation:0.25", "priority least used degradation"),
    ("RandomizedLeastUsed", "randomized least used"),
    ("RandomizedPriorityLeastUsed", "randomized priority least used"),
];

/// rsplib's name of a policy, without its values.
fn name(policy: &str) -> &str {
    policy.split(':').next().unwrap_or_default()
}

fn theirs_at_ours(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let registrar = Registrar::start(lab, way, Side::Ours)?;
    let p1 = lab.host("p1", way.theirs())?;
    let mut elements = Vec::new();
    for (policy, _) in POLICIES {
        let server = rsplib::server(registrar.address(), "echo")
            .args([format!("-policy={policy}"), format!("-poolhandle={}", name(policy))]);
        elements.push(lab.start(name(policy), &p1, &server)?);
    }
    for element in &elements {
        rsplib::registered(element)?;
    }
    let pools = ours::admin(lab, "pools", &registrar.host, &["pool"])?;
    let u1 = lab.host("u1", way.ours())?;
    for (policy, words) in POLICIES {
        let line = pools.lines().find(|line| line.split_whitespace().next() == Some(name(policy)));
        ensure!(
            line.is_some_and(|line| line.contains(&format!(" {words} "))),
            "{policy}: the registrar shows {line:?}"
        );
        let user = lab.start(
            &format!("user-{}", name(policy)),
            &u1,
            &ours::user(way, registrar.address(), name(policy)),
        )?;
        user.write_line("which policy")?;
        user.wait("> which policy", SOON)?;
        user.close_input();
        user.wait_exit(SOON)?;
    }
    Ok(())
}

fn ours_at_theirs(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let registrar = Registrar::start(lab, way, Side::Rsplib)?;
    let p1 = lab.host("p1", way.ours())?;
    let u1 = lab.host("u1", way.theirs())?;
    for (policy, _) in POLICIES {
        let element = ours::element(way, &p1, registrar.address(), "echo")
            .args([format!("--policy={policy}"), format!("--pool={}", name(policy))]);
        let element = lab.start(name(policy), &p1, &element)?;
        let id = ours::registered(&element)?;
        let dump = registrar.elements(lab, &format!("hsdump-{}", name(policy)))?;
        ensure!(dump.contains(&id), "{policy}: hsdump does not show {id}");
        let pool = format!("Pool \"{0}\", Policy \"{0}\"", name(policy));
        ensure!(dump.contains(&pool), "{policy}: hsdump does not show {pool}");
        let terminal =
            rsplib::client(registrar.address(), "rspterminal").arg(format!("-poolhandle={}", name(policy)));
        let terminal = lab.start(&format!("user-{}", name(policy)), &u1, &terminal)?;
        terminal.write_line("which policy")?;
        terminal.wait("> which policy", SOON)?;
        element.close_input();
        element.wait_exit(SOON)?;
        terminal.stop(nix::sys::signal::Signal::SIGKILL, SOON)?;
    }
    Ok(())
}
