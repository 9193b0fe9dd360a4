//! What a registrar that runs in this process reports to a monitor.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use rserpool_registrar::config::AdminSocket;
use rserpool_registrar::{Config, Registrar};
use tokio::net::UdpSocket;

async fn report(monitor: &UdpSocket) -> Vec<u8> {
    let mut report = vec![0; 2048];
    let length = monitor.recv(&mut report).await.unwrap();
    report.truncate(length);
    report
}

#[tokio::test]
async fn the_monitor_hears_of_a_registrar_until_it_is_stopped() {
    let monitor = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut config = Config::default();
    config.listen.asap = "127.0.0.1:0".parse().unwrap();
    config.listen.enrp = "127.0.0.1:0".parse().unwrap();
    config.admin.socket = AdminSocket::Off;
    config.component_status.monitor = Some(monitor.local_addr().unwrap());
    let registrar = Registrar::spawn(config).unwrap();

    let first = report(&monitor).await;
    assert_eq!(first.len(), 288, "no association with other registrars");
    assert_eq!(first[..4], [1, 0, 1, 32], "a report, and not the last one");
    assert_eq!(first[12..16], registrar.id().0.to_be_bytes());
    let location = registrar.asap_address().to_string();
    assert_eq!(&first[28..28 + location.len()], location.as_bytes());

    registrar.stop().await;
    let mut last = report(&monitor).await;
    while last[1] == 0 {
        last = report(&monitor).await;
    }
    assert_eq!(last[..4], [1, 1, 1, 32]);
}
