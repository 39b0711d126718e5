//! Scenarios: what an emulated machine is and what happens to it, as a TOML file.
//!
//! The form is documented in `docs/emulate.md`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use qmp_monitor::{CommandError, CommandResult, ErrorClass, Object, Value};
use serde::Deserialize;
use serde_json::Value as Json;
use thiserror::Error;
use toml::Spanned;

use super::commands::BUILT_IN;
use super::deed::{Deed, DeedError, Parameters, plain, wrong};
use super::machine::MachineSettings;
use super::timeline::{Repeat, Sequence, Timeline};
use crate::limits::LOOP_MIN;
use crate::time;

/// A scenario.
#[derive(Debug, Default)]
pub struct Scenario {
    /// What the machine is.
    pub machine: MachineSettings,
    /// It does not run yet when the first client comes.
    pub paused: bool,
    /// What happens when.
    pub timeline: Timeline,
    /// What happens at each command of this name.
    pub on_command: BTreeMap<String, Vec<Arc<Sequence>>>,
    /// Commands with given answers.
    pub answers: BTreeMap<String, CommandResult>,
    /// Faults, as with `--fault`.
    pub faults: Vec<String>,
}

/// A scenario that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScenarioError {
    /// It is no TOML, or has other keys or values than it may have; line, column and what would be
    /// right, several lines.
    #[error("{0}")]
    Toml(String),
    /// Something in it makes no sense.
    #[error("line {line}, column {column}: {message}")]
    Meaning {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What is wrong, and what would be right.
        message: String,
    },
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    machine: MachineKeys,
    #[serde(default)]
    step: Vec<Spanned<Keys>>,
    #[serde(default)]
    command: Vec<Spanned<CommandKeys>>,
    #[serde(default)]
    faults: Vec<String>,
}

