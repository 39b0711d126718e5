//! Which records are wanted: names by glob, time by bounds, the rest by an expression.

use std::sync::Arc;

use clap::Args;
use globset::{GlobBuilder, GlobMatcher};
use jiff::tz::TimeZone;
use thiserror::Error;

use crate::record::Record;
use crate::time::{self, TimeError};

mod expression;

pub use expression::{Expression, ExpressionError};

/// Longest `--where` accepted, in bytes of UTF-8: above what a person writes. Parser and
/// interpreter of CEL recurse once per operator of a chain, so twice this would exhaust a thread's
/// stack of 2 MiB.
pub const EXPRESSION_MAX_BYTES: usize = 2048;

/// The options that choose records, the same in every command that prints them.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filter")]
pub struct FilterArgs {
    /// Only these events: names or globs, comma-separated or repeated; `!GLOB` leaves out
    ///
    /// Upper and lower case are the same. `--event 'BLOCK_*,STOP'` takes STOP and all events of the
    /// block layer, `--event '!RTC_CHANGE'` everything but RTC_CHANGE. The recorder's own notes are
    /// called attached, detached, gap and state.
    #[arg(long, short = 'e', value_name = "GLOB")]
    pub event: Vec<String>,

    /// Only these machines: names or globs, comma-separated or repeated; `!GLOB` leaves out
    #[arg(long, short = 'm', value_name = "GLOB")]
    pub machine: Vec<String>,

    /// Only records for which this CEL expression is true
    ///
    /// Names: event, machine, data, seq, run, origin, time and received (RFC 3339 text in UTC, so
    /// they compare as text), timestamp.seconds, timestamp.microseconds. A member with a hyphen is
    /// written data["node-name"]. Where the expression cannot be evaluated for a record, because a
    /// member is missing or of another type, the record does not match; test with has(data.x) if
    /// you need the opposite. Example: --where 'event == "JOB_STATUS_CHANGE" && data.status in
    /// ["concluded", "null"]'
    #[arg(long = "where", value_name = "EXPR", allow_hyphen_values = true)]
    pub expression: Option<String>,
}

/// The options that bound time.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filter")]
pub struct TimeArgs {
    /// Only records from this moment on: 2026-01-31T12:00:00Z, "2026-01-31 12:00", 12:00, 15m, "2h
    /// ago", today
    ///
    /// The time is the event's own (QEMU's stamp). Without a zone it is local time, or UTC with
    /// --utc.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,

    /// Only records before this moment; written as --since
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// An option that chooses records and cannot be used.
#[derive(Debug, Error)]
pub enum FilterError {
    /// A glob that does not parse.
    #[error("`{glob}` is no glob: {reason}")]
    Glob {
        /// As written.
        glob: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An expression that does not compile.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// A bound that is no time.
    #[error(transparent)]
    Time(#[from] TimeError),
}

/// Decides whether a [`Record`] is wanted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    events: Globs,
    machines: Globs,
    expression: Option<Arc<Expression>>,
    since_us: Option<i64>,
    until_us: Option<i64>,
}

impl Filter {
    /// Builds a filter without time bounds.
    ///
    /// # Errors
    /// When a glob or the expression is malformed; the message shows where.
    pub fn new(args: &FilterArgs) -> Result<Self, FilterError> {
        Ok(Self {
            events: Globs::new(&args.event, Case::Ignored)?,
            machines: Globs::new(&args.machine, Case::Matters)?,
            expression: match &args.expression {
                Some(source) => Some(Arc::new(Expression::compile(source)?)),
                None => None,
            },
            since_us: None,
            until_us: None,
        })
    }

    /// Adds time bounds; `now_us` (microseconds since 1970) and `zone` are what `15m` and `12:00`
    /// refer to.
    ///
    /// # Errors
    /// When a bound is no time.
    pub fn bounded(
        mut self,
        args: &TimeArgs,
        now_us: i64,
        zone: &TimeZone,
    ) -> Result<Self, FilterError> {
        let read = |text: &Option<String>| {
            text.as_deref()
                .map(|text| time::parse_moment(text, now_us, zone))
                .transpose()
        };
        self.since_us = read(&args.since)?;
        self.until_us = read(&args.until)?;
        Ok(self)
    }

    /// Whether the record passes every option.
    pub fn matches(&self, record: &Record) -> bool {
        self.is_in_time(record)
            && self.events.matches(&record.name)
            && self.machines.matches(&record.machine)
            && self
                .expression
                .as_ref()
                .is_none_or(|expression| expression.matches(record))
    }

    /// Whether the name of an event or a note passes `--event`.
    pub fn matches_event(&self, name: &str) -> bool {
        self.events.matches(name)
    }

    /// Whether the name of a machine passes `--machine`.
    pub fn matches_machine(&self, name: &str) -> bool {
        self.machines.matches(name)
    }

    /// Whether a gap is to be shown. It may hide anything, so only its machine, its time and an
    /// explicit `--event '!gap'` count.
    pub fn matches_gap(&self, record: &Record) -> bool {
        self.is_in_time(record)
            && self.machines.matches(&record.machine)
            && !self.events.refuses(&record.name)
    }

    /// First moment wanted, microseconds since 1970, inclusive.
    pub fn since_us(&self) -> Option<i64> {
        self.since_us
    }

