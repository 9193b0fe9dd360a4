//! What a message costs: a registration, and the answer of a pool of 128 elements.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use params::*;
use rserpool_asap::{HandleResolutionResponse, Message, Registration, decode};
use std::hint::black_box;

fn element(number: u8) -> PoolElement {
    let sctp = |port, last| SctpTransport {
        port,
        transport_use: TransportUse::DATA_AND_CONTROL,
        addresses: vec![[192, 0, 2, last].into()],
    };
    PoolElement {
        id: PeIdentifier(1 + u32::from(number)),
        home: RegistrarId(0xa1a2a3a4),
        life: RegistrationLife(300),
        user_transport: Transport::Sctp(sctp(7001, number)),
        policy: Policy::LeastUsed { load: Load(7) },
        asap_transport: None,
    }
}

fn codec(c: &mut Criterion) {
    let registration = Message::from(Registration { handle: "EchoPool".into(), element: element(1) });
    let resolution = Message::from(HandleResolutionResponse {
        accepted: false,
        handle: "EchoPool".into(),
        policy: Some(Policy::LeastUsed { load: Load(0) }),
        elements: (0..128).map(element).collect(),
        error: None,
    });
    for (name, message) in [("registration", registration), ("resolution of 128", resolution)] {
        let octets = message.encode().unwrap();
        assert_eq!(decode(&octets).message.as_ref(), Ok(&message));
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(octets.len() as u64));
        group.bench_function("encode", |b| b.iter(|| black_box(&message).encode()));
        group.bench_function("decode", |b| b.iter(|| decode(black_box(&octets))));
        group.finish();
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
