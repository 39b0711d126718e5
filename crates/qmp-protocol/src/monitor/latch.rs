//! Events that are sent once, and then not again before a command asks for the next.
//!
//! QEMU has two, by [`EventFacts::latch`](qmp_events::facts::EventFacts::latch):
//!
//! * NIC_RX_FILTER_CHANGED, once for each network card, until `query-rx-filter` reads the filter of that
//!   card or of all.
//! * BLOCK_WRITE_THRESHOLD, once for each node, until `block-set-write-threshold` sets the next mark
//!   there.
//!
//! One table for the whole machine, before the rate limiter.
//!
//! # Bounded
//!
//! At most [`LATCHES_MAX`] cards and nodes are remembered; of more than that, events are sent each time.

use std::collections::HashSet;

use qmp_events::EventKind;

use super::limiter::text_member;
use super::value::{Object, Value};
use crate::limits::LATCHES_MAX;

/// What an event that is sent once is about: a card, a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LatchKey {
    command: &'static str,
    subject: Box<str>,
}

/// How one command re-arms an event.
#[derive(Debug)]
struct Rule {
    command: &'static str,
    /// The argument that names the subject; without it all are meant.
    argument: &'static str,
    /// The members of the event that name the subject; the first that is there counts.
    members: &'static [&'static str],
    /// A number that must be above zero: the mark to be set, zero removes it.
    mark: Option<&'static str>,
}

const RULES: [Rule; 2] = [
    Rule {
        command: "query-rx-filter",
        argument: "name",
        members: &["name", "path"],
        mark: None,
    },
    Rule {
        command: "block-set-write-threshold",
        argument: "node-name",
        members: &["node-name"],
        mark: Some("write-threshold"),
    },
];

impl LatchKey {
    /// The key of an event with this `data` (a JSON object); `None` for an event that is sent each time.
    pub fn of(kind: EventKind, data: Option<&str>) -> Option<Self> {
        let command = kind.facts().latch?;
        let rule = RULES.iter().find(|rule| rule.command == command)?;
        let mut members = rule.members.iter();
        let subject = members.find_map(|member| text_member(data?, member));
        Some(Self {
            command,
            subject: subject.unwrap_or_default(),
        })
    }
}

/// What a command re-arms once it has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rearm {
    command: &'static str,
    /// `None`: all.
    subject: Option<Box<str>>,
}

impl Rearm {
    /// What this command re-arms; `None`: nothing.
    pub fn of(command: &str, arguments: &Object) -> Option<Self> {
        let rule = RULES.iter().find(|rule| rule.command == command)?;
        let removed = rule.mark.and_then(|mark| arguments.get(mark)) == Some(&Value::Int(0));
        if removed {
            return None;
        }
        let subject = arguments.get(rule.argument).and_then(Value::as_str);
        Some(Self {
            command: rule.command,
            subject: subject.map(Into::into),
        })
    }
}

/// The table of one machine. All is armed in the beginning.
#[derive(Debug, Default)]
pub struct Latches {
    sent: HashSet<LatchKey>,
}

impl Latches {
    /// An event happened.
    ///
    /// # Returns
    /// Whether it is to be sent: nothing of its key was sent since it was last re-armed.
    pub fn admit(&mut self, key: LatchKey) -> bool {
        if self.sent.len() >= LATCHES_MAX {
            return !self.sent.contains(&key);
        }
        self.sent.insert(key)
    }

    /// A command has succeeded.
    pub fn rearm(&mut self, rearm: &Rearm) {
        self.sent.retain(|key| {
            let meant = rearm.subject.as_ref().is_none_or(|it| *it == key.subject);
            key.command != rearm.command || !meant
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(data: &str) -> LatchKey {
        LatchKey::of(EventKind::NicRxFilterChanged, Some(data)).expect("a latched event")
    }

    fn named(command: &str, argument: &str, value: &str) -> Rearm {
        Rearm::of(command, &Object::new().with(argument, value)).expect("a command that re-arms")
    }

    #[test]
    fn every_latch_of_the_vocabulary_has_a_rule() {
        for kind in EventKind::ALL {
            let facts = kind.facts();
            assert_eq!(
                facts.latch.is_some(),
                LatchKey::of(*kind, None).is_some(),
                "{}",
                facts.name
            );
        }
        assert_eq!(Rearm::of("query-status", &Object::new()), None);
    }

    #[test]
    fn each_card_is_told_once_until_its_filter_is_read() {
        let (one, other) = (
            r#"{"name": "n1", "path": "/a"}"#,
            r#"{"name": "n2", "path": "/b"}"#,
        );
        let mut latches = Latches::default();
        assert!(latches.admit(card(one)) && latches.admit(card(other)));
        assert!(!latches.admit(card(one)) && !latches.admit(card(other)));
        latches.rearm(&named("query-rx-filter", "name", "n1"));
        assert!(latches.admit(card(one)) && !latches.admit(card(other)));
        let all = Rearm::of("query-rx-filter", &Object::new()).expect("all");
        latches.rearm(&all);
        assert!(latches.admit(card(one)) && latches.admit(card(other)));
    }

    #[test]
    fn a_card_without_a_name_goes_by_its_path() {
        let mut latches = Latches::default();
        assert!(
            latches.admit(card(r#"{"path": "/a"}"#)) && latches.admit(card(r#"{"path": "/b"}"#))
        );
        assert!(!latches.admit(card(r#"{"path": "/a"}"#)));
    }

    #[test]
    fn a_mark_fires_once_until_the_next_is_set() {
        let key = || {
            let data = r#"{"amount-exceeded": 1, "node-name": "d", "write-threshold": 9}"#;
            LatchKey::of(EventKind::BlockWriteThreshold, Some(data)).expect("a latched event")
        };
        let mut latches = Latches::default();
        assert!(latches.admit(key()) && !latches.admit(key()));
        latches.rearm(&named("query-rx-filter", "name", "d"));
        latches.rearm(&named("block-set-write-threshold", "node-name", "other"));
        assert!(!latches.admit(key()));
        let remove = Object::new()
            .with("node-name", "d")
            .with("write-threshold", 0_i64);
        assert_eq!(Rearm::of("block-set-write-threshold", &remove), None);
        latches.rearm(&named("block-set-write-threshold", "node-name", "d"));
        assert!(latches.admit(key()));
    }

    #[test]
    fn a_full_table_sends_rather_than_grows() {
        let mut latches = Latches::default();
        let path = |number: usize| card(&format!(r#"{{"path": "/{number}"}}"#));
        for number in 0..LATCHES_MAX {
            assert!(latches.admit(path(number)));
        }
        assert!(latches.admit(path(LATCHES_MAX)) && latches.admit(path(LATCHES_MAX)));
        assert!(!latches.admit(path(0)));
        assert_eq!(latches.sent.len(), LATCHES_MAX);
    }
}
