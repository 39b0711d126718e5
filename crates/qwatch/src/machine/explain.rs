//! From facts to causes: the rules applied to a state.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::fact::{Fact, Mark, Unheard};
use super::jobs::{Job, Outcome};
use super::rules::{self, Rule, RuleId};
use super::run::{Effect, Pause, RunState, Turn};
use super::{Disk, State};
use crate::limits::{CHAIN_MAX, HIDING_WINDOW_US, MERGE_WINDOW_US};
use crate::output::escape::visible;
use crate::time::human_duration_us;

/// How sure an explanation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// The records do not tell.
    Unknown,
    /// The records fit, and would fit something else too.
    Likely,
    /// The records leave no other explanation.
    Certain,
}

impl Certainty {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}

/// Why something is as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Which cause.
    pub id: RuleId,
    /// How sure that is.
    pub certainty: Certainty,
    /// What it is about: a disk, a job, a device.
    pub subject: Option<String>,
    /// The records that led there, by the time they happened.
    pub chain: Vec<Mark>,
    /// What else there is to say about this case; safe to print.
    pub remarks: Vec<String>,
    /// The time unheard in which the proof is, if there is one.
    pub unheard: Option<Unheard>,
}

impl Cause {
    fn new(id: RuleId, certainty: Certainty, chain: Vec<Mark>) -> Self {
        Self {
            id,
            certainty,
            subject: None,
            chain,
            remarks: Vec::new(),
            unheard: None,
        }
    }

    /// Everything that is known about such a cause.
    pub fn rule(&self) -> &'static Rule {
        self.id.rule()
    }

    fn about(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }

    fn remark(mut self, text: impl Into<String>) -> Self {
        self.remarks.push(text.into());
        self
    }
}

impl State {
    /// Why it is in the state it is in; `None` if nothing is known of it.
    pub fn cause(&self) -> Option<Cause> {
        let turn = self.turn.as_ref()?;
        let mut cause = self.judge(turn);
        if cause.id == RuleId::NoShutdown
            && let Some(shutdown) = &self.shutdown
        {
            let by = judge(shutdown);
            cause = cause.remark(format!(
                "Switched off: {} ({}).",
                by.rule().title,
                by.certainty.word()
            ));
        }
        if self.run == RunState::Panicked || cause.id == RuleId::PanicShutdown {
            let told = self.panic.iter().flat_map(|panic| &panic.told);
            cause.remarks.extend(told.cloned());
        }
        if turn.effect == Effect::End {
            cause.remarks.extend(what_is_left(&turn.what));
        }
        if cause.unheard.is_none() && cause.certainty == Certainty::Unknown {
            let from_us = turn.time_us().saturating_sub(HIDING_WINDOW_US);
            let last = self.unheard.last().filter(|gap| gap.until_us >= from_us);
            cause.unheard = last.cloned();
        }
        Some(cause)
    }

    /// Who reset it last.
    pub fn reset_cause(&self) -> Option<Cause> {
        self.reset.as_ref().map(judge)
    }

    /// The last stops that are over, oldest first: why, and the event after which it ran again.
    pub fn past_stops(&self) -> impl Iterator<Item = (Cause, &Mark)> {
        let pauses = self.pauses.iter();
        pauses.map(|Pause { stop, end }| (self.judge(stop), end))
    }

    /// What else there is to know: jobs that failed or wait, devices the guest would not let go, damaged
    /// images and memory, a migration that failed.
    pub fn findings(&self) -> Vec<Cause> {
        let mut found: Vec<Cause> = self.jobs().filter_map(job_finding).collect();
        let certain = |id, mark: &Mark| Cause::new(id, Certainty::Certain, vec![mark.clone()]);
        for device in self.refused_devices() {
            found.push(certain(RuleId::UnplugRefused, &device.mark).about(device.name()));
        }
        for disk in self.disks() {
            if let Some(mark) = &disk.corrupted {
                found.push(certain(RuleId::ImageCorrupted, mark).about(disk.name()));
            }
        }
        if let Some(mark) = &self.memory.failure {
            let count = self.memory.failures;
            let cause = certain(RuleId::MemoryFailure, mark);
            found.push(if count > 1 {
                cause.remark(format!("{count} of them were told."))
            } else {
                cause
            });
        }
        if let Some(migration) = &self.migration {
            let id = match migration.status.as_str() {
                "failed" => Some(RuleId::MigrationFailed),
                "postcopy-paused" => Some(RuleId::PostcopyPaused),
                _ => None,
            };
            if let Some(id) = id {
                let error = migration.error.as_deref().map(visible);
                let mut cause = certain(id, &migration.since);
                cause.remarks.extend(error.map(Cow::into_owned));
                found.push(cause);
            }
        }
        found.extend(self.panic_finding());
        found
    }

