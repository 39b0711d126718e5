//! What reading and printing an event costs, next to `serde_json` on the same lines:
//! `cargo bench -p qmp-events`.
//!
//! The lines are what a real QEMU 10.0 sent, one event of each kind it could be made to send, and some
//! kinds more than once. Every figure is for all of them; the number of events is in its name.

use std::borrow::Cow;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qmp_events::{Envelope, Message};
use serde::Deserialize;
use serde_json::value::RawValue;

criterion_group!(wire, all);
criterion_main!(wire);

/// The peer for the envelope: borrowed, the data left raw.
#[derive(Deserialize)]
struct Peer<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    timestamp: PeerStamp,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct PeerStamp {
    seconds: i64,
    microseconds: i64,
}

fn all(c: &mut Criterion) {
    let captured = include_str!("../tests/data/captured-10.0.txt");
    let lines: Vec<&str> = captured
        .lines()
        .filter(|line| line.starts_with('{'))
        .collect();
    let bytes: usize = lines.iter().map(|line| line.len()).sum();
    let messages: Vec<Message<'_>> = lines
        .iter()
        .map(|line| Message::decode(line).expect("captured"))
        .collect();
    let mut group = c.benchmark_group(format!("{} events", lines.len()));
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("decode, every member typed", |b| {
        b.iter(|| for_each(&lines, |line| Message::decode(line).is_ok()));
    });
    group.bench_function("envelope, data checked", |b| {
        b.iter(|| for_each(&lines, |line| Envelope::read(line).is_ok()));
    });
    group.bench_function("serde_json envelope, data raw", |b| {
        b.iter(|| {
            for_each(&lines, |line| {
                let peer: Peer<'_> = serde_json::from_str(line).expect("captured");
                black_box((
                    peer.event,
                    peer.data,
                    peer.timestamp.seconds,
                    peer.timestamp.microseconds,
                ));
                true
            });
        });
    });
    group.bench_function("serde_json::Value", |b| {
        b.iter(|| {
            for_each(&lines, |line| {
                black_box(serde_json::from_str::<serde_json::Value>(line)).is_ok()
            });
        });
    });
    group.bench_function("encode", |b| {
        let mut out = String::new();
        b.iter(|| {
            for message in &messages {
                out.clear();
                message.encode_into(&mut out);
                black_box(&out);
            }
        });
    });
    group.finish();
}

fn for_each(lines: &[&str], read: impl Fn(&str) -> bool) {
    for line in lines {
        assert!(black_box(read(black_box(line))));
    }
}
