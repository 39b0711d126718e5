//! What an attachment pays attention to in the events that go by, and what it asks because of them.

use std::time::Instant;

use qmp_client::CommandError;
use qmp_protocol::{ClientSession, CommandId};
use serde_json::Value;

use super::cause::Causes;
use super::interview::{Answers, Interview, Topic};
use crate::journal::{Entry, Memory};
use crate::limits::STOP_QUESTIONS_PAUSE;

/// The event after which QEMU is asked why.
const STOP: &str = "STOP";

/// What was heard and is to be asked.
#[derive(Debug, Default)]
pub(super) struct Attention {
    causes: Causes,
    /// The reason of the last SHUTDOWN that nothing followed; empty if it gave none.
    shutdown: Option<String>,
    interview: Option<Box<Interview>>,
    /// The whole state is to be asked for.
    whole_due: bool,
    /// A STOP came whose cause is not known.
    stop_due: bool,
    /// The questions under way were asked after that STOP.
    covers_stop: bool,
    /// Not so soon again.
    not_before: Option<Instant>,
}

impl Attention {
    /// Goes on from what another recorder had in mind.
    pub(super) fn recall(memory: &Memory) -> Self {
        Self {
            shutdown: memory.shutdown.clone(),
            whole_due: memory.asking.as_deref() == Some(""),
            stop_due: memory.asking.as_deref() == Some(STOP),
            ..Self::default()
        }
    }

    /// What the next recorder should have in mind, but for [`Memory::partial`].
    pub(super) fn memory(&self) -> Memory {
        let asking = match (self.whole_due, self.stop_due) {
            (true, _) => Some(String::new()),
            (false, true) => Some(STOP.to_owned()),
            (false, false) => None,
        };
        Memory {
            shutdown: self.shutdown.clone(),
            asking,
            partial: None,
        }
    }

    /// The reason of the last SHUTDOWN that nothing followed; empty if it gave none.
    pub(super) fn shutdown(&self) -> Option<&str> {
        self.shutdown.as_deref()
    }

    /// The whole state is to be asked for.
    pub(super) fn ask_state(&mut self) {
        self.whole_due = true;
    }

    /// Asks who it is, before anything else.
    pub(super) fn ask_identity(&mut self) {
        self.interview = Some(Box::new(Interview::new(Topic::Identity)));
    }

    /// Takes the next event; true if [`Attention::memory`] may have changed.
    pub(super) fn hear(&mut self, event: &Entry) -> bool {
        let Some(name) = event.event_name() else {
            return false;
        };
        if self.causes.hear(name, event.data()) {
            self.stop_due = true;
            self.covers_stop = false;
        }
        match name {
            STOP => {}
            "SHUTDOWN" => {
                let data: Option<Value> = event
                    .data()
                    .and_then(|data| serde_json::from_str(data).ok());
                let reason = data.and_then(|data| Some(data.get("reason")?.as_str()?.to_owned()));
                self.shutdown = Some(reason.unwrap_or_default());
            }
            // With -no-shutdown a machine can be reset and go on.
            "RESET" | "RESUME" => {
                self.shutdown = None;
                self.stop_due = false;
            }
            _ => return false,
        }
        true
    }

    /// Takes a reply; false if nothing here asked for it.
    pub(super) fn hear_reply(&mut self, id: CommandId, result: Result<&str, CommandError>) -> bool {
        self.interview
            .as_mut()
            .is_some_and(|interview| interview.hear(id, result))
    }

    /// Asks what there is to ask next; gives the answers when there are all. `may_ask` says whether a new
    /// matter may be begun.
    pub(super) fn proceed(
        &mut self,
        session: &mut ClientSession,
        may_ask: bool,
        now: Instant,
    ) -> Option<Answers> {
        if self.interview.is_none() && may_ask {
            self.begin(now);
        }
        let answers = self.interview.as_mut()?.proceed(session, now)?;
        self.interview = None;
        if let Answers::State(_) = answers {
            self.whole_due = false;
            self.stop_due &= !self.covers_stop;
        }
        Some(answers)
    }

    fn begin(&mut self, now: Instant) {
        let topic = if self.whole_due {
            Topic::State(None)
        } else if self.stop_due && self.not_before.is_none_or(|then| then <= now) {
            Topic::State(Some(STOP))
        } else {
            return;
        };
        self.covers_stop = true;
        self.not_before = now.checked_add(STOP_QUESTIONS_PAUSE);
        self.interview = Some(Box::new(Interview::new(topic)));
    }

    /// Whether an answer is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.interview.is_some()
    }

    /// Tells the time.
    pub(super) fn handle_timeout(&mut self, session: &mut ClientSession, now: Instant) {
        if let Some(interview) = &mut self.interview {
            interview.handle_timeout(session, now);
        }
    }

    /// When to call [`Attention::handle_timeout`] and [`Attention::proceed`].
    pub(super) fn poll_timeout(&self, may_ask: bool) -> Option<Instant> {
        match &self.interview {
            Some(interview) => interview.poll_timeout(),
            None => self.not_before.filter(|_| may_ask && self.stop_due),
        }
    }
}
