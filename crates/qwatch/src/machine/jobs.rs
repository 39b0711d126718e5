//! Jobs: what they do, how far they are, how they ended.

use std::collections::BTreeMap;

use qmp_events::vocabulary::{BlockErrorAction, JobStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fact::{Mark, Unheard};
use super::queries::{items, number, text};
use super::text::clipped;
use crate::limits::STATE_JOBS_MAX;

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Well.
    Completed,
    /// With an error; [`Job::error`] has it if anything told.
    Failed,
    /// By command, or because QEMU was ending.
    Cancelled,
    /// It failed or was cancelled, nothing told which.
    Aborted,
    /// It ended while nobody was listening.
    Unheard,
}

impl Outcome {
    /// One word for tables and programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Aborted => "aborted",
            Self::Unheard => "unheard",
        }
    }
}

/// A job of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id (before QEMU 2.7: the name of its drive).
    pub id: String,
    /// What it does: `backup`, `mirror`, ...; `None` if nothing told.
    pub kind: Option<String>,
    /// Where it stands, in QEMU's words (`running`, `ready`, `concluded`, ...; `null` once dismissed).
    pub status: String,
    /// The record that said so.
    pub since: Mark,
    /// The record by which it was first heard of.
    pub first: Mark,
    /// Work done, in bytes for block jobs.
    pub offset: u64,
    /// Work to do.
    pub len: u64,
    /// How it ended; `None` while it has not.
    pub outcome: Option<Outcome>,
    /// Why it failed.
    pub error: Option<String>,
    /// The disk error that paused it, until it goes on.
    pub paused_by: Option<Mark>,
    /// The time not heard in which it ended.
    pub unheard: Option<Unheard>,
    /// It was seen to abort.
    aborting: bool,
    /// Records of it that an explanation shows, in order.
    pub(super) chain: Vec<Mark>,
}

impl Job {
    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.outcome.is_some()
    }

    /// How far it is, in percent.
    pub fn percent(&self) -> Option<u64> {
        let (offset, len) = (u128::from(self.offset), u128::from(self.len));
        (len > 0).then(|| u64::try_from(offset.min(len) * 100 / len).unwrap_or(100))
    }

    fn become_at(&mut self, status: &str, mark: &Mark) {
        if self.status != status {
            self.status = clipped(status);
            self.since = mark.clone();
        }
        if status != JobStatus::Paused.as_str() && status != JobStatus::Standby.as_str() {
            self.paused_by = None;
        }
    }

    fn end(&mut self, outcome: Outcome, mark: &Mark) {
        self.outcome = Some(outcome);
        self.note(mark);
    }

    fn note(&mut self, mark: &Mark) {
        super::run::push_bounded(&mut self.chain, mark.clone(), crate::limits::JOB_CHAIN_MAX);
    }
}

/// The jobs of a machine, those that ended too until there are too many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Jobs(BTreeMap<String, Job>);

/// What the events of block jobs say beside the id.
pub(super) struct Progress<'e> {
    pub(super) kind: &'e str,
    pub(super) offset: i64,
    pub(super) len: i64,
}

impl Jobs {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Job> {
        self.0.values()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Job> {
        self.0.get(id)
    }

    /// JOB_STATUS_CHANGE.
    pub(super) fn status(&mut self, id: &str, status: &JobStatus, mark: &Mark) {
        if *status == JobStatus::Created {
            self.0.remove(id);
        }
        let job = self.job(id, mark);
        match status {
            // Dismissed: it stays as it ended.
            JobStatus::Null if job.outcome.is_none() => job.end(Outcome::Unheard, mark),
            JobStatus::Null => {}
            JobStatus::Aborting => {
                job.aborting = true;
                job.note(mark);
            }
            JobStatus::Concluded if job.outcome.is_none() && job.aborting => {
                job.end(Outcome::Aborted, mark);
            }
            JobStatus::Concluded if job.outcome.is_none() => job.end(Outcome::Completed, mark),
            _ => {}
        }
        job.become_at(status.as_str(), mark);
    }

    /// BLOCK_JOB_READY.
    pub(super) fn ready(&mut self, id: &str, progress: &Progress<'_>, mark: &Mark) {
        let job = self.job(id, mark);
        job.progress(progress);
        job.become_at(JobStatus::Ready.as_str(), mark);
    }

    /// BLOCK_JOB_PENDING.
    pub(super) fn pending(&mut self, id: &str, kind: &str, mark: &Mark) {
        let job = self.job(id, mark);
        job.kind = Some(clipped(kind));
        job.become_at(JobStatus::Pending.as_str(), mark);
    }