    /// A panic after which the guest was left to itself.
    fn panic_finding(&self) -> Option<Cause> {
        let panic = self.panic.as_ref().filter(|panic| panic.action == "run")?;
        let is_over = self
            .reset
            .as_ref()
            .is_some_and(|reset| reset.time_us() >= panic.mark.time_us);
        if is_over || matches!(self.run, RunState::Gone | RunState::ShutDown) {
            return None;
        }
        let mut cause = Cause::new(
            RuleId::PanicRun,
            Certainty::Certain,
            vec![panic.mark.clone()],
        );
        cause.remarks.extend(panic.told.iter().cloned());
        if panic.crash_kernel {
            cause = cause.remark("Its crash kernel took over.");
        }
        Some(cause)
    }

    fn judge(&self, turn: &Turn) -> Cause {
        let cause = judge(turn);
        match cause.id {
            RuleId::StopUnexplained if turn.effect == Effect::Stop => {
                self.merged_error(turn).unwrap_or(cause)
            }
            RuleId::DiskFull | RuleId::DiskError => self.with_disk(cause, turn),
            RuleId::WatchdogPause => self.with_lateness(cause, turn, "WATCHDOG"),
            _ => cause,
        }
    }

    /// Which disk, and what became of the event that should have told.
    fn with_disk(&self, cause: Cause, turn: &Turn) -> Cause {
        let error =
            turn.leads.iter().rev().find(|lead| {
                cause.chain.contains(&lead.mark) && lead.mark.name == "BLOCK_IO_ERROR"
            });
        let name = error
            .and_then(|error| self.disk_of(error))
            .or_else(|| turn.shown.iter().rev().find_map(|fact| self.disk_of(fact)));
        let cause = match name {
            Some(name) => cause.about(&name),
            None => cause,
        };
        if error.is_some() {
            return self.with_lateness(cause, turn, "BLOCK_IO_ERROR");
        }
        if cause.unheard.is_some() {
            return cause;
        }
        let version = &self.qemu.version;
        match limits_disk_errors(version) {
            true => cause.remark(format!(
                "No BLOCK_IO_ERROR told of it: QEMU {version} sends at most one a second for a disk and merges \
                 the others. The disk's io-status tells."
            )),
            false => cause.remark("No BLOCK_IO_ERROR told of it. The disk's io-status tells."),
        }
    }

    /// A stop in the wake of a disk error, of a QEMU that merges such errors: it was another one, likely.
    fn merged_error(&self, turn: &Turn) -> Option<Cause> {
        if !limits_disk_errors(&self.qemu.version)
            || turn.shown.iter().any(|s| s.member("status").is_some())
        {
            return None;
        }
        let turns = self
            .pauses
            .iter()
            .map(|pause| &pause.stop)
            .chain(&self.turn);
        let errors = turns
            .flat_map(|turn| &turn.leads)
            .filter(|lead| lead.is("BLOCK_IO_ERROR action=stop"));
        let before_us = |error: &&Fact| turn.time_us().saturating_sub(error.mark.time_us);
        let error = errors
            .filter(|error| (0..=MERGE_WINDOW_US).contains(&before_us(error)))
            .min_by_key(before_us)?;
        let id = match error.is("BLOCK_IO_ERROR nospace=true") {
            true => RuleId::DiskFull,
            false => RuleId::DiskError,
        };
        let chain = vec![error.mark.clone(), turn.what.mark.clone()];
        let cause = Cause::new(id, Certainty::Likely, chain).remark(format!(
            "The error that came with this stop was merged with others: QEMU {} sends at most one a second for a \
             disk. The one shown came shortly before.",
            self.qemu.version
        ));
        Some(match self.disk_of(error) {
            Some(disk) => cause.about(&disk),
            None => cause,
        })
    }

    /// What to call the disk that an error or an answer names.
    fn disk_of(&self, fact: &Fact) -> Option<String> {
        let names = ["device", "qom-path", "node-name", "disk"];
        let names = names.into_iter().filter_map(|name| fact.member(name));
        let name = names.into_iter().find(|name| !name.is_empty())?;
        Some(self.disk(name).map_or(name, Disk::name).to_owned())
    }

    /// Says so if the event came after what it led to.
    fn with_lateness(&self, cause: Cause, turn: &Turn, name: &str) -> Cause {
        let stop = &turn.what.mark;
        let late = cause.chain.iter().find(|mark| {
            mark.name == name && mark.time_us <= stop.time_us && mark.received_us > stop.received_us
        });
        let Some(late) = late else {
            return cause;
        };
        let by = human_duration_us(late.received_us.saturating_sub(stop.received_us));
        cause.remark(format!(
            "{name} arrived {by} after its {}: QEMU sends at most one a second and held it back. By its stamp it \
             came first.",
            stop.name
        ))
    }

