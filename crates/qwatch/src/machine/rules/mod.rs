//! What is recognised, as a table: each cause, how it shows, what it means, what to do.
//!
//! `qwatch why` applies the rules, `docs/why.md` is written from them. The order within an effect counts:
//! the first rule that is certain wins, else the first that is likely; a likely one that
//! [decides](Rule::decides) wins over all after it.

use serde::{Deserialize, Serialize};

use super::explain::Certainty;
use super::run::Effect;

mod end;
mod findings;
mod page;
mod run;
mod stop;

pub use page::markdown;

/// One cause.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name here and in `--json`.
    pub id: RuleId,
    /// In a few words, for a table.
    pub title: &'static str,
    /// What it explains; `None` for what is told beside the run state.
    pub effect: Option<Effect>,
    /// What the record of the turn is; one of them. Empty: any.
    pub of: &'static [(&'static str, Certainty)],
    /// An event at or before it; one of them. It may arrive later with an older stamp.
    pub led_by: &'static [&'static str],
    /// What such an event makes of it, if it came within [`Rule::within_s`].
    pub led_is: Certainty,
    /// How long before, in seconds.
    pub within_s: i64,
    /// An event after it; one of them.
    pub followed_by: &'static [&'static str],
    /// What the queries say afterwards; one of them.
    pub shown_by: &'static [(&'static str, Certainty)],
    /// Events that belong to the story if they are there.
    pub with: &'static [&'static str],
    /// Likely is enough: the rules after it say less.
    pub decides: bool,
    /// How it is recognised, in words.
    pub recognised: &'static str,
    /// What happened.
    pub meaning: &'static str,
    /// What to do.
    pub next: &'static [Step],
    /// Where that is from.
    pub source: &'static str,
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// In words; may have the same blanks as the command.
    pub say: &'static str,
    /// The command, with blanks: `{monitor}`, `{machine}`, `{job}`, `{disk}`, `{file}`, `{device}`,
    /// `{pid}`. "" if there is none.
    pub command: &'static str,
}

/// Every cause that is known.
macro_rules! rule_ids {
    ($( $id:ident $name:literal, )*) => {
        /// Which cause.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "the table says what each is")]
        pub enum RuleId {
            $( #[serde(rename = $name)] $id, )*
        }

        impl RuleId {
            /// All of them.
            pub const ALL: &[Self] = &[ $( Self::$id, )* ];

            /// Its name in `--json` and in the documentation.
            pub fn name(self) -> &'static str {
                match self {
                    $( Self::$id => $name, )*
                }
            }
        }
    };
}

rule_ids! {
    DiskFull "disk-full",
    DiskError "disk-error",
    WatchdogPause "watchdog-pause",
    GuestPanic "guest-panic",
    NoShutdown "no-shutdown",
    MigratedAway "migrated-away",
    SwitchingOver "switching-over",
    Saving "saving",
    Restoring "restoring",
    InternalError "internal-error",
    Debugger "debugger",
    Colo "colo",
    ResetWhileStopped "reset-while-stopped",
    ClientStop "client-stop",
    StopUnexplained "stop-unexplained",
    NotStarted "not-started",
    AwaitsMigration "awaits-migration",
    GuestSleeps "guest-sleeps",
    GuestWoke "guest-woke",
    WokenByReset "woken-by-reset",
    MigrationArrived "migration-arrived",
    Started "started",
    MomentOver "moment-over",
    Continued "continued",
    FoundRunning "found-running",
    WatchdogReset "watchdog-reset",
    MemoryReset "memory-reset",
    GuestReset "guest-reset",
    PanicReset "panic-reset",
    HostReset "host-reset",
    ResetUnexplained "reset-unexplained",
    Hibernated "hibernated",
    WatchdogShutdown "watchdog-shutdown",
    PowerButton "power-button",
    GuestShutdown "guest-shutdown",
    NoReboot "no-reboot",
    PanicShutdown "panic-shutdown",
    Quit "quit",
    HostResetOff "host-reset-off",
    Signal "signal",
    WindowClosed "window-closed",
    HostError "host-error",
    ShutdownUnexplained "shutdown-unexplained",
    WatchdogPoweroff "watchdog-poweroff",
    MemoryFatal "memory-fatal",
    OomKilled "oom-killed",
    Crashed "crashed",
    Killed "killed",
    ExitedEarly "exited-early",
    EndUnexplained "end-unexplained",
    JobFailed "job-failed",
    JobCancelled "job-cancelled",
    JobAborted "job-aborted",
    JobUnheard "job-unheard",
    JobPaused "job-paused",
    JobReady "job-ready",
    JobPending "job-pending",
    JobWaiting "job-waiting",
    UnplugRefused "unplug-refused",
    ImageCorrupted "image-corrupted",
    MemoryFailure "memory-failure",
    MigrationFailed "migration-failed",
    PostcopyPaused "postcopy-paused",
    PanicRun "panic-run",
}

