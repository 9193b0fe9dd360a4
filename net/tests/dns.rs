//! Registrars from DNS, asked of a small name server on loopback.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use proto::Channel;
use rserpool_net::dns::{DnsConfig, Found, follow, look_up};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::UdpSocket;

/// A name server for "example.net" with the records of the tests; while `broken` it fails.
async fn name_server(broken: Arc<AtomicBool>) -> DnsConfig {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let query = Message::from_vec(&buffer[..length]).unwrap();
            let mut answer = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
            answer.metadata.recursion_available = true;
            let question = query.queries[0].clone();
            let (name, kind) = (question.name().clone(), question.query_type());
            let records = records(&name.to_string(), kind);
            answer.queries.push(question);
            match (broken.load(Ordering::SeqCst), records.is_empty()) {
                (true, _) => answer.metadata.response_code = ResponseCode::ServFail,
                (false, true) => answer.metadata.response_code = ResponseCode::NXDomain,
                (false, false) => {
                    answer
                        .answers
                        .extend(records.into_iter().map(|data| Record::from_rdata(name.clone(), 30, data)));
                }
            }
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    DnsConfig { domain: "example.net".into(), server: Some(server) }
}

fn records(name: &str, kind: RecordType) -> Vec<RData> {
    let srv =
        |priority, port, host: &str| RData::SRV(SRV::new(priority, 0, port, Name::from_ascii(host).unwrap()));
    match (name, kind) {
        ("_enrp._sctp.example.net.", RecordType::SRV) => vec![
            srv(20, 9901, "b.example.net."),
            srv(10, 9902, "a.example.net."),
            srv(30, 9903, "gone.example.net."),
        ],
        ("a.example.net.", RecordType::A) => vec![RData::A(A::new(192, 0, 2, 1))],
        ("a.example.net.", RecordType::AAAA) => vec![RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))],
        ("b.example.net.", RecordType::A) => vec![RData::A(A::new(192, 0, 2, 2))],
        _ => Vec::new(),
    }
}

fn expected() -> Vec<Vec<SocketAddr>> {
    vec![
        vec!["192.0.2.1:9902".parse().unwrap(), "[2001:db8::1]:9902".parse().unwrap()],
        vec!["192.0.2.2:9901".parse().unwrap()],
    ]
}

// ENRP-3.2.2.1-04: by priority; a host without an address is left out.
#[tokio::test]
async fn srv_records_name_registrars() {
    let config = name_server(Arc::default()).await;
    let Found { registrars, valid_for } = look_up(&config, Channel::Enrp).await.unwrap();
    assert_eq!(registrars, expected());
    assert!(valid_for <= Duration::from_secs(30));
}

#[tokio::test]
async fn a_domain_without_records_is_an_error_that_says_what_to_do() {
    let config = name_server(Arc::default()).await;
    let error = look_up(&config, Channel::Asap).await.unwrap_err().to_string();
    assert!(error.contains("_asap._sctp.example.net."), "{error}");
    assert!(error.contains("check the domain and the name server"), "{error}");
}

// A failure is not the end.
#[tokio::test]
async fn it_goes_on_after_failures() {
    let broken = Arc::new(AtomicBool::new(true));
    let config = name_server(broken.clone()).await;
    assert!(look_up(&config, Channel::Enrp).await.is_err());
    let (sender, mut told) = tokio::sync::mpsc::channel(1);
    let tell = move |found| {
        let sender = sender.clone();
        async move { drop(sender.send(found).await) }
    };
    let asking = tokio::spawn(follow(config, Channel::Enrp, tell));
    broken.store(false, Ordering::SeqCst);
    let found = tokio::time::timeout(Duration::from_secs(20), told.recv()).await.unwrap().unwrap();
    assert_eq!(found, expected());
    asking.abort();
}
