//! What `qwatch top` shows, apart from any terminal: records, keys and the time in, a picture out.

use std::collections::{BTreeMap, VecDeque};

use crate::filter::{Case, Globs};
use crate::limits::TOP_EVENTS_MAX;
use crate::machine::State;
use crate::record::{Origin, Record};
use crate::states::Known;

/// All that is shown, and where the user is in it.
#[derive(Debug, Default)]
pub(super) struct App {
    /// Whether a recorder writes the journal now.
    pub(super) recorded: bool,
    pub(super) now_us: i64,
    machines: BTreeMap<String, Row>,
    events: VecDeque<Record>,
    pub(super) screen: Screen,
    pub(super) focus: Pane,
    /// The machine the cursor is on, by name: the list may be sorted anew under it.
    chosen: Option<String>,
    /// The event the cursor is on, by number; `None` to stay with the newest.
    pub(super) event: Option<u64>,
    pub(super) sort: Sort,
    /// Show the events of all machines, not only of the chosen one.
    pub(super) all_events: bool,
    /// Why the chosen machine is in its state, while that is shown.
    pub(super) why: String,
    /// Lines the page of text is scrolled down.
    pub(super) scroll: usize,
    filter: Filter,
    /// Something to tell the user, until the next key.
    pub(super) message: Option<String>,
}

/// Which machines are listed.
#[derive(Debug, Default)]
struct Filter {
    globs: Option<Globs>,
    text: String,
    /// What is being typed.
    draft: Option<String>,
}

/// One machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) state: State,
    /// The QEMU release of its last run.
    pub(super) qemu: String,
    /// Its last event, by name.
    pub(super) last: Option<String>,
    pub(super) last_us: i64,
    pub(super) gaps: u64,
    activity: Activity,
    /// Number of the last record that is in the state already.
    folded: u64,
}

/// How many events came within the last minute, by the second.
#[derive(Clone, Debug, Default)]
struct Activity(VecDeque<(i64, u64)>);

/// What fills the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Screen {
    /// Machines above, events below.
    #[default]
    Overview,
    /// All about the chosen machine.
    Machine,
    /// All about the chosen event.
    Event,
    /// The keys.
    Help,
}

/// Where the cursor is in the overview.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pane {
    #[default]
    Machines,
    Events,
}

/// The order of the machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// What needs a look first, then by name.
    #[default]
    Trouble,
    Name,
    /// The busiest first.
    Activity,
    /// The last one heard first.
    Recent,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    Help,
    Up(usize),
    Down(usize),
    First,
    Last,
    OtherPane,
    Open,
    Back,
    Sort,
    AllEvents,
    Follow,
    Filter,
    /// While the filter is typed.
    Type(char),
    Erase,
}

impl Sort {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Trouble => "trouble",
            Self::Name => "name",
            Self::Activity => "activity",
            Self::Recent => "last heard",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Trouble => Self::Name,
            Self::Name => Self::Activity,
            Self::Activity => Self::Recent,
            Self::Recent => Self::Trouble,
        }
    }
}

impl Row {
    /// A machine as the journal has it.
    pub(super) fn of(known: Known, gaps: u64) -> Self {
        let last = known.state.last_event();
        Self {
            folded: known.seq,
            qemu: known.state.qemu().version.clone(),
            last: last.map(|mark| mark.name.clone()),
            last_us: last.map_or(0, |mark| mark.time_us),
            gaps,
            activity: Activity::default(),
            state: known.state,
        }
    }

    /// Takes the next record of the machine.
    fn take(&mut self, record: &Record) {
        if record.seq.is_some_and(|seq| seq <= self.folded) {
            return;
        }
        self.state.apply(record);
        if record.origin == Origin::Qemu {
            self.activity.add(record.received_us);
            self.last = Some(record.name.clone());
            self.last_us = record.time_us();
        } else if record.name == "gap" {
            self.gaps += 1;
        } else if record.name == "attached"
            && let Some(version) = version(record)
        {
            self.qemu = version;
        }
    }

    /// Events within the last minute.
    pub(super) fn per_minute(&self, now_us: i64) -> u64 {
        self.activity.within(now_us)
    }

