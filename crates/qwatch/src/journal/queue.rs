//! What waits to be written, in an order that is fair.
//!
//! Records of one run stay in their order. Between runs the writer takes turns, a batch each, so that
//! whoever floods waits for itself. The beginning of a run is a fence: what came before it is written
//! before it, because it looks at how the machine's last run ended.

use std::collections::{HashMap, VecDeque};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::store::{Change, Outcome};
use super::{Batch, Mark, RunInfo, Snapshot, WriteError};

/// Queued work; its room in the queue is free again when this is dropped.
pub(super) struct Pending {
    pub(super) work: Work,
    pub(super) reply: oneshot::Sender<Result<Outcome, WriteError>>,
    pub(super) bytes: usize,
    pub(super) _room: Vec<OwnedSemaphorePermit>,
}

/// What is to be done.
pub(super) enum Work {
    /// A run begins.
    Open(RunInfo),
    /// A snapshot of a state is to be kept.
    Keep(Snapshot),
    /// Records come, or an end.
    Append(Batch, Option<Mark>),
}

impl Pending {
    pub(super) fn change(&self) -> Change<'_> {
        match &self.work {
            Work::Open(info) => Change::Open(info),
            Work::Keep(snapshot) => Change::Keep(snapshot),
            Work::Append(batch, mark) => Change::Append {
                run: batch.run,
                entries: &batch.entries,
                end: batch.end.as_ref(),
                mark: mark.as_ref(),
            },
        }
    }

    pub(super) fn rows(&self) -> usize {
        match &self.work {
            Work::Open(_) | Work::Keep(_) => 1,
            Work::Append(batch, _) => batch.entries.len(),
        }
    }
}

/// All that waits.
#[derive(Default)]
pub(super) struct Backlog {
    sections: VecDeque<Section>,
}

/// What waits between two fences.
enum Section {
    /// The beginning of a run.
    Fence(Pending),
    /// Records of several runs.
    Turns(Turns),
}

#[derive(Default)]
struct Turns {
    runs: HashMap<u64, VecDeque<Pending>>,
    order: VecDeque<u64>,
}

impl Backlog {
    pub(super) fn push(&mut self, pending: Pending) {
        let run = match &pending.work {
            Work::Open(_) => {
                self.sections.push_back(Section::Fence(pending));
                return;
            }
            Work::Keep(snapshot) => snapshot.run,
            Work::Append(batch, _) => batch.run.number(),
        };
        if !matches!(self.sections.back(), Some(Section::Turns(_))) {
            self.sections.push_back(Section::Turns(Turns::default()));
        }
        if let Some(Section::Turns(turns)) = self.sections.back_mut() {
            let waiting = turns.runs.entry(run).or_default();
            if waiting.is_empty() {
                turns.order.push_back(run);
            }
            waiting.push_back(pending);
        }
    }

    /// What is next, whoever's turn it is.
    pub(super) fn pop(&mut self) -> Option<Pending> {
        if let Section::Turns(turns) = self.sections.front_mut()? {
            let pending = turns.pop();
            if turns.order.is_empty() {
                self.sections.pop_front();
            }
            return pending;
        }
        match self.sections.pop_front()? {
            Section::Fence(pending) => Some(pending),
            Section::Turns(_) => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// How many runs have something that waits; beginnings of runs count each.
    pub(super) fn waiting_runs(&self) -> usize {
        let of = |section: &Section| match section {
            Section::Fence(_) => 1,
            Section::Turns(turns) => turns.order.len(),
        };
        self.sections.iter().map(of).sum()
    }
}

impl Turns {
    fn pop(&mut self) -> Option<Pending> {
        let run = self.order.pop_front()?;
        let waiting = self.runs.get_mut(&run)?;
        let pending = waiting.pop_front()?;
        if waiting.is_empty() {
            self.runs.remove(&run);
        } else {
            self.order.push_back(run);
        }
        Some(pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::RunId;

    fn append(run: i64) -> Pending {
        let batch = Batch {
            run: RunId::of(run),
            entries: vec![],
            end: None,
        };
        Pending {
            work: Work::Append(batch, None),
            reply: oneshot::channel().0,
            bytes: 1,
            _room: Vec::new(),
        }
    }

    fn open() -> Pending {
        Pending {
            work: Work::Open(RunInfo::default()),
            ..append(0)
        }
    }

    fn all(mut backlog: Backlog) -> Vec<i64> {
        let mut order = Vec::new();
        while let Some(pending) = backlog.pop() {
            order.push(match pending.work {
                Work::Open(_) | Work::Keep(_) => 0,
                Work::Append(batch, _) => batch.run.number().cast_signed(),
            });
        }
        assert!(backlog.is_empty() && backlog.waiting_runs() == 0);
        order
    }

    #[test]
    fn a_flood_waits_for_itself() {
        let mut backlog = Backlog::default();
        for run in [1, 1, 1, 1, 2, 3, 2] {
            backlog.push(append(run));
        }
        assert_eq!(all(backlog), [1, 2, 3, 1, 2, 1, 1]);
    }

    #[test]
    fn nothing_overtakes_the_beginning_of_a_run() {
        let mut backlog = Backlog::default();
        for run in [1, 1, 2, 0, 0, 3, 1, 3] {
            backlog.push(if run == 0 { open() } else { append(run) });
        }
        assert_eq!(all(backlog), [1, 2, 1, 0, 0, 3, 1, 3]);
    }
}
