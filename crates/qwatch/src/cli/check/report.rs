//! The outcome of `qwatch check`, for people and for programs.

use std::fmt;

use serde_json::{Map, Value, json};

use super::compare::{Difference, Kind, Why};
use crate::output::escape::{visible, visible_json};

/// What was asked and found.
pub(super) struct Report {
    /// The monitor as the user wrote it.
    pub(super) monitor: String,
    /// QEMU's version, such as 7.2.22.
    pub(super) version: String,
    /// Who built it, in his own words.
    pub(super) package: String,
    /// How many events this QEMU has.
    pub(super) events: usize,
    pub(super) differences: Vec<Difference>,
}

impl Report {
    /// Whether the vocabulary has everything this QEMU has.
    pub(super) fn is_complete(&self) -> bool {
        !self.differences.iter().any(Difference::is_lack)
    }

    /// Lines for people.
    pub(super) fn text(&self) -> String {
        let package = match self.package.as_str() {
            "" => String::new(),
            package => format!(" ({package})"),
        };
        let mut lines = vec![format!(
            "{}: reachable, QEMU {}{package}, {} events",
            self.monitor, self.version, self.events
        )];
        let (lacks, absent): (Vec<_>, Vec<_>) = self
            .differences
            .iter()
            .partition(|difference| difference.is_lack());
        if lacks.is_empty() {
            lines.push("The vocabulary has every event, member and value of this QEMU.".to_owned());
        } else {
            lines.push("This QEMU has what the vocabulary lacks:".to_owned());
        }
        lines.extend(lacks.iter().map(|lack| format!("  {lack}")));
        if !absent.is_empty() {
            lines.push("The vocabulary has what this QEMU does not, as expected:".to_owned());
        }
        lines.extend(absent.iter().map(|absent| format!("  {absent}")));
        let lines: Vec<_> = lines.iter().map(|line| visible(line)).collect();
        lines.join("\n") + "\n"
    }

    /// One JSON object on one line.
    pub(super) fn json(&self) -> String {
        let (lacks, absent): (Vec<_>, Vec<_>) = self
            .differences
            .iter()
            .partition(|difference| difference.is_lack());
        let list = |differences: Vec<&Difference>| -> Value {
            differences.into_iter().map(object).collect()
        };
        let report = json!({
            "monitor": self.monitor,
            "qemu": {"version": self.version, "package": self.package},
            "events": self.events,
            "lacking": list(lacks),
            "absent": list(absent),
        });
        visible_json(&report.to_string()).into_owned() + "\n"
    }
}

fn object(difference: &Difference) -> Value {
    let mut object = Map::new();
    object.insert("event".to_owned(), json!(difference.event));
    if let Some(member) = &difference.member {
        object.insert("member".to_owned(), json!(member));
    }
    if let Some(value) = &difference.value {
        object.insert("value".to_owned(), json!(value));
    }
    object.insert("why".to_owned(), json!(difference.kind.to_string()));
    Value::Object(object)
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.event)?;
        if let Some(member) = &self.member {
            write!(f, ".{member}")?;
        }
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        write!(f, ": {}", self.kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lacking => f.write_str("not in the vocabulary"),
            Self::Differs(how) => f.write_str(how),
            Self::Absent(Why::Since(version)) => write!(f, "since {version}"),
            Self::Absent(Why::Removed(version)) => write!(f, "removed in {version}"),
            Self::Absent(Why::NotInThisBuild) => f.write_str("not in this build"),
        }
    }
}