    /// A monitor for commands: the one the recorder holds only if no other is known; `None` if none is.
    pub fn monitor(&self) -> Option<&str> {
        let own = Some(self.qemu.address.as_str());
        let own = own.filter(|address| !address.is_empty() && !self.qemu.dialled_in);
        self.qemu.free_monitor.as_deref().or(own)
    }

    /// What to do about a cause: words, and the exact command if there is one.
    pub fn steps(&self, machine: &str, cause: &Cause) -> Vec<(String, Option<String>)> {
        let subject = cause.subject.as_deref().unwrap_or_default();
        let file = self
            .disk(subject)
            .and_then(|disk: &Disk| disk.file.as_deref());
        let fill = |template: &str, quote: bool| {
            let mut text = template.to_owned();
            let blanks = [
                ("{monitor}", self.monitor(), "MONITOR"),
                ("{machine}", Some(machine), "MACHINE"),
                ("{job}", cause.subject.as_deref(), "JOB"),
                ("{device}", cause.subject.as_deref(), "DEVICE"),
                ("{disk}", cause.subject.as_deref(), "the disk"),
                ("{file}", file, "query-block names its file"),
            ];
            for (blank, value, unknown) in blanks {
                let value = value.map_or(unknown.to_owned(), |value| match quote {
                    true => quoted(value),
                    false => value.to_owned(),
                });
                text = text.replace(blank, &value);
            }
            let pid = self
                .qemu
                .pid
                .map_or("PID".to_owned(), |pid| pid.to_string());
            text.replace("{pid}", &pid)
        };
        let next = cause.rule().next.iter();
        next.map(|step| {
            let command = (!step.command.is_empty()).then(|| fill(step.command, true));
            (fill(step.say, false), command)
        })
        .collect()
    }
}

/// What the recorder found of the process, in words.
fn what_is_left(detached: &Fact) -> Vec<String> {
    let found = |member: &str| detached.member(&format!("evidence.{member}")).map(visible);
    let mut words = Vec::new();
    if let Some(signal) = found("signal") {
        words.push(format!("The process was ended by {signal}."));
    }
    if let Some(code) = found("exit_code") {
        words.push(format!("The process ended with exit code {code}."));
    }
    if let (Some(count), Some(group)) = (found("oom_kill"), found("group")) {
        words.push(format!(
            "The kernel killed for want of memory in its control group {group}: {count}."
        ));
    }
    if let Some(line) = found("kernel") {
        words.push(format!("The kernel's log: {line}"));
    }
    words
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+#".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Whether this QEMU holds back or merges errors that stop the machine: 9.2 to 10.2 do.
fn limits_disk_errors(version: &str) -> bool {
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    ((9, 2)..(11, 0)).contains(&version)
}

/// The rule that explains a turn best.
fn judge(turn: &Turn) -> Cause {
    if turn.effect == Effect::End
        && let Some(at) = turn
            .leads
            .iter()
            .rposition(|lead| lead.mark.name == "SHUTDOWN")
    {
        let shutdown = Turn {
            effect: Effect::Shutdown,
            what: turn.leads[at].clone(),
            leads: turn.leads[..at].to_vec(),
            shown: Vec::new(),
            unheard: None,
        };
        let mut cause = judge(&shutdown);
        cause.chain.push(turn.what.mark.clone());
        return cause;
    }
    let rules = rules::all().filter(|rule| rule.effect == Some(turn.effect));
    let mut best: Option<Match<'_>> = None;
    for rule in rules {
        if let Some(found) = Match::of(rule, turn)
            && best.as_ref().is_none_or(|best| best.yields_to(&found))
        {
            best = Some(found);
        }
    }
    let mut cause = match best {
        Some(found) => found.cause(turn),
        None => Cause::new(
            RuleId::StopUnexplained,
            Certainty::Unknown,
            vec![turn.what.mark.clone()],
        ),
    };
    cause.unheard = turn.unheard.clone();
    cause
}

/// A rule that fits.
struct Match<'t> {
    rule: &'static Rule,
    certainty: Certainty,
    evidence: Vec<&'t Fact>,
}

impl<'t> Match<'t> {
    /// Whether a rule further down explains more.
    fn yields_to(&self, later: &Self) -> bool {
        !self.rule.decides && later.certainty > self.certainty
    }

