//! What is waited for, and whether it is so.

use thiserror::Error;

use crate::filter::{Filter, FilterArgs, FilterError};
use crate::machine::{Job, Mark, Outcome, RunState, State};
use crate::record::Record;

/// Several things, any of which ends the wait.
#[derive(Debug)]
pub(super) struct Conditions {
    /// Events by name, if any were named.
    events: Option<Filter>,
    /// Their names.
    names: Vec<String>,
    states: Vec<Condition>,
    /// As they were given.
    texts: Vec<String>,
}

/// One thing that is so or not, whether or not it was watched becoming so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// The machine is in this state.
    Run(RunState),
    /// A job has come to this status.
    Job { id: String, status: String },
    /// A device is removed.
    DeviceDeleted { id: String },
    /// The last migration has come to this status.
    Migration { status: String },
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not so, and may still become so.
    Open,
    /// So, since this record.
    Met(Mark),
    /// It cannot become so any more.
    Never {
        /// Why, in words.
        why: String,
        /// A job failed and nothing has told why yet: QEMU may know more.
        unexplained: bool,
    },
}

/// Why a text is no condition.
#[derive(Debug, Error)]
pub(super) enum ConditionError {
    #[error(
        "`{0}` is no condition: write job:ID, job:ID=STATUS, device-deleted:ID, migration=STATUS, a state ({STATES}) or the name of an event"
    )]
    Form(String),
    #[error("`{0}` is no status of a job: QEMU's are {JOB_STATES}")]
    JobStatus(String),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error("--where is about events, and none is waited for")]
    WhereWithoutEvent,
}

const STATES: &str = "running, paused, suspended, panicked, shutdown, gone";
const JOB_STATES: &str =
    "created, running, paused, ready, standby, waiting, pending, aborting, concluded, null";

impl Conditions {
    /// Reads what is on the command line; `expression` is about the events.
    pub(super) fn new(texts: &[String], expression: Option<&str>) -> Result<Self, ConditionError> {
        let mut states = Vec::new();
        let mut events = Vec::new();
        for text in texts
            .iter()
            .flat_map(|text| crate::filter::split_list(text))
        {
            match Condition::read(text)? {
                Some(condition) => states.push(condition),
                None => events.push(text.to_owned()),
            }
        }
        if events.is_empty() && expression.is_some() {
            return Err(ConditionError::WhereWithoutEvent);
        }
        let filter = || {
            Filter::new(&FilterArgs {
                event: events.clone(),
                expression: expression.map(str::to_owned),
                ..FilterArgs::default()
            })
        };
        Ok(Self {
            events: (!events.is_empty()).then(filter).transpose()?,
            names: events,
            states,
            texts: texts.to_vec(),
        })
    }

    /// The names of the events.
    pub(super) fn events(&self) -> &[String] {
        &self.names
    }

    /// Whether anything but events is waited for, so that the state matters.
    pub(super) fn need_state(&self) -> bool {
        !self.states.is_empty()
    }

    /// Devices whose removal is waited for.
    pub(super) fn devices(&self) -> impl Iterator<Item = &str> {
        self.states.iter().filter_map(|condition| match condition {
            Condition::DeviceDeleted { id } => Some(id.as_str()),
            _ => None,
        })
    }

    /// Jobs that are waited for.
    pub(super) fn jobs(&self) -> impl Iterator<Item = &str> {
        self.states.iter().filter_map(|condition| match condition {
            Condition::Job { id, .. } => Some(id.as_str()),
            _ => None,
        })
    }

    /// Whether nothing else is waited for.
    pub(super) fn is_only_about_jobs(&self) -> bool {
        let is_job = |condition: &Condition| matches!(condition, Condition::Job { .. });
        self.events.is_none() && self.states.iter().all(is_job)
    }

    /// Whether the end of the process is what is waited for.
    pub(super) fn want_the_end(&self) -> bool {
        let ends = [
            Condition::Run(RunState::Gone),
            Condition::Run(RunState::ShutDown),
        ];
        self.states.iter().any(|condition| ends.contains(condition))
    }

    /// Whether this event is one of those that are waited for.
    pub(super) fn is_met_by(&self, record: &Record) -> bool {
        self.events
            .as_ref()
            .is_some_and(|events| events.matches(record))
    }

    /// How it stands with all that is no event. What is over counts if a record after `after` says so.
    ///
    /// It can only be [`Verdict::Never`] if that holds for all, and no event is waited for.
    pub(super) fn judge(&self, state: &State, after: u64) -> Verdict {
        let mut never = None;
        let mut open = self.events.is_some();
        for condition in &self.states {
            match condition.judge(state, after) {
                Verdict::Open => open = true,
                met @ Verdict::Met(_) => return met,
                verdict @ Verdict::Never { .. } => never = never.or(Some(verdict)),
            }
        }
        match never {
            Some(verdict) if !open => verdict,
            _ => Verdict::Open,
        }
    }