/// Keys and values of a step; which ones belong there depends on the action.
type Keys = BTreeMap<String, Spanned<toml::Value>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MachineKeys {
    name: Option<String>,
    uuid: Option<String>,
    version: Option<String>,
    package: Option<String>,
    disks: Option<Vec<String>>,
    ports: Option<Vec<String>>,
    memory: Option<i64>,
    spice: Option<bool>,
    #[serde(default)]
    paused: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandKeys {
    name: String,
    #[serde(rename = "return")]
    returns: Option<toml::Value>,
    error: Option<String>,
    class: Option<String>,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// With line and column, if anything in it is not understood.
    pub fn read(text: &str) -> Result<Self, ScenarioError> {
        let file: File = toml::from_str(text)
            .map_err(|error| ScenarioError::Toml(error.to_string().trim_end().to_owned()))?;
        let mut scenario = Self {
            paused: file.machine.paused,
            machine: file.machine.settings(),
            faults: file.faults,
            ..Self::default()
        };
        for command in file.command {
            let span = command.span();
            let command = command.into_inner();
            let name = command.name.clone();
            let answer = command.answer();
            let answer = answer.map_err(|message| meaning(text, &span, message))?;
            scenario.answers.insert(name, answer);
        }
        let mut last = Duration::ZERO;
        for step in file.step {
            scenario.step(text, step, &mut last)?;
        }
        Ok(scenario)
    }

    /// Takes one step; `last` is when the timed step before begins.
    fn step(
        &mut self,
        text: &str,
        step: Spanned<Keys>,
        last: &mut Duration,
    ) -> Result<(), ScenarioError> {
        let whole = step.span();
        let keys = step.into_inner();
        let spans: BTreeMap<String, Range<usize>> = keys
            .iter()
            .map(|(key, value)| (key.clone(), value.span()))
            .collect();
        let place = |error: DeedError| {
            let span = error.key.as_ref().and_then(|key| spans.get(key));
            meaning(text, span.unwrap_or(&whole), error.message)
        };
        let mut keys = parameters(keys);
        let at = duration(&mut keys, "at").map_err(place)?;
        let after = duration(&mut keys, "after").map_err(place)?;
        let on = keys.text("on").map_err(place)?;
        let repeat = repeat(&mut keys).map_err(place)?;
        let deeds = deeds(keys).map_err(place)?;
        let Some(command) = on else {
            *last = match (at, after) {
                (Some(at), None) => at,
                (None, after) => *last + after.unwrap_or_default(),
                (Some(_), Some(_)) => {
                    let error = wrong("after", "write either `at` or `after`".to_owned());
                    return Err(place(error));
                }
            };
            self.timeline
                .add(*last, Arc::new(Sequence { deeds, repeat }));
            return Ok(());
        };
        if BUILT_IN.contains(&command.as_str()) {
            let error =
                format!("`{command}` is answered by the monitor itself: no step can follow");
            return Err(place(wrong("on", error)));
        }
        if at.is_some() {
            let error = "a step on a command has no time: write `after` to delay it";
            return Err(place(wrong("at", error.to_owned())));
        }
        let delay = after.unwrap_or_default();
        let deeds = deeds.into_iter().map(|(at, deed)| (at + delay, deed));
        let sequence = Sequence {
            deeds: deeds.collect(),
            repeat,
        };
        let steps = self.on_command.entry(command).or_default();
        steps.push(Arc::new(sequence));
        Ok(())
    }
}

impl MachineKeys {
    fn settings(self) -> MachineSettings {
        let usual = MachineSettings::default();
        MachineSettings {
            name: self.name.unwrap_or(usual.name),
            uuid: self.uuid.unwrap_or(usual.uuid),
            version: self.version.unwrap_or(usual.version),
            package: self.package.unwrap_or(usual.package),
            disks: self.disks.unwrap_or(usual.disks),
            ports: self.ports.unwrap_or(usual.ports),
            memory: self.memory.unwrap_or(usual.memory),
            spice: self.spice.unwrap_or(usual.spice),
        }
    }
}

impl CommandKeys {
    fn answer(self) -> Result<CommandResult, String> {
        match (self.returns, self.error) {
            (Some(_), Some(_)) => Err("write either `return` or `error`".to_owned()),
            (None, Some(desc)) => Ok(Err(CommandError {
                class: ErrorClass::from(self.class.as_deref().unwrap_or("GenericError")),
                desc,
            })),
            (_, None) if self.class.is_some() => Err("`class` belongs to an `error`".to_owned()),
            (None, None) => Ok(Ok(Object::new().into())),
            (Some(value), None) => Ok(Ok(Value::from(json(&value)))),
        }
    }
}

/// What is done in a step: one deed, or those of `do`, each with `after` the one before.
fn deeds(mut keys: Parameters) -> Result<Vec<(Duration, Deed)>, DeedError> {
    let Some(list) = keys.0.remove("do") else {
        return Ok(vec![(Duration::ZERO, Deed::read(keys)?)]);
    };
    if let Some(key) = keys.0.keys().next() {
        let message = format!("`{key}` belongs into a deed of `do`");
        return Err(wrong(key, message));
    }
    let in_list = |message| wrong("do", message);
    let Json::Array(list) = list else {
        return Err(in_list("`do` is a list of deeds".to_owned()));
    };
    let mut at = Duration::ZERO;
    let mut deeds = Vec::new();
    for (number, deed) in (1..).zip(list) {
        let Json::Object(members) = deed else {
            return Err(in_list(format!("deed {number} is no table")));
        };
        let mut keys = Parameters(members.into_iter().collect());
        let nth = |error: DeedError| in_list(format!("deed {number}: {}", error.message));
        at += duration(&mut keys, "after")
            .map_err(nth)?
            .unwrap_or_default();
        deeds.push((at, Deed::read(keys).map_err(nth)?));
    }
    Ok(deeds)
}

fn repeat(keys: &mut Parameters) -> Result<Option<Repeat>, DeedError> {
    let every = duration(keys, "every")?;
    let times = match keys.number("times")? {
        None => None,
        Some(times) => Some(
            u32::try_from(times)
                .map_err(|_| wrong("times", format!("a loop cannot be done {times} times")))?,
        ),
    };
    match (every, times) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(plain("`times` needs `every`".to_owned())),
        (Some(every), _) if every < LOOP_MIN => {
            let message = format!("a loop takes at least {} ms", LOOP_MIN.as_millis());
            Err(wrong("every", message))
        }
        (Some(every), times) => Ok(Some(Repeat { every, times })),
    }
}