    /// First moment not wanted any more, microseconds since 1970.
    pub fn until_us(&self) -> Option<i64> {
        self.until_us
    }

    fn is_in_time(&self, record: &Record) -> bool {
        let time_us = record.time_us();
        self.since_us.is_none_or(|since| time_us >= since)
            && self.until_us.is_none_or(|until| time_us < until)
    }

    /// Whether every record passes.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.machines.is_empty()
            && self.expression.is_none()
            && self.since_us.is_none()
            && self.until_us.is_none()
    }
}

/// Whether a glob takes `stop` for `STOP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Letters must be the same.
    Matters,
    /// Upper and lower case are the same.
    Ignored,
}

/// Globs on one name: any of the wanted ones (all, if none is given), none of the refused
/// (`!GLOB`).
#[derive(Clone, Debug, Default)]
pub struct Globs {
    wanted: Vec<GlobMatcher>,
    refused: Vec<GlobMatcher>,
}

impl Globs {
    /// Reads globs; each text may hold several, separated by commas outside braces.
    ///
    /// # Errors
    /// When one does not parse.
    pub fn new(texts: &[String], case: Case) -> Result<Self, FilterError> {
        let mut globs = Self::default();
        for text in texts.iter().flat_map(|text| split_list(text)) {
            match text.strip_prefix('!') {
                Some(glob) => globs.refused.push(matcher(glob, case)?),
                None => globs.wanted.push(matcher(text, case)?),
            }
        }
        Ok(globs)
    }

    /// Whether the name passes.
    pub fn matches(&self, name: &str) -> bool {
        let is_wanted = self.wanted.iter().any(|glob| glob.is_match(name));
        (self.wanted.is_empty() || is_wanted) && !self.refuses(name)
    }

    /// Whether the name is left out explicitly (`!GLOB`).
    pub fn refuses(&self, name: &str) -> bool {
        self.refused.iter().any(|glob| glob.is_match(name))
    }

    /// Whether every name passes.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.refused.is_empty()
    }
}

/// Splits `A,B_{C,D},!E` at the commas outside braces; empty parts are dropped.
pub fn split_list(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts.iter().map(|part| part.trim()).collect()
}

fn matcher(glob: &str, case: Case) -> Result<GlobMatcher, FilterError> {
    let built = GlobBuilder::new(glob)
        .case_insensitive(case == Case::Ignored)
        .literal_separator(false)
        .build();
    match built {
        Ok(glob) => Ok(glob.compile_matcher()),
        Err(error) => Err(FilterError::Glob {
            glob: glob.to_owned(),
            reason: error.kind().to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use qmp_events::Timestamp;

    use super::*;
    use crate::record::Origin;

    fn record(name: &str, machine: &str) -> Record {
        Record {
            seq: None,
            machine: machine.to_owned(),
            run: None,
            origin: Origin::Qemu,
            name: name.to_owned(),
            timestamp: Some(Timestamp {
                seconds: 10,
                microseconds: 0,
            }),
            received_us: 10_500_000,
            data: None,
        }
    }

    fn globs(texts: &[&str]) -> Globs {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        Globs::new(&texts, Case::Ignored).expect("globs that parse")
    }

    #[test]
    fn globs_join_and_refuse() {
        let wanted = globs(&["BLOCK_*,STOP", "job_{a,STATUS}_*"]);
        for name in ["BLOCK_IO_ERROR", "STOP", "JOB_STATUS_CHANGE"] {
            assert!(wanted.matches(name), "{name}");
        }
        assert!(!wanted.matches("STOPPED") && !wanted.matches("RESUME"));
        let refused = globs(&["!RTC_CHANGE"]);
        assert!(refused.matches("STOP") && !refused.matches("RTC_CHANGE"));
        assert!(globs(&[""]).is_empty());
    }

    #[test]
    fn a_bad_glob_is_named() {
        let error = Globs::new(&["BLOCK_[".to_owned()], Case::Ignored).expect_err("no glob");
        assert!(
            error.to_string().starts_with("`BLOCK_[` is no glob: "),
            "{error}"
        );
    }

    #[test]
    fn machine_names_keep_their_case_and_may_hold_slashes() {
        let filter = Filter::new(&FilterArgs {
            machine: vec!["lab*".to_owned()],
            ..FilterArgs::default()
        })
        .expect("a filter");
        assert!(filter.matches(&record("STOP", "lab/web1")));
        assert!(!filter.matches(&record("STOP", "Lab1")));
    }

    #[test]
    fn bounds_are_half_open_and_use_qemus_stamp() {
        let bound = |since: Option<&str>, until: Option<&str>| {
            let args = TimeArgs {
                since: since.map(str::to_owned),
                until: until.map(str::to_owned),
            };
            let filter = Filter::default().bounded(&args, 0, &TimeZone::UTC);
            filter.expect("bounds").matches(&record("STOP", "m"))
        };
        assert!(bound(Some("1970-01-01T00:00:10Z"), None));
        assert!(!bound(Some("1970-01-01T00:00:10.1Z"), None));
        assert!(!bound(None, Some("1970-01-01T00:00:10Z")));
        assert!(bound(None, Some("1970-01-01T00:00:10.1Z")));
    }
}
