//! The samples of QEMU's event document of 2016, the text this vocabulary started from.

use std::collections::BTreeSet;

use qmp_events::{EventKind, Message, Timestamp};
use serde_json::Value;

fn samples() -> impl Iterator<Item = &'static str> {
    include_str!("../data/seed-examples.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn every_sample_is_typed_and_comes_back() {
    for text in samples() {
        let message = Message::decode(text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert!(message.event.kind().is_some(), "{text}");
        assert_eq!(message.outside(), [], "{text}");
        assert!(message.timestamp.is_some_and(Timestamp::is_known), "{text}");

        let sent: Value = serde_json::from_str(text).expect("the sample is JSON");
        let printed: Value = serde_json::from_str(&message.encode()).expect("we print JSON");
        assert_eq!(printed, sent);
    }
}

#[test]
fn the_samples_are_the_events_marked_as_seed() {
    let sampled: BTreeSet<_> = samples()
        .map(|text| {
            Message::decode(text)
                .expect("checked above")
                .event
                .name()
                .to_owned()
        })
        .collect();
    let marked: BTreeSet<_> = EventKind::ALL
        .iter()
        .filter(|kind| kind.facts().seed.is_some())
        .map(|kind| kind.name().to_owned())
        .collect();
    assert_eq!(sampled, marked);
    assert_eq!(sampled.len(), 35);
}