    /// BLOCK_JOB_ERROR.
    pub(super) fn error(&mut self, id: &str, action: &BlockErrorAction, mark: &Mark) {
        let job = self.job(id, mark);
        job.note(mark);
        if *action == BlockErrorAction::Stop {
            job.paused_by = Some(mark.clone());
        }
    }

    /// BLOCK_JOB_COMPLETED.
    pub(super) fn completed(
        &mut self,
        id: &str,
        progress: &Progress<'_>,
        error: Option<&str>,
        mark: &Mark,
    ) {
        let outcome = match error {
            Some(_) => Outcome::Failed,
            None => Outcome::Completed,
        };
        let job = self.ended(id, progress, outcome, mark);
        job.error = error.map(clipped);
    }

    /// BLOCK_JOB_CANCELLED.
    pub(super) fn cancelled(&mut self, id: &str, progress: &Progress<'_>, mark: &Mark) {
        self.ended(id, progress, Outcome::Cancelled, mark);
    }

    /// What `query-jobs` and `query-block-jobs` said; what is not listed is over.
    pub(super) fn found(&mut self, data: &Value, unheard: Option<&Unheard>, mark: &Mark) {
        let lists = [data.get("query-jobs"), data.get("query-block-jobs")];
        let heard: Vec<&Value> = lists
            .into_iter()
            .flatten()
            .filter(|l| l.is_array())
            .collect();
        if heard.is_empty() {
            return;
        }
        let mut listed = Vec::new();
        for job in heard.iter().flat_map(|list| items(list)) {
            let Some(id) = text(job, "id").or_else(|| text(job, "device")) else {
                continue;
            };
            listed.push(id.to_owned());
            self.take_listed(id, job, mark);
        }
        for job in self.0.values_mut() {
            if !job.is_over() && !listed.contains(&job.id) {
                job.unheard = unheard.cloned();
                job.end(Outcome::Unheard, mark);
                job.since = mark.clone();
            }
        }
    }

    fn take_listed(&mut self, id: &str, listed: &Value, mark: &Mark) {
        // Over as far as was heard, and there again: another one.
        if self
            .0
            .get(id)
            .is_some_and(|job| job.status == JobStatus::Null.as_str())
        {
            self.0.remove(id);
        }
        let job = self.job(id, mark);
        if let Some(kind) = text(listed, "type") {
            job.kind = Some(clipped(kind));
        }
        let of = |new: &str, old: &str| number(listed, new).or_else(|| number(listed, old));
        job.offset = of("current-progress", "offset").unwrap_or(job.offset);
        job.len = of("total-progress", "len").unwrap_or(job.len);
        if let Some(error) = text(listed, "error") {
            job.error = Some(clipped(error));
        }
        let status = text(listed, "status");
        if status == Some(JobStatus::Concluded.as_str()) {
            let outcome = match &job.error {
                Some(_) => Outcome::Failed,
                None => Outcome::Completed,
            };
            // An error found later says that what was aborted failed.
            if matches!(job.outcome, None | Some(Outcome::Aborted)) {
                job.end(outcome, mark);
            }
        }
        if let Some(status) = status {
            job.become_at(status, mark);
        }
    }

    fn ended(
        &mut self,
        id: &str,
        progress: &Progress<'_>,
        outcome: Outcome,
        mark: &Mark,
    ) -> &mut Job {
        let job = self.job(id, mark);
        job.progress(progress);
        job.end(outcome, mark);
        // Up to 2.12 this is all there is.
        if job.status.is_empty() || job.status == JobStatus::Ready.as_str() {
            job.become_at(JobStatus::Concluded.as_str(), mark);
        }
        job
    }

    fn job(&mut self, id: &str, mark: &Mark) -> &mut Job {
        let id = clipped(id);
        if !self.0.contains_key(&id) && self.0.len() >= STATE_JOBS_MAX {
            self.forget_one();
        }
        self.0.entry(id.clone()).or_insert_with(|| Job {
            id,
            first: mark.clone(),
            since: mark.clone(),
            ..Job::default()
        })
    }

    /// The one that ended longest ago, else the one that has not changed for longest.
    fn forget_one(&mut self) {
        let oldest = self
            .0
            .values()
            .min_by_key(|job| (!job.is_over(), job.since.received_us))
            .map(|job| job.id.clone());
        if let Some(id) = oldest {
            self.0.remove(&id);
        }
    }
}

impl Job {
    fn progress(&mut self, progress: &Progress<'_>) {
        self.kind = Some(clipped(progress.kind));
        self.offset = u64::try_from(progress.offset).unwrap_or(0);
        self.len = u64::try_from(progress.len).unwrap_or(0);
    }
}
