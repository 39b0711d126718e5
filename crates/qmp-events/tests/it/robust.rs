//! Whatever bytes come: no panic, and what is accepted is kept.

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};
use qmp_events::{DecodeError, Envelope, Message};
use serde_json::Value;

use crate::generate::{any_message, text};

/// What must hold for any text at all.
fn check(text: &str) -> Result<(), TestCaseError> {
    let message = Message::decode(text);
    match (&message, Envelope::read(text)) {
        (Ok(message), Ok(envelope)) => {
            prop_assert_eq!(message.event.name(), &*envelope.name);
            prop_assert_eq!(message.timestamp, envelope.timestamp);
        }
        (Err(one), Err(other)) => prop_assert_eq!(*one, other),
        (message, envelope) => {
            return Err(TestCaseError::fail(format!("{message:?} but {envelope:?}")));
        }
    }
    if let Ok(message) = &message {
        let encoded = message.encode();
        let again = Message::decode(&encoded);
        let again = again.map_err(|e| TestCaseError::fail(format!("{e}: {encoded}")))?;
        prop_assert_eq!(again.encode(), encoded.as_str());
        prop_assert_eq!(again.outside().len(), message.outside().len());
        prop_assert_eq!(message.clone().into_owned().encode(), encoded.as_str());
    }
    agree_with_serde_json(text, &message)
}

/// A general JSON parser sees an event exactly where we do, and the same one.
fn agree_with_serde_json(
    text: &str,
    message: &Result<Message<'_>, DecodeError>,
) -> Result<(), TestCaseError> {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        // It refuses more than we do: half surrogates, numbers beyond f64, 128 levels.
        return Ok(());
    };
    match message {
        Ok(message) => {
            let encoded: Value = serde_json::from_str(&message.encode()).expect("we print JSON");
            prop_assert_eq!(encoded, value);
        }
        Err(DecodeError::NotAnEvent) => prop_assert!(!value["event"].is_string()),
        // It takes the last of two members of one name.
        Err(DecodeError::Twice(_)) => {}
        Err(error) => return Err(TestCaseError::fail(format!("{error}, but it is {value}"))),
    }
    Ok(())
}

/// One change to a text: where, how, and with which byte.
type Edit = (Index, u8, u8);

fn edit(bytes: &mut Vec<u8>, (at, how, byte): &Edit) {
    if bytes.is_empty() {
        return;
    }
    let at = at.index(bytes.len());
    match how % 4 {
        0 => bytes[at] = *byte,
        1 => bytes.insert(at, *byte),
        2 => drop(bytes.remove(at)),
        _ => bytes.truncate(at),
    }
}

/// Pieces that bring a random text far into a reader.
fn pieces() -> BoxedStrategy<String> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\\u",
        "\\ud83d",
        "d",
        "-",
        "0",
        "1",
        "9",
        ".",
        "e",
        " ",
        "\r\n",
        "null",
        "true",
        "false",
        "\"event\"",
        "\"data\"",
        "\"timestamp\"",
        "\"seconds\"",
        "\"microseconds\"",
        "\"STOP\"",
        "\"RTC_CHANGE\"",
        "\"GUEST_PANICKED\"",
        "\"offset\"",
        "\"info\"",
        "\"type\"",
        "\"tdx\"",
        "{\"event\": \"STOP\"",
        "{\"event\": \"RTC_CHANGE\", \"data\": {",
        "{\"event\": \"GUEST_PANICKED\", \"data\": {\"action\": \"run\", \"info\": {\"type\":",
        "é",
        "😀",
    ];
    vec(select(words.to_vec()), 0..24)
        .prop_map(|words| words.concat())
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1024,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_text(text in text()) {
        check(&text)?;
    }

    #[test]
    fn any_pieces(text in pieces()) {
        check(&text)?;
    }

    #[test]
    fn damaged_events(
        json in any_message(),
        edits in vec(any::<Edit>(), 1..4),
        seed in any::<u64>(),
    ) {
        let mut bytes = json.as_stranger(seed).into_bytes();
        for one in &edits {
            edit(&mut bytes, one);
        }
        check(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn cut_events(json in any_message(), at in any::<Index>()) {
        let text = json.as_qemu();
        let cut = &text[..at.index(text.len())];
        prop_assert!(matches!(Message::decode(cut), Err(DecodeError::NotJson(_))));
        prop_assert!(matches!(Envelope::read(cut), Err(DecodeError::NotJson(_))));
    }
}
