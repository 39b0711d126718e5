//! The answer for people: one screen.

use anstyle::Style;
use jiff::tz::TimeZone;

use super::Question;
use crate::machine::{Cause, Certainty, Mark, RunState, Unheard};
use crate::output::escape::visible;
use crate::output::{Palette, paint};
use crate::time;

/// Columns of a page.
pub(super) const WIDTH: usize = 80;

/// Findings that are shown; more are counted.
const FINDINGS_MAX: usize = 6;

/// `2026-01-31 `
const DAY_COLUMNS: usize = 11;

pub(super) struct Page<'p> {
    palette: &'p Palette,
    zone: &'p TimeZone,
    width: usize,
    out: String,
}

impl<'p> Page<'p> {
    pub(super) fn new(palette: &'p Palette, zone: &'p TimeZone, width: usize) -> Self {
        Self {
            palette,
            zone,
            width,
            out: String::new(),
        }
    }

    pub(super) fn write(mut self, question: &Question<'_>) -> String {
        let state = &question.known.state;
        let cause = state.cause();
        self.head(question, cause.as_ref());
        if let Some(cause) = &cause {
            self.story(cause, state.since_us());
            if let Some(unheard) = &cause.unheard {
                self.unheard(unheard, cause);
            }
            self.steps(question, cause);
        }
        self.beside(question);
        self.foot(question);
        self.out
    }

    fn head(&mut self, question: &Question<'_>, cause: Option<&Cause>) {
        let state = &question.known.state;
        let run = state.run_state();
        let name = paint(self.palette.machine, &visible(&question.machine.name));
        let verb = if question.at_us.is_some() {
            "was"
        } else {
            "is"
        };
        let word = paint(self.style(run), state_words(run, state.waits_for()));
        let title = cause
            .filter(|_| run != RunState::Unknown)
            .map_or(String::new(), |cause| format!(": {}", cause.rule().title));
        self.line(&format!("{name} {verb} {word}{title}"));
        if let Some(since_us) = state.since_us() {
            let until = question.at_us.unwrap_or(question.now_us);
            let length = time::human_duration_us(until.saturating_sub(since_us));
            let mark = if question.at_us.is_some() {
                "by then"
            } else {
                "ago"
            };
            self.pair(
                "since",
                &format!("{} ({length} {mark})", time::human(since_us, self.zone)),
            );
        }
        if let Some(cause) = cause {
            if let Some(subject) = &cause.subject {
                self.pair("about", &visible(subject));
            }
            self.pair("certainty", certainty(cause.certainty));
        }
        if question.at_us.is_none() && !question.is_heard() && run != RunState::Gone {
            let why = if question.recorded {
                "nobody listens to it now: this is what was known last"
            } else {
                "no recorder writes this journal now: this is what was known last"
            };
            self.pair("unheard", why);
        }
        if let Some(cause) = cause {
            self.blank();
            self.paragraph(cause.rule().meaning, 2);
        } else if run == RunState::Unknown {
            self.blank();
            self.paragraph("Nothing that was heard tells its state.", 2);
        }
    }

    /// The records, in the order in which it happened.
    fn story(&mut self, cause: &Cause, since_us: Option<i64>) {
        self.title("How it came");
        let day = |us: i64| {
            time::human(us, self.zone)
                .get(..DAY_COLUMNS)
                .map(str::to_owned)
        };
        let same_day = cause
            .chain
            .iter()
            .all(|mark| Some(day(mark.time_us)) == since_us.map(day));
        for mark in &cause.chain {
            self.mark(mark, same_day);
        }
        for remark in &cause.remarks {
            self.paragraph(&visible(remark), 2);
        }
    }

    /// One record; its day only where that is not the one above.
    fn mark(&mut self, mark: &Mark, same_day: bool) {
        let at = time::human(mark.time_us, self.zone);
        let at = match same_day {
            true => at.get(DAY_COLUMNS..).unwrap_or_default().to_owned(),
            false => at,
        };
        let seq = mark.seq.map_or(String::new(), |seq| format!("#{seq}"));
        let name = format!("{:<16}", visible(&mark.name));
        let used = 2 + at.len() + 2 + seq.len().max(5) + 2 + name.chars().count() + 1;
        let text = cut(&mark.text, self.width.saturating_sub(used));
        let line = format!(
            "  {}  {seq:>5}  {} {text}",
            paint(self.palette.dim, &at),
            paint(self.palette.of(&mark.name), &name),
        );
        self.line(line.trim_end());
    }