impl RuleId {
    /// The rule.
    pub fn rule(self) -> &'static Rule {
        all()
            .find(|rule| rule.id == self)
            .expect("a test checks that every id has a rule")
    }
}

/// All rules in their order.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [stop::RULES, run::RULES, end::RULES, findings::RULES]
        .into_iter()
        .flatten()
}

/// Whether an event of this name can be what leads to something, or what follows it.
pub(super) fn may_lead(name: &str) -> bool {
    all().any(|rule| {
        let patterns = [rule.led_by, rule.followed_by, rule.with];
        let mut patterns = patterns.into_iter().flatten();
        patterns.any(|pattern| pattern.split(' ').next() == Some(name))
    })
}

/// What most rules have in common; never applied itself.
const NONE: Rule = Rule {
    id: RuleId::StopUnexplained,
    title: "",
    effect: None,
    of: &[],
    led_by: &[],
    led_is: Certainty::Certain,
    within_s: 10,
    followed_by: &[],
    shown_by: &[],
    with: &[],
    decides: false,
    recognised: "",
    meaning: "",
    next: &[],
    source: "",
};

const fn say(say: &'static str) -> Step {
    Step { say, command: "" }
}

const fn run(say: &'static str, command: &'static str) -> Step {
    Step { say, command }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use qmp_events::EventKind;
    use qmp_events::facts::{MemberFacts, TypeFacts};

    use super::*;

    #[test]
    fn every_cause_has_one_rule_with_everything_said() {
        let mut ids = HashSet::new();
        for rule in all() {
            assert!(ids.insert(rule.id), "{} is there twice", rule.id.name());
            let said = [rule.title, rule.recognised, rule.meaning, rule.source];
            assert!(
                said.iter().all(|text| !text.is_empty()),
                "{}",
                rule.id.name()
            );
            assert!(!rule.next.is_empty(), "{}: what to do?", rule.id.name());
        }
        for id in RuleId::ALL {
            assert!(ids.contains(id), "{} has no rule", id.name());
        }
    }

    /// What a pattern asks for is in the vocabulary, so that no rule waits for what never comes.
    #[test]
    fn patterns_are_of_the_vocabulary() {
        for rule in all() {
            let of = rule.of.iter().map(|(pattern, _)| pattern);
            let lists = [rule.led_by, rule.followed_by, rule.with];
            for pattern in lists.into_iter().flatten().chain(of) {
                let name = pattern.split(' ').next().unwrap_or_default();
                if ["detached", "state"].contains(&name) {
                    continue;
                }
                let kind = EventKind::from_name(name).expect("a known event");
                for word in pattern.split(' ').skip(1) {
                    // Members of the fold's own.
                    if !word.starts_with("before=") && word != "moment" {
                        known(kind.facts().members, word, pattern);
                    }
                }
            }
        }
    }

    fn known(members: &[MemberFacts], word: &str, pattern: &str) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let member = members.iter().find(|member| member.name == name);
        let member = member.unwrap_or_else(|| panic!("no member {name} in `{pattern}`"));
        match member.ty {
            TypeFacts::Enum(known) => assert!(
                known.values.iter().any(|v| v.name == value),
                "no value {value} in `{pattern}`"
            ),
            TypeFacts::Bool => assert!(["true", "false"].contains(&value), "{pattern}"),
            _ => panic!("{name} in `{pattern}` is neither an enum nor a truth"),
        }
    }
}
