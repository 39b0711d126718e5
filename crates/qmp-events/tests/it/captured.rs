//! Event lines that real QEMUs printed: 7.2.22 and 10.0.2, x86-64, no guest but a player of its part.
//!
//! Lines that differ from an earlier one only in the timestamp are left out. A VNC socket with an odd
//! name brings escapes beyond ASCII.

use std::collections::BTreeSet;

use qmp_events::{Envelope, Message};

/// Checks that each line is known through and through and comes back byte for byte; gives the
/// names seen.
fn check(lines: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in lines.lines() {
        let message = Message::decode(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(message.event.kind().is_some(), "{line}");
        assert_eq!(message.outside(), [], "{line}");
        assert_eq!(message.encode(), line);
        let envelope = Envelope::read(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(envelope.name, message.event.name());
        assert_eq!(envelope.timestamp, message.timestamp);
        assert!(
            message.timestamp.is_some_and(|stamp| stamp.is_known()),
            "{line}"
        );
        names.insert(message.event.name().to_owned());
    }
    names
}

#[test]
fn qemu_7_2() {
    let names = check(include_str!("../data/captured-7.2.txt"));
    assert_eq!(names.len(), 35, "{names:?}");
}

#[test]
fn qemu_10_0() {
    let names = check(include_str!("../data/captured-10.0.txt"));
    assert_eq!(names.len(), 36, "{names:?}");
}
