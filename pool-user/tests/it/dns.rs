//! A client that is given the name of its scope and no address.

use crate::support::{registrar, within};
use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use pool_element::PoolElement;
use rserpool_pool_user::{Discovery, PoolUser};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::UdpSocket;

/// A name server on loopback that knows a scope with one registrar, which is on loopback, too.
async fn name_server(registrar: SocketAddr) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let host = Name::from_ascii("registrar.scope.example.").unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let query = Message::from_vec(&buffer[..length]).unwrap();
            let question = query.queries[0].clone();
            let data = match (question.name().to_string().as_str(), question.query_type()) {
                ("_asap._sctp.scope.example.", RecordType::SRV) => {
                    Some(RData::SRV(SRV::new(10, 0, registrar.port(), host.clone())))
                }
                ("registrar.scope.example.", RecordType::A) => Some(RData::A(A(Ipv4Addr::LOCALHOST))),
                _ => None,
            };
            let mut answer = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
            match data {
                Some(data) => answer.answers.push(Record::from_rdata(question.name().clone(), 30, data)),
                None => answer.metadata.response_code = ResponseCode::NXDomain,
            }
            answer.queries.push(question);
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    address
}

// ASAP-1.4-03: the name of the scope is enough.
#[tokio::test]
async fn a_client_finds_its_registrar_by_name() {
    let registrar = registrar(&[]);
    let element = PoolElement::builder("echo").registrars([registrar.asap_address()]).register();
    let element = within("registration", element).await.unwrap();
    let server = name_server(registrar.asap_address()).await;
    let user = PoolUser::new(Discovery::new().dns("scope.example").name_server(server));
    assert_eq!(within("choice", user.choose("echo")).await.unwrap().id, element.id());
}