    /// Higher is worse.
    fn trouble(&self) -> u8 {
        match self.state.run_state().word() {
            "panicked" => 5,
            "paused" => 4,
            "unknown" => 3,
            "waiting" | "suspended" => 2,
            "running" => 1,
            _ => 0,
        }
    }
}

impl Activity {
    fn add(&mut self, at_us: i64) {
        let second = at_us.div_euclid(1_000_000);
        match self.0.back_mut() {
            // Times need not grow: what is late counts as now.
            Some((last, count)) if second <= *last => *count += 1,
            _ => self.0.push_back((second, 1)),
        }
        while self.0.len() > 60 {
            self.0.pop_front();
        }
    }

    fn within(&self, now_us: i64) -> u64 {
        let oldest = now_us.div_euclid(1_000_000) - 60;
        let recent = self.0.iter().filter(|(second, _)| *second > oldest);
        recent.map(|(_, count)| count).sum()
    }
}

impl App {
    /// Puts a machine in the list as the journal has it.
    pub(super) fn add_machine(&mut self, name: String, row: Row) {
        self.machines.insert(name, row);
    }

    /// Takes a record that is new: into its machine's state and into the list of events.
    pub(super) fn take(&mut self, record: Record) {
        self.machines
            .entry(record.machine.clone())
            .or_default()
            .take(&record);
        self.remember(record);
    }

    /// Puts a record behind the others in the list, without any effect.
    pub(super) fn remember(&mut self, record: Record) {
        if self.events.len() >= TOP_EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(record);
    }

