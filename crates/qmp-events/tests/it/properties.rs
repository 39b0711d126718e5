//! What holds for every event, whatever is in it.

use proptest::{
    prelude::*,
    test_runner::{Config, TestError, TestRunner},
};
use qmp_events::{Envelope, EventKind, Message, Outside};
use serde_json::Value;

use crate::{
    generate::{any_message, expected_outside, message},
    json::Json,
};

/// Cases for each of the 60 kinds.
const CASES_PER_KIND: u32 = 24;

/// Runs a property for every kind of event, so that none depends on luck to be tried.
fn for_every_kind(property: impl Fn(EventKind, Json) -> Result<(), TestCaseError>) {
    for &kind in EventKind::ALL {
        let config = Config {
            cases: CASES_PER_KIND,
            failure_persistence: None,
            ..Config::default()
        };
        let outcome = TestRunner::new(config).run(&message(kind), |json| property(kind, json));
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(why, json)) => {
                panic!("{}: {why}\nfor {}", kind.name(), json.as_qemu());
            }
            Err(aborted) => panic!("{}: {aborted}", kind.name()),
        }
    }
}

/// The text as a value, members without order.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Things outside the vocabulary, in an order that can be compared.
fn sorted(outside: Vec<Outside>) -> Vec<String> {
    let mut texts: Vec<_> = outside.iter().map(|thing| format!("{thing:?}")).collect();
    texts.sort();
    texts
}

#[test]
fn what_qemu_prints_comes_back_byte_for_byte() {
    for_every_kind(|kind, json| {
        let text = json.as_qemu();
        let message = Message::decode(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(message.event.kind(), Some(kind));
        prop_assert_eq!(message.encode(), text.as_str());
        prop_assert_eq!(message.into_owned().encode(), text.as_str());
        Ok(())
    });
}

#[test]
fn in_any_order_and_spelling_nothing_is_lost() {
    for_every_kind(|kind, json| {
        // Any number of the message will do as a seed.
        let seed = json.as_qemu().len() as u64;
        let text = json.as_stranger(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let message = Message::decode(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(message.event.kind(), Some(kind));

        let encoded = message.encode();
        prop_assert!(encoded.is_ascii() || has_stranger(&message), "{}", encoded);
        prop_assert_eq!(value(&encoded), value(&text));
        let again = Message::decode(&encoded).expect("our own text is an event");
        prop_assert_eq!(again.encode(), encoded);
        Ok(())
    });
}

/// Members outside the vocabulary keep the spelling they came in, so they may not be ASCII.
fn has_stranger(message: &Message<'_>) -> bool {
    !message.outside().is_empty() || matches!(message.event.kind(), Some(EventKind::CommandDropped))
}

#[test]
fn exactly_what_the_facts_lack_is_reported_as_outside() {
    for_every_kind(|kind, json| {
        let text = json.as_qemu();
        let message = Message::decode(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(
            sorted(message.outside()),
            sorted(expected_outside(kind, &json))
        );
        Ok(())
    });
}

#[test]
fn owning_changes_nothing() {
    for_every_kind(|_, json| {
        let text = json.as_stranger(7);
        let message = Message::decode(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(message.clone().into_owned(), message);
        Ok(())
    });
}

#[test]
fn the_envelope_agrees_with_the_message() {
    for_every_kind(|_, json| {
        let text = json.as_stranger(11);
        let envelope = Envelope::read(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let message = Message::decode(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(&*envelope.name, message.event.name());
        prop_assert_eq!(envelope.timestamp, message.timestamp);
        prop_assert_eq!(
            envelope.data.map(value),
            message.event.data_json().as_deref().map(value)
        );
        Ok(())
    });
}

proptest! {
    #![proptest_config(Config { cases: 256, failure_persistence: None, ..Config::default() })]

    /// An event renamed to something unknown is kept whole, byte for byte.
    #[test]
    fn an_unknown_event_is_kept_whole(json in any_message(), name in "[A-Z]{3,9}_X") {
        let Json::Object(mut members) = json else { unreachable!("messages are objects") };
        members[0].1 = Json::Text(name.clone());
        let text = Json::Object(members).as_qemu();
        let message = Message::decode(&text).expect("an event is an event");
        prop_assert_eq!(message.event.kind(), None);
        prop_assert_eq!(message.event.name(), &name);
        prop_assert_eq!(message.encode(), text);
    }
}
