//! Block jobs of an emulated machine.

use qmp_events::Event;
use qmp_events::vocabulary::{
    BlockJobCancelled, BlockJobCompleted, BlockJobReady, JobStatus, JobStatusChange, JobType,
};

/// A job while it exists; gone as soon as it is concluded, as with commands that do not ask otherwise.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) kind: JobType,
    pub(super) status: JobStatus,
    pub(super) length: i64,
    pub(super) offset: i64,
}

/// How a job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JobEnd {
    Completed,
    Failed(String),
    Cancelled,
}

impl Job {
    /// A new job, already running, and the events of its beginning.
    pub(super) fn start(id: &str, kind: JobType, length: i64) -> (Self, Vec<Event<'static>>) {
        let mut job = Self {
            id: id.to_owned(),
            kind,
            status: JobStatus::Created,
            length,
            offset: 0,
        };
        let events = vec![job.enter(JobStatus::Created), job.enter(JobStatus::Running)];
        (job, events)
    }

    /// It has caught up and waits for its completion to be asked for.
    pub(super) fn ready(&mut self) -> Vec<Event<'static>> {
        if self.status != JobStatus::Running {
            return Vec::new();
        }
        self.offset = self.length;
        let ready = BlockJobReady {
            r#type: self.kind.clone(),
            device: self.id.clone().into(),
            len: self.length,
            offset: self.offset,
            ..BlockJobReady::default()
        };
        vec![self.enter(JobStatus::Ready), ready.into()]
    }

    /// The events of its end, the last of which dismisses it.
    pub(super) fn end(mut self, end: JobEnd) -> Vec<Event<'static>> {
        let mut events = Vec::new();
        if end == JobEnd::Completed {
            self.offset = self.length;
            events.push(self.enter(JobStatus::Waiting));
            events.push(self.enter(JobStatus::Pending));
        } else {
            events.push(self.enter(JobStatus::Aborting));
        }
        events.push(self.last_word(end));
        events.push(self.enter(JobStatus::Concluded));
        events.push(self.enter(JobStatus::Null));
        events
    }

    fn last_word(&self, end: JobEnd) -> Event<'static> {
        let error = match end {
            JobEnd::Cancelled => {
                let cancelled = BlockJobCancelled {
                    r#type: self.kind.clone(),
                    device: self.id.clone().into(),
                    len: self.length,
                    offset: self.offset,
                    ..BlockJobCancelled::default()
                };
                return cancelled.into();
            }
            JobEnd::Failed(error) => Some(error.into()),
            JobEnd::Completed => None,
        };
        let completed = BlockJobCompleted {
            r#type: self.kind.clone(),
            device: self.id.clone().into(),
            len: self.length,
            offset: self.offset,
            error,
            ..BlockJobCompleted::default()
        };
        completed.into()
    }

    fn enter(&mut self, status: JobStatus) -> Event<'static> {
        self.status = status.clone();
        let change = JobStatusChange {
            id: self.id.clone().into(),
            status,
            ..JobStatusChange::default()
        };
        change.into()
    }
}