    /// The machines that are listed, in order.
    pub(super) fn listed(&self) -> Vec<(&str, &Row)> {
        let wanted = |name: &str| match &self.filter.globs {
            Some(globs) => globs.matches(name),
            None => true,
        };
        let mut rows: Vec<(&str, &Row)> = self
            .machines
            .iter()
            .map(|(name, row)| (name.as_str(), row))
            .filter(|(name, _)| wanted(name))
            .collect();
        match self.sort {
            Sort::Name => {}
            Sort::Trouble => rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.trouble())),
            Sort::Activity => {
                rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.per_minute(self.now_us)));
            }
            Sort::Recent => rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.last_us)),
        }
        rows
    }

    /// All machines, listed or not.
    pub(super) fn machines(&self) -> impl Iterator<Item = &Row> {
        self.machines.values()
    }

    /// The machine the cursor is on.
    pub(super) fn chosen(&self) -> Option<(&str, &Row)> {
        let name = self.chosen.as_deref()?;
        Some((name, self.machines.get(name)?))
    }

    /// The records of the lower pane, oldest first.
    pub(super) fn shown_events(&self) -> Vec<&Record> {
        let of_chosen = |record: &&Record| {
            self.all_events
                || self
                    .chosen
                    .as_ref()
                    .is_none_or(|name| *name == record.machine)
        };
        self.events.iter().filter(of_chosen).collect()
    }

    /// The record the cursor is on.
    pub(super) fn chosen_event(&self) -> Option<&Record> {
        let seq = self.event?;
        self.events.iter().find(|record| record.seq == Some(seq))
    }

    /// What is being typed as a filter, or the one that is in force.
    pub(super) fn filter_text(&self) -> (&str, bool) {
        match &self.filter.draft {
            Some(draft) => (draft, true),
            None => (&self.filter.text, false),
        }
    }

    /// Whether keys are letters of a filter.
    pub(super) fn is_typing(&self) -> bool {
        self.filter.draft.is_some()
    }

    /// Does what a key asks for; false if that is to quit.
    pub(super) fn act(&mut self, action: Action) -> bool {
        self.message = None;
        if let Some(draft) = &mut self.filter.draft {
            match action {
                Action::Type(letter) => draft.push(letter),
                Action::Erase => drop(draft.pop()),
                Action::Open => self.set_filter(),
                Action::Quit => return false,
                _ => self.filter.draft = None,
            }
            return true;
        }
        match action {
            Action::Quit => return false,
            Action::Help => self.show(Screen::Help),
            Action::Back => self.back(),
            Action::Open => self.open(),
            Action::OtherPane => {
                self.focus = match self.focus {
                    Pane::Machines => Pane::Events,
                    Pane::Events => Pane::Machines,
                };
            }
            Action::Sort => {
                self.sort = self.sort.next();
                self.message = Some(format!("sorted by {}", self.sort.word()));
            }
            Action::AllEvents => self.all_events = !self.all_events,
            Action::Follow => self.event = None,
            Action::Filter => self.filter.draft = Some(self.filter.text.clone()),
            Action::Up(lines) => self.step(-isize::try_from(lines).unwrap_or(isize::MAX)),
            Action::Down(lines) => self.step(isize::try_from(lines).unwrap_or(isize::MAX)),
            Action::First => self.step(isize::MIN),
            Action::Last => self.step(isize::MAX),
            Action::Type(_) | Action::Erase => {}
        }
        true
    }

    fn show(&mut self, screen: Screen) {
        self.screen = screen;
        self.scroll = 0;
    }

    fn back(&mut self) {
        if self.screen == Screen::Overview && self.focus == Pane::Events {
            self.event = None;
            self.focus = Pane::Machines;
        }
        self.show(Screen::Overview);
    }

    fn open(&mut self) {
        match (self.screen, self.focus) {
            (Screen::Overview, Pane::Machines) if self.chosen.is_some() => {
                self.show(Screen::Machine);
            }
            (Screen::Overview, Pane::Events) => {
                if self.event.is_none() {
                    self.step(0);
                }
                if self.event.is_some() {
                    self.show(Screen::Event);
                }
            }
            (Screen::Overview, Pane::Machines) => {}
            _ => self.back(),
        }
    }

    fn set_filter(&mut self) {
        let Some(text) = self.filter.draft.take() else {
            return;
        };
        let text = text.trim().to_owned();
        if text.is_empty() {
            self.filter = Filter::default();
        } else {
            // A part of a name will do: who types `web` wants `web1` too.
            let pattern = match text.contains(['*', '?', '[', '{', '!']) {
                true => text.clone(),
                false => format!("*{text}*"),
            };
            match Globs::new(&[pattern], Case::Ignored) {
                Ok(globs) => {
                    self.filter.globs = Some(globs);
                    self.filter.text = text;
                }
                Err(error) => self.message = Some(error.to_string()),
            }
        }
        self.settle();
    }

    /// Moves what the keys move on this screen; far beyond an end is that end.
    fn step(&mut self, by: isize) {
        match (self.screen, self.focus) {
            (Screen::Overview, Pane::Machines) => {
                let names: Vec<&str> = self.listed().into_iter().map(|(name, _)| name).collect();
                let here = names
                    .iter()
                    .position(|name| Some(*name) == self.chosen.as_deref());
                let to = moved(here.unwrap_or(0), by, names.len());
                let chosen = to
                    .and_then(|to| names.get(to))
                    .map(|name| (*name).to_owned());
                self.chosen = chosen;
            }
            (Screen::Overview, Pane::Events) => {
                let shown = self.shown_events();
                let newest = shown.len().saturating_sub(1);
                let here = shown.iter().position(|record| record.seq == self.event);
                let to = moved(here.unwrap_or(newest), by, shown.len());
                let event = to
                    .and_then(|to| shown.get(to))
                    .and_then(|record| record.seq);
                self.event = event;
            }
            _ => self.scroll = self.scroll.saturating_add_signed(by),
        }
    }

    /// Puts the cursor on a machine that is listed, if any is. To be called before drawing.
    pub(super) fn settle(&mut self) {
        let listed = self.listed();
        let is_listed = |name: &str| listed.iter().any(|(listed, _)| *listed == name);
        if !self.chosen.as_deref().is_some_and(is_listed) {
            let first = listed.first().map(|(name, _)| (*name).to_owned());
            self.chosen = first;
        }
    }
}

/// A place in a list of so many, moved; `None` if the list is empty.
fn moved(from: usize, by: isize, len: usize) -> Option<usize> {
    let last = len.checked_sub(1)?;
    Some(from.saturating_add_signed(by).min(last))
}

fn version(attached: &Record) -> Option<String> {
    let data: serde_json::Value = serde_json::from_str(attached.data.as_deref()?).ok()?;
    Some(data.get("version")?.as_str()?.to_owned())
}