    /// As they were given.
    pub(super) fn text(&self) -> String {
        self.texts.join(", ")
    }
}

impl Condition {
    /// `None` if it is the name of an event.
    fn read(text: &str) -> Result<Option<Self>, ConditionError> {
        let malformed = || ConditionError::Form(text.to_owned());
        let named = |rest: &str| match rest {
            "" => Err(malformed()),
            id => Ok(id.to_owned()),
        };
        if let Some(rest) = text.strip_prefix("job:") {
            let (id, status) = rest.rsplit_once('=').unwrap_or((rest, "concluded"));
            let known = JOB_STATES.split(", ").any(|known| known == status);
            if !known {
                return Err(ConditionError::JobStatus(status.to_owned()));
            }
            return Ok(Some(Self::Job {
                id: named(id)?,
                status: status.to_owned(),
            }));
        }
        if let Some(id) = text.strip_prefix("device-deleted:") {
            return Ok(Some(Self::DeviceDeleted { id: named(id)? }));
        }
        if let Some(status) = text.strip_prefix("migration=") {
            return Ok(Some(Self::Migration {
                status: named(status)?,
            }));
        }
        let state = match text {
            "running" => RunState::Running,
            "paused" => RunState::Paused,
            "suspended" => RunState::Suspended,
            "panicked" => RunState::Panicked,
            "shutdown" => RunState::ShutDown,
            "gone" => RunState::Gone,
            _ if text.contains([':', '=']) => return Err(malformed()),
            _ => return Ok(None),
        };
        Ok(Some(Self::Run(state)))
    }

    fn judge(&self, state: &State, after: u64) -> Verdict {
        let is_new = |mark: &Mark| mark.seq.is_none_or(|seq| seq > after);
        let gone = state.run_state() == RunState::Gone;
        match self {
            Self::Run(wanted) => {
                let is = state.run_state() == *wanted
                    // Off, and QEMU has left as well.
                    || (*wanted == RunState::ShutDown && gone);
                match state.since() {
                    Some(since) if is => Verdict::Met(since.clone()),
                    _ => Verdict::Open,
                }
            }
            Self::Job { id, status } => match state.job(id) {
                Some(job) if is_new(&job.since) => judge_job(job, status, gone),
                _ if gone => never(format!("the machine is gone, and job {id} with it")),
                _ => Verdict::Open,
            },
            Self::DeviceDeleted { id } => match state.removed_device(id) {
                Some(device) if is_new(&device.mark) => Verdict::Met(device.mark.clone()),
                _ if gone => never(format!("the machine is gone, and device {id} with it")),
                _ => Verdict::Open,
            },
            Self::Migration { status } => match state.migration() {
                Some(migration) if is_new(&migration.since) && migration.status == *status => {
                    Verdict::Met(migration.since.clone())
                }
                Some(migration)
                    if is_new(&migration.since)
                        && ["failed", "cancelled", "completed"]
                            .contains(&migration.status.as_str()) =>
                {
                    let told = migration.error.as_ref();
                    let told = told.map_or(String::new(), |error| format!(": {error}"));
                    never(format!("the migration has {}{told}", migration.status))
                }
                _ => Verdict::Open,
            },
        }
    }
}

/// How a job stands to the status that is waited for. `null` is what it becomes in the end.
fn judge_job(job: &Job, wanted: &str, gone: bool) -> Verdict {
    // That it completed is told before it is concluded, and before another can have its id.
    let is_over = ["concluded", "null"].contains(&job.status.as_str());
    let outcome = job
        .outcome
        .filter(|outcome| is_over || *outcome == Outcome::Unheard);
    if job.status == wanted && wanted != "concluded" {
        return Verdict::Met(job.since.clone());
    }
    let id = &job.id;
    let Some(outcome) = outcome else {
        return match gone {
            true => never(format!("the machine is gone, and job {id} with it")),
            false => Verdict::Open,
        };
    };
    match (outcome, wanted) {
        // It will be dismissed, by itself or by somebody.
        (_, "null") if job.status != "null" => Verdict::Open,
        (_, "null") | (Outcome::Completed, "concluded") => Verdict::Met(job.since.clone()),
        (Outcome::Completed, _) => never(format!("job {id} is over, and was not {wanted}")),
        (Outcome::Unheard, _) => never(format!(
            "job {id} ended while nobody was listening: how is not known"
        )),
        (outcome, _) => {
            let told = job
                .error
                .as_ref()
                .map_or(String::new(), |error| format!(": {error}"));
            Verdict::Never {
                why: format!("job {id} {}{told}", ended(outcome)),
                unexplained: job.error.is_none() && outcome == Outcome::Aborted,
            }
        }
    }
}

fn ended(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Cancelled => "was cancelled",
        Outcome::Aborted => "failed or was cancelled",
        _ => "failed",
    }
}

