//! What a pool user asks for, whatever the policy (RFC 5356).

use super::*;

// POL-5.1-07, POL-5.3-08: no limit on the number of elements in the request, so the answer has backups, which are tried, the
// least used first, without another question.
#[test]
fn a_pool_user_has_backups_of_the_least_used_element() {
    let least_used = |load| Policy::LeastUsed { load: Load(load) };
    let degrading = |load| Policy::PriorityLeastUsed { load: Load(load), degradation: Load(1) };
    let policies: [&dyn Fn(u32) -> Policy; 2] = [&least_used, &degrading];
    for policy in policies {
        let mut script = Script::new(config(1));
        script.machine.connect(script.now, pool(), SessionOptions::default()).unwrap();
        let home = script.expect_connect();
        script.up(home, registrar(1));
        assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))]);
        let with_load = |(n, load)| PoolElement { policy: policy(load), ..element(n) };
        let elements = [(1, 10), (2, 20), (3, 30)].map(with_load).into();
        let (handle, policy, error) = (pool(), Some(policy(0)), None);
        script
            .asap(home, asap::HandleResolutionResponse { accepted: false, handle, policy, elements, error });
        for n in 1..=3 {
            let out = script.out();
            let connect = out.iter().find_map(|out| match out {
                Out::Connect(assoc, Channel::Session, to) if *to == server(n) => Some(*assoc),
                _ => None,
            });
            let connect = connect.unwrap_or_else(|| panic!("{n}: {out:?}"));
            script.down(connect, DownReason::ConnectFailed("port unreachable".into()));
        }
    }
}
