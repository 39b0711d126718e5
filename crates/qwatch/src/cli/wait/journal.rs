//! Waiting for what the recorder writes: what the journal has counts, then what comes.

use std::time::{Duration, Instant};

use super::condition::{Conditions, Verdict};
use super::{Args, Waited};
use crate::cli::{Failure, Ui};
use crate::journal::{Follower, Query, is_being_written};
use crate::machine::{Mark, State};
use crate::record::Record;
use crate::states;

/// How long to wait for word of the journal at a time.
const LOOK: Duration = Duration::from_secs(60);

/// How many names of machines are told to who gave one that is not known.
const KNOWN_SHOWN: usize = 10;

/// Waits for one of the conditions of a machine; `None` if the time is over first.
pub(super) fn wait(
    args: &Args,
    machine: &str,
    conditions: &Conditions,
    ui: Ui,
) -> Result<Option<Waited>, Failure> {
    let until = args.timeout.map(|limit| Instant::now() + limit);
    let follower = args.journal.follower()?;
    let mut waiting = Waiting {
        machine,
        conditions,
        follower: &follower,
        state: State::default(),
        position: 0,
        folded: 0,
        after: args.after,
    };
    waiting.note_what_is_odd(args, ui)?;
    if let Some(waited) = waiting.look_back()? {
        return Ok(Some(waited));
    }
    loop {
        let left = until.map_or(LOOK, |until| {
            until.saturating_duration_since(Instant::now())
        });
        let moved = follower.wait_past(waiting.position, left.min(LOOK))?;
        if moved && let Some(waited) = waiting.read_on()? {
            return Ok(Some(waited));
        }
        if !moved && until.is_some_and(|until| Instant::now() >= until) {
            return Ok(None);
        }
    }
}

struct Waiting<'w> {
    machine: &'w str,
    conditions: &'w Conditions,
    follower: &'w Follower,
    state: State,
    /// The last record that was looked at.
    position: u64,
    /// The last record that is in the state from the beginning.
    folded: u64,
    /// Only what a record after this one says is news.
    after: Option<u64>,
}

impl Waiting<'_> {
    /// What is so already.
    fn look_back(&mut self) -> Result<Option<Waited>, Failure> {
        let reader = self.follower.reader();
        let end = reader.last_seq()?;
        self.position = end;
        if let Some(after) = self.after {
            // Events from before count only if it is said from where on.
            let this = |name: &str| name == self.machine;
            let query = Query::default().after(after).machines(&this);
            for record in reader.records(&query)? {
                let record = record?;
                if record.seq.is_some_and(|seq| seq > end) {
                    break;
                }
                if self.conditions.is_met_by(&record) {
                    return Ok(Some(Waited::Already(record)));
                }
            }
        }
        if !self.conditions.need_state() {
            return Ok(None);
        }
        let machines = reader.machines()?;
        if let Some(machine) = machines.iter().find(|known| known.name == self.machine)
            && let Some(known) = states::load(reader, machine, None)?
        {
            self.state = known.state;
            self.folded = known.seq;
        }
        match self.judge()? {
            Some(mark) => Ok(self.record_of(&mark)?.map(Waited::Already)),
            None => Ok(None),
        }
    }

    /// What is new.
    fn read_on(&mut self) -> Result<Option<Waited>, Failure> {
        let end = self.follower.reader().last_seq()?;
        let this = |name: &str| name == self.machine;
        let query = Query::default().after(self.position).machines(&this);
        for record in self.follower.reader().records(&query)? {
            let record = record?;
            self.position = self.position.max(record.seq.unwrap_or(0));
            if self.conditions.is_met_by(&record) {
                return Ok(Some(Waited::Seen(record)));
            }
            if self.conditions.need_state() && record.seq.is_none_or(|seq| seq > self.folded) {
                self.state.apply(&record);
                if self.judge()?.is_some() {
                    return Ok(Some(Waited::Seen(record)));
                }
            }
        }
        self.position = self.position.max(end);
        Ok(None)
    }

    /// The record since which it is so, if it is; a failure if it cannot become so.
    fn judge(&self) -> Result<Option<Mark>, Failure> {
        match self.conditions.judge(&self.state, self.after.unwrap_or(0)) {
            Verdict::Open => Ok(None),
            Verdict::Met(mark) => Ok(Some(mark)),
            Verdict::Never { why, .. } => Err(Failure::new(format!("{}: {why}", self.machine))),
        }
    }

    /// The record behind a mark.
    fn record_of(&self, mark: &Mark) -> Result<Option<Record>, Failure> {
        let Some(seq) = mark.seq else {
            return Ok(None);
        };
        let query = Query::default().after(seq.saturating_sub(1));
        let record = self.follower.reader().records(&query)?.next();
        Ok(record.transpose()?)
    }

    /// Tells what may make the wait a long one.
    fn note_what_is_odd(&self, args: &Args, ui: Ui) -> Result<(), Failure> {
        let machines = self.follower.reader().machines()?;
        if !machines.iter().any(|machine| machine.name == self.machine) {
            let known: Vec<&str> = machines
                .iter()
                .map(|machine| machine.name.as_str())
                .collect();
            let known = known
                .into_iter()
                .take(KNOWN_SHOWN)
                .collect::<Vec<_>>()
                .join(", ");
            ui.note(&format!(
                "note: the journal has no machine {} yet{}",
                self.machine,
                if known.is_empty() {
                    String::new()
                } else {
                    format!("; it has {known}")
                }
            ));
        }
        if !is_being_written(&args.journal.path()) {
            ui.note("note: no recorder writes this journal now");
        }
        Ok(())
    }
}