    fn of(rule: &'static Rule, turn: &'t Turn) -> Option<Self> {
        let of = rule.of.iter().find(|(pattern, _)| turn.what.is(pattern));
        if !rule.of.is_empty() && of.is_none() {
            return None;
        }
        let led = led(rule, turn);
        let followed = turn
            .leads
            .iter()
            .find(|fact| fact.is_any(rule.followed_by) && fact.mark.time_us >= turn.time_us());
        let shown = shown(rule, turn);
        let is_asked = turn
            .shown
            .iter()
            .any(|fact| fact.member("status").is_some());
        if is_asked && !rule.shown_by.is_empty() && shown.is_none() {
            // QEMU says that it is something else.
            return None;
        }
        let stated =
            rule.led_by.is_empty() && rule.followed_by.is_empty() && rule.shown_by.is_empty();
        let of = of.filter(|_| stated).map(|(_, certainty)| *certainty);
        let found = [
            of,
            led.map(|(_, certainty)| certainty),
            followed.map(|_| Certainty::Certain),
            shown.map(|(_, certainty)| certainty),
        ];
        let certainty = found.into_iter().flatten().max()?;
        let evidence = [
            led.map(|(fact, _)| fact),
            followed,
            shown.map(|(fact, _)| fact),
        ];
        Some(Self {
            rule,
            certainty,
            evidence: evidence.into_iter().flatten().collect(),
        })
    }

    fn cause(self, turn: &Turn) -> Cause {
        let context = turn.leads.iter().filter(|lead| lead.is_any(self.rule.with));
        let facts = self.evidence.into_iter().chain(context).chain([&turn.what]);
        let mut chain: Vec<Mark> = Vec::new();
        for fact in facts {
            if !chain.contains(&fact.mark) {
                chain.push(fact.mark.clone());
            }
        }
        chain.sort_by_key(|mark| (mark.time_us, mark.received_us, mark.seq));
        let surplus = chain.len().saturating_sub(CHAIN_MAX);
        chain.drain(..surplus);
        Cause::new(self.rule.id, self.certainty, chain)
    }
}

/// The event that led to it; one whose stamp is later than what it should have led to is only likely to.
fn led<'t>(rule: &Rule, turn: &'t Turn) -> Option<(&'t Fact, Certainty)> {
    if turn.what.is_any(rule.led_by) {
        return Some((&turn.what, rule.led_is));
    }
    let at_us = turn.time_us();
    let is_found = turn.what.mark.name == "state";
    let within_us = rule.within_s.saturating_mul(1_000_000);
    let leads = turn
        .leads
        .iter()
        .rev()
        .filter(|lead| lead.is_any(rule.led_by));
    leads
        .filter_map(|lead| {
            let before_us = at_us.saturating_sub(lead.mark.time_us);
            match before_us {
                ..0 if is_found => None,
                ..0 => Some((lead, Certainty::Likely.min(rule.led_is))),
                _ if before_us <= within_us => Some((lead, rule.led_is)),
                _ => None,
            }
        })
        .max_by_key(|(_, certainty)| *certainty)
}

/// The answer that shows it, by the first pattern that fits.
fn shown<'t>(rule: &Rule, turn: &'t Turn) -> Option<(&'t Fact, Certainty)> {
    rule.shown_by.iter().find_map(|(pattern, certainty)| {
        let fact = turn.shown.iter().find(|fact| fact.is(pattern))?;
        Some((fact, *certainty))
    })
}

/// What is worth knowing of a job.
fn job_finding(job: &Job) -> Option<Cause> {
    let id = match (job.outcome, job.status.as_str()) {
        (Some(Outcome::Failed), _) => RuleId::JobFailed,
        (Some(Outcome::Cancelled), _) => RuleId::JobCancelled,
        (Some(Outcome::Aborted), _) => RuleId::JobAborted,
        (Some(Outcome::Unheard), _) => RuleId::JobUnheard,
        (Some(Outcome::Completed), _) => return None,
        (None, _) if job.paused_by.is_some() => RuleId::JobPaused,
        (None, "ready") => RuleId::JobReady,
        (None, "pending") => RuleId::JobPending,
        (None, "waiting") => RuleId::JobWaiting,
        _ => return None,
    };
    let certainty = match id {
        RuleId::JobUnheard => Certainty::Unknown,
        _ => Certainty::Certain,
    };
    let mut chain = vec![job.first.clone()];
    chain.extend(job.chain.iter().cloned());
    chain.push(job.since.clone());
    chain.dedup();
    let mut cause = Cause::new(id, certainty, chain).about(&job.id);
    let error = job.error.as_deref().map(visible);
    cause.remarks.extend(error.map(Cow::into_owned));
    cause.unheard = job.unheard.clone();
    Some(cause)
}