/// A time: `"1.5s"`, `"200ms"`, or a number of seconds.
fn duration(keys: &mut Parameters, key: &str) -> Result<Option<Duration>, DeedError> {
    let text = match keys.0.remove(key) {
        None => return Ok(None),
        Some(Json::String(text)) => text,
        Some(other) => other.to_string(),
    };
    let duration = time::parse_duration(&text);
    duration
        .map(Some)
        .map_err(|error| wrong(key, error.to_string()))
}

fn parameters(keys: Keys) -> Parameters {
    let plain = keys
        .into_iter()
        .map(|(key, value)| (key, json(value.get_ref())));
    Parameters(plain.collect())
}

/// TOML's values as JSON; moments become text.
fn json(value: &toml::Value) -> Json {
    match value {
        toml::Value::String(text) => Json::from(text.as_str()),
        toml::Value::Integer(number) => Json::from(*number),
        toml::Value::Float(number) => Json::from(*number),
        toml::Value::Boolean(truth) => Json::from(*truth),
        toml::Value::Datetime(moment) => Json::from(moment.to_string()),
        toml::Value::Array(values) => values.iter().map(json).collect(),
        toml::Value::Table(members) => {
            let members = members
                .iter()
                .map(|(key, value)| (key.clone(), json(value)));
            Json::Object(members.collect())
        }
    }
}

fn meaning(text: &str, span: &Range<usize>, message: String) -> ScenarioError {
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let column = before.get(line_start..).unwrap_or("").chars().count() + 1;
    ScenarioError::Meaning {
        line: before.matches('\n').count() + 1,
        column,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Scenario::read(text).expect_err(text).to_string()
    }

    #[test]
    fn an_empty_scenario_is_a_machine_that_runs() {
        let scenario = Scenario::read("").expect("a scenario");
        assert_eq!(scenario.machine, MachineSettings::default());
        assert!(!scenario.paused && scenario.timeline.next_at().is_none());
    }

    #[test]
    fn steps_follow_one_another() {
        let scenario = Scenario::read(
            "[[step]]\nat = 2\naction = \"stop\"\n\
             [[step]]\nafter = \"500ms\"\naction = \"continue\"\n\
             [[step]]\non = \"x\"\nafter = 1\nevent = \"A\"\n",
        );
        let mut scenario = scenario.expect("a scenario");
        let second = Duration::from_secs(1);
        assert_eq!(scenario.timeline.next_at(), Some(second * 2));
        assert!(scenario.timeline.pop_due(second * 2).is_some());
        assert_eq!(scenario.timeline.next_at(), Some(second * 5 / 2));
        assert_eq!(scenario.on_command["x"][0].deeds[0].0, second);
    }

    #[test]
    fn slips_are_told_with_their_place() {
        for (text, expected) in [
            ("[machine]\nnam = 1\n", "line 2, column 1"),
            (
                "[[step]]\nat = 1\naction = \"dance\"\n",
                "line 3, column 10: there is no action",
            ),
            (
                "[[step]]\nat = 1\naction = \"stop\"\ndisk = 1\n",
                "line 4, column 8: `disk` means",
            ),
            (
                "\n[[step]]\nat = 1\n",
                "line 2, column 1: write either `action` or `event`",
            ),
            (
                "[[step]]\nat = \"soon\"\nevent = \"A\"\n",
                "line 2, column 6: `soon` is no duration",
            ),
            (
                "[[step]]\nat = 1\nafter = 1\nevent = \"A\"\n",
                "column 9: write either `at`",
            ),
            (
                "[[step]]\non = \"x\"\nat = 1\nevent = \"A\"\n",
                "has no time",
            ),
            (
                "[[step]]\ntimes = 3\nevent = \"A\"\n",
                "`times` needs `every`",
            ),
            ("[[step]]\nevery = 0\nevent = \"A\"\n", "at least 1 ms"),
            (
                "[[step]]\ndo = [{action = \"x\"}]\n",
                "deed 1: there is no action `x`",
            ),
            (
                "[[step]]\nevent = \"A\"\ndo = []\n",
                "line 2, column 9: `event` belongs into",
            ),
            (
                "[[command]]\nname = \"x\"\nreturn = 1\nerror = \"y\"\n",
                "line 1, column 1: write",
            ),
            ("[[stepp]]\n", "unknown field `stepp`"),
        ] {
            let error = refused(text);
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }
}