fn never(why: String) -> Verdict {
    Verdict::Never {
        why,
        unexplained: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(lines: &[&str]) -> State {
        let mut state = State::default();
        for (line, seq) in lines.iter().zip(1..) {
            let (name, data) = line.split_once(' ').unwrap_or((line, ""));
            let ours = name.starts_with(|c: char| c.is_ascii_lowercase());
            state.apply(&Record {
                seq: Some(seq),
                machine: "web".to_owned(),
                run: Some(1),
                origin: match ours {
                    true => crate::record::Origin::Qwatch,
                    false => crate::record::Origin::Qemu,
                },
                name: name.to_owned(),
                timestamp: None,
                received_us: 0,
                data: (!data.is_empty()).then(|| data.to_owned()),
            });
        }
        state
    }

    /// `met at N`, `open`, or why never.
    #[track_caller]
    fn check(conditions: &[&str], after: u64, lines: &[&str], expected: &str) {
        let texts: Vec<String> = conditions.iter().map(|text| (*text).to_owned()).collect();
        let conditions = Conditions::new(&texts, None).expect("conditions");
        let said = match conditions.judge(&state(lines), after) {
            Verdict::Open => "open".to_owned(),
            Verdict::Met(mark) => format!("met at {}", mark.seq.unwrap_or(0)),
            Verdict::Never { why, unexplained } if unexplained => format!("{why}?"),
            Verdict::Never { why, .. } => why,
        };
        assert_eq!(said, expected);
    }

    const CREATED: &str = r#"JOB_STATUS_CHANGE {"id": "b", "status": "created"}"#;
    const ABORTING: &str = r#"JOB_STATUS_CHANGE {"id": "b", "status": "aborting"}"#;
    const CONCLUDED: &str = r#"JOB_STATUS_CHANGE {"id": "b", "status": "concluded"}"#;
    const NULL: &str = r#"JOB_STATUS_CHANGE {"id": "b", "status": "null"}"#;
    const DONE: &str = r#"BLOCK_JOB_COMPLETED {"device": "b", "type": "backup", "len": 1, "offset": 1, "speed": 0}"#;
    const FAILED: &str = r#"BLOCK_JOB_COMPLETED {"device": "b", "type": "backup", "len": 1, "offset": 0, "speed": 0, "error": "EIO"}"#;
    const ENDED: &str = r#"detached {"reason": "eof", "ended": "exited"}"#;

    #[test]
    fn a_job_is_over_when_it_is_concluded_and_not_before() {
        check(&["job:b"], 0, &[CREATED], "open");
        check(&["job:b"], 0, &[CREATED, DONE], "open");
        check(&["job:b"], 0, &[CREATED, DONE, CONCLUDED], "met at 3");
        check(&["job:b"], 0, &[CREATED, DONE, CONCLUDED, NULL], "met at 4");
        check(
            &["job:b"],
            0,
            &[CREATED, ABORTING, FAILED, CONCLUDED],
            "job b failed: EIO",
        );
        check(
            &["job:b"],
            0,
            &[CREATED, ABORTING, CONCLUDED],
            "job b failed or was cancelled?",
        );
        check(&["job:b=null"], 0, &[CREATED, ABORTING, CONCLUDED], "open");
        check(
            &["job:b=ready"],
            0,
            &[CREATED, DONE, CONCLUDED],
            "job b is over, and was not ready",
        );
        check(
            &["job:b"],
            0,
            &[CREATED, ENDED],
            "the machine is gone, and job b with it",
        );
        check(
            &["job:c", "job:b"],
            0,
            &[CREATED, DONE, CONCLUDED],
            "met at 3",
        );
        check(
            &["job:c", "job:b"],
            0,
            &[CREATED, ABORTING, FAILED, CONCLUDED],
            "open",
        );
    }

    #[test]
    fn what_is_old_does_not_count_if_it_is_said_so() {
        check(&["job:b"], 3, &[CREATED, DONE, CONCLUDED], "open");
        check(
            &["job:b"],
            3,
            &[CREATED, DONE, CONCLUDED, CREATED, DONE, CONCLUDED],
            "met at 6",
        );
        let deleted = r#"DEVICE_DELETED {"device": "net0", "path": "/machine/peripheral/net0"}"#;
        check(&["device-deleted:net0"], 0, &[deleted], "met at 1");
        check(&["device-deleted:net0"], 1, &[deleted], "open");
    }

    #[test]
    fn states_are_those_of_status() {
        check(&["paused"], 0, &["RESUME", "STOP"], "met at 2");
        check(&["paused"], 0, &["STOP", "RESUME"], "open");
        check(&["shutdown"], 0, &["RESUME", ENDED], "met at 2");
        check(&["gone", "STOP"], 0, &["RESUME"], "open");
    }

    #[test]
    fn a_job_may_have_any_name() {
        let condition = Condition::read("job:a=b=ready").expect("a condition");
        let expected = Condition::Job {
            id: "a=b".to_owned(),
            status: "ready".to_owned(),
        };
        assert_eq!(condition, Some(expected));
        assert_eq!(Condition::read("STOP").expect("an event"), None);
    }
}