    fn unheard(&mut self, unheard: &Unheard, cause: &Cause) {
        self.title("What is hidden");
        let until = time::human(unheard.until_us, self.zone);
        let span = match unheard.from_us {
            Some(from) => {
                let length = time::human_duration_us(unheard.until_us.saturating_sub(from));
                format!("Nobody listened for {length} until {until}")
            }
            None => format!("Nobody listened before {until}"),
        };
        let hides = match cause.certainty {
            Certainty::Certain => "When it happened is hidden there.",
            _ => "What would prove the cause may be hidden there.",
        };
        self.paragraph(&format!("{span}: {}. {hides}", visible(&unheard.reason)), 2);
    }

    fn steps(&mut self, question: &Question<'_>, cause: &Cause) {
        let state = &question.known.state;
        self.title("What to do");
        let mut with_monitor = false;
        for (say, command) in state.steps(&question.machine.name, cause) {
            let Some(command) = command else {
                self.paragraph(&format!("{}.", visible(&say)), 2);
                continue;
            };
            self.paragraph(&format!("{}:", visible(&say)), 2);
            with_monitor |= command.starts_with("qwatch execute");
            // Never broken: it is there to be copied.
            self.line(&format!(
                "    {}",
                paint(self.palette.plain, &visible(&command))
            ));
        }
        if with_monitor && question.is_heard() {
            self.paragraph(monitor_words(question), 2);
        }
    }

    /// What else there is to know.
    fn beside(&mut self, question: &Question<'_>) {
        let state = &question.known.state;
        let findings = state.findings();
        let reset = state.reset_cause();
        let last = state.past_stops().last();
        if findings.is_empty() && reset.is_none() && last.is_none() && state.previous().is_none() {
            return;
        }
        self.title("Beside that");
        for finding in findings.iter().take(FINDINGS_MAX) {
            self.finding(question, finding);
        }
        if findings.len() > FINDINGS_MAX {
            self.paragraph(
                &format!("… and {} more: see --json.", findings.len() - FINDINGS_MAX),
                2,
            );
        }
        if let Some(reset) = reset {
            let at = reset.chain.last().map_or(0, |mark| mark.time_us);
            let text = format!(
                "Last reset {}: {}.",
                time::human(at, self.zone),
                named(&reset)
            );
            self.paragraph(&text, 2);
        }
        if let Some((cause, end)) = last {
            let count = state.pauses();
            let times = if count == 1 {
                "once".to_owned()
            } else {
                format!("{count} times")
            };
            let began = cause
                .chain
                .iter()
                .find(|mark| mark.name == "STOP")
                .map_or(end, |mark| mark);
            let length = time::human_duration_us(end.time_us.saturating_sub(began.time_us));
            let text = format!(
                "Stood still {times} before, last at {} for {length}: {}.",
                time::human(began.time_us, self.zone),
                named(&cause)
            );
            self.paragraph(&text, 2);
        }
        if let Some(previous) = state.previous() {
            let cause = previous
                .cause
                .as_ref()
                .map_or(String::new(), |cause| format!(": {}", named(cause)));
            let word = state_words(previous.run, None);
            let last = match previous.run {
                RunState::Gone => format!("The QEMU before this one ended{cause}."),
                _ => format!(
                    "The QEMU before this one was last heard {word}{cause}; how it ended was not heard."
                ),
            };
            self.paragraph(&last, 2);
        }
    }

