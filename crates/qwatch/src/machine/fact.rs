//! What the state keeps of a record: enough to show it and to test rules on it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::text::clipped;
use crate::limits::FACT_MEMBERS_MAX;
use crate::output::summary;
use crate::record::Record;

/// A record that is part of an explanation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its number in the journal; `None` straight from a monitor.
    pub seq: Option<u64>,
    /// When it happened ([`Record::time_us`]), microseconds since 1970.
    pub time_us: i64,
    /// When it was received, microseconds since 1970.
    pub received_us: i64,
    /// Name of the event or note.
    pub name: String,
    /// Its data in a few words; safe to print.
    pub text: String,
}

/// A stretch of time in which something may have been missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unheard {
    /// The record that says so.
    pub mark: Mark,
    /// Last moment that was heard, microseconds since 1970; `None` if that is not known.
    pub from_us: Option<i64>,
    /// First moment that was heard again.
    pub until_us: i64,
    /// Why nobody was listening.
    pub reason: String,
}

/// A record with those of its members that rules can ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fact {
    pub(super) mark: Mark,
    /// Name and value; those of nested objects as `outer.inner`.
    members: Vec<(String, String)>,
}

impl Mark {
    /// Of a record.
    pub fn of(record: &Record) -> Self {
        Self {
            text: clipped(&summary(&record.name, record.data.as_deref())),
            ..Self::bare(record)
        }
    }

    /// Of a record, without words for its data.
    pub fn bare(record: &Record) -> Self {
        Self {
            seq: record.seq,
            time_us: record.time_us(),
            received_us: record.received_us,
            name: clipped(&record.name),
            text: String::new(),
        }
    }
}

impl Fact {
    /// A record with all members that are words, numbers or truths.
    pub(super) fn of(record: &Record) -> Self {
        let mut fact = Self::bare(record);
        let data = record.data.as_deref();
        if let Some(Value::Object(data)) = data.and_then(|data| serde_json::from_str(data).ok()) {
            for (name, value) in &data {
                match value {
                    Value::Object(inner) => {
                        for (inner_name, value) in inner {
                            fact.take(&format!("{name}.{inner_name}"), value);
                        }
                    }
                    value => fact.take(name, value),
                }
            }
        }
        fact
    }

    /// A record without members.
    pub(super) fn bare(record: &Record) -> Self {
        Self {
            mark: Mark::of(record),
            members: Vec::new(),
        }
    }

    /// Adds a member.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if self.members.len() < FACT_MEMBERS_MAX {
            self.members.push((clipped(name), clipped(value)));
        }
        self
    }

    pub(super) fn member(&self, name: &str) -> Option<&str> {
        let found = self.members.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether it is as a pattern says: `NAME member=value …`, each as it stands on the wire.
    pub(super) fn is(&self, pattern: &str) -> bool {
        let mut words = pattern.split_ascii_whitespace();
        words.next() == Some(&*self.mark.name)
            && words.all(|word| match word.split_once('=') {
                Some((name, value)) => self.member(name) == Some(value),
                None => self.member(word).is_some(),
            })
    }

    /// Whether it is as one of several patterns says.
    pub(super) fn is_any(&self, patterns: &[&str]) -> bool {
        patterns.iter().any(|pattern| self.is(pattern))
    }

    fn take(&mut self, name: &str, value: &Value) {
        if self.members.len() >= FACT_MEMBERS_MAX {
            return;
        }
        let value = match value {
            Value::String(text) => clipped(text),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            // Of several the first.
            Value::Array(values) => match values.first() {
                Some(Value::String(text)) => clipped(text),
                _ => return,
            },
            _ => return,
        };
        self.members.push((clipped(name), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::testing::record;

    #[test]
    fn patterns_name_an_event_and_members() {
        let error = Fact::of(&record(
            1,
            r#"BLOCK_IO_ERROR {"action": "stop", "nospace": true, "n": {"m": 7}}"#,
        ));
        for yes in [
            "BLOCK_IO_ERROR",
            "BLOCK_IO_ERROR action=stop nospace=true",
            "BLOCK_IO_ERROR n.m=7",
            "BLOCK_IO_ERROR nospace",
        ] {
            assert!(error.is(yes), "{yes}");
        }
        for no in ["STOP", "BLOCK_IO_ERROR action=report", "BLOCK_IO_ERROR x"] {
            assert!(!error.is(no), "{no}");
        }
    }
}