    fn finding(&mut self, question: &Question<'_>, finding: &Cause) {
        let at = finding.chain.last().map_or(0, |mark| mark.time_us);
        let subject = finding
            .subject
            .as_deref()
            .map_or(String::new(), |subject| format!("{}: ", visible(subject)));
        let remarks = finding
            .remarks
            .iter()
            .map(|remark| format!(": {}", visible(remark)));
        let text = format!(
            "{subject}{}{} ({}, {}).",
            finding.rule().title,
            remarks.collect::<String>(),
            time::human(at, self.zone),
            finding.certainty.word()
        );
        self.paragraph(&text, 2);
        let state = &question.known.state;
        let job = finding.subject.as_deref().and_then(|job| state.job(job));
        let is_gone = job.is_some_and(|job| job.status == "null");
        if is_gone || state.run_state() == RunState::Gone {
            return;
        }
        for (_, command) in state.steps(&question.machine.name, finding) {
            if let Some(command) = command {
                self.line(&format!("    {}", visible(&command)));
            }
        }
    }

    fn foot(&mut self, question: &Question<'_>) {
        let qemu = question.known.state.qemu();
        let pid = qemu
            .pid
            .map_or(String::new(), |pid| format!(", process {pid}"));
        let text = format!(
            "QEMU {}{pid}, {}, run {}. `qwatch history -m {}` has all records.",
            visible(&qemu.version),
            visible(&qemu.address),
            question.known.run,
            visible(&question.machine.name)
        );
        self.blank();
        let dim = self.palette.dim;
        for line in wrapped(&text, self.width) {
            self.line(&paint(dim, &line));
        }
    }

    fn style(&self, state: RunState) -> Style {
        match state {
            RunState::Running => self.palette.good,
            RunState::Paused | RunState::Panicked => self.palette.trouble,
            RunState::Gone | RunState::Unknown => self.palette.plain,
            RunState::Suspended | RunState::ShutDown | RunState::Waiting => self.palette.notice,
        }
    }

    fn title(&mut self, text: &str) {
        self.blank();
        let line = paint(self.palette.plain, text);
        self.line(&line);
    }

    fn pair(&mut self, name: &str, value: &str) {
        let name = paint(self.palette.dim, &format!("{name:<9}"));
        self.line(&format!("  {name}  {value}"));
    }

    fn paragraph(&mut self, text: &str, indent: usize) {
        for line in wrapped(text, self.width - indent) {
            self.line(&format!("{}{line}", " ".repeat(indent)));
        }
    }

    fn blank(&mut self) {
        self.out.push('\n');
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }
}

impl Question<'_> {
    /// Whether somebody listens to the machine now.
    pub(super) fn is_heard(&self) -> bool {
        let runs = &self.machine.runs;
        let run = runs.iter().find(|run| run.run == self.known.run);
        self.recorded && run.is_some_and(|run| run.detached_us.is_none())
    }
}

fn state_words(state: RunState, waits_for: Option<&str>) -> &str {
    match (state, waits_for) {
        (RunState::Waiting, Some("inmigrate")) => "waiting for a migration",
        (RunState::Waiting, _) => "waiting to be started",
        (RunState::ShutDown, _) => "shut down",
        (RunState::Unknown, _) => "in an unknown state",
        (state, _) => state.word(),
    }
}

/// Why that monitor, or which.
fn monitor_words(question: &Question<'_>) -> &'static str {
    let state = &question.known.state;
    match (state.monitor(), &state.qemu().free_monitor) {
        (Some(_), Some(_)) => "Nobody held that monitor when QEMU was asked last.",
        (Some(_), None) => {
            "The recorder holds that monitor. A QMP socket serves one client at a time: give another of the \
             machine's monitors in its place."
        }
        (None, _) => {
            "MONITOR stands for a monitor of the machine that nobody holds. QEMU dialled the recorder, whose \
             connection serves nobody else."
        }
    }
}

fn certainty(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Certain => "certain",
        Certainty::Likely => "likely: the records fit, but do not prove it",
        Certainty::Unknown => "unknown: the records do not tell",
    }
}

/// `disk full (certain)`.
fn named(cause: &Cause) -> String {
    let subject = cause
        .subject
        .as_deref()
        .map_or(String::new(), |subject| format!(" ({})", visible(subject)));
    format!(
        "{}{subject}, {}",
        cause.rule().title,
        cause.certainty.word()
    )
}

fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// The text in lines of so many columns, broken at spaces; a longer word has a line of its own.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_ascii_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
