//! Questions to a QEMU, one after the other: who it is, and what state it is in.
//!
//! Pure: replies and times come in, commands go to the session.

use std::fmt::Write;
use std::time::Instant;

use qmp_client::{CommandError, ErrorClass};
use qmp_protocol::{ClientSession, CommandId};
use serde_json::{Value, json};

use crate::limits::{IDENTIFY_TIMEOUT, STATE_ANSWER_MAX_BYTES, STATE_TIMEOUT};

/// Who it is.
const IDENTITY: &[&str] = &["query-name", "query-uuid"];

/// The whole state. Never `query-rx-filter`: it arms NIC_RX_FILTER_CHANGED anew, so that asking would
/// change what QEMU's other clients hear.
const STATE: &[&str] = &[
    "query-status",
    "query-block",
    "query-block-jobs",
    "query-jobs",
    "query-migrate",
    "query-balloon",
    "query-vnc",
    "query-spice",
    "query-chardev",
];

/// What tells why a machine has stopped.
const STOPPED: &[&str] = &["query-status", "query-block", "query-jobs"];

/// Some questions, and the answers so far.
#[derive(Debug)]
pub(super) struct Interview {
    topic: Topic,
    /// How many questions have been asked.
    asked: usize,
    waiting: Option<(CommandId, Instant)>,
    answers: Answers,
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// Who it is.
    Identity,
    /// Its state: all of it, or what matters after an event of this name.
    State(Option<&'static str>),
}

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// To [`Topic::Identity`]; what was not said is `None`.
    Identity {
        /// The name.
        name: Option<String>,
        /// The uuid, unless it is all zeros, which is what a QEMU without `-uuid` says.
        uuid: Option<String>,
    },
    /// To [`Topic::State`]: the data of the record, one member a query. What this QEMU does not know, or has
    /// no device for, is left out.
    State(String),
}

impl Topic {
    fn questions(&self) -> &'static [&'static str] {
        match self {
            Self::Identity => IDENTITY,
            Self::State(None) => STATE,
            Self::State(Some(_)) => STOPPED,
        }
    }
}

impl Interview {
    pub(super) fn new(topic: Topic) -> Self {
        let answers = match &topic {
            Topic::Identity => Answers::Identity {
                name: None,
                uuid: None,
            },
            Topic::State(None) => Answers::State("{".to_owned()),
            Topic::State(Some(event)) => Answers::State(format!("{{\"asked\": \"{event}\"")),
        };
        Self {
            topic,
            asked: 0,
            waiting: None,
            answers,
        }
    }

    /// Asks the next question, if the one before is answered; gives the answers when all are, once.
    pub(super) fn proceed(&mut self, session: &mut ClientSession, now: Instant) -> Option<Answers> {
        while self.waiting.is_none() {
            let Some(question) = self.topic.questions().get(self.asked) else {
                return Some(self.finish());
            };
            match session.execute(question, None, false) {
                Ok(id) => {
                    let patience = match self.topic {
                        Topic::Identity => IDENTIFY_TIMEOUT,
                        Topic::State(_) => STATE_TIMEOUT,
                    };
                    self.waiting = Some((id, now + patience));
                }
                Err(refused) => {
                    self.add(&json!({ "error": refused.to_string() }).to_string());
                    self.asked += 1;
                }
            }
        }
        None
    }

    /// Takes a reply; false if it answers nothing that was asked here.
    pub(super) fn hear(&mut self, id: CommandId, result: Result<&str, CommandError>) -> bool {
        if self.waiting.is_none_or(|(waiting, _)| waiting != id) {
            return false;
        }
        self.waiting = None;
        match result {
            Ok(answer) if answer.len() > STATE_ANSWER_MAX_BYTES => {
                self.add(&json!({ "omitted_bytes": answer.len() }).to_string());
            }
            Ok(answer) => self.add(answer),
            Err(error) => match error.class {
                ErrorClass::CommandNotFound | ErrorClass::DeviceNotActive => {}
                _ => self.add(&json!({ "error": error.desc }).to_string()),
            },
        }
        self.asked += 1;
        true
    }

    /// Tells the time: a question may have waited long enough.
    pub(super) fn handle_timeout(&mut self, session: &mut ClientSession, now: Instant) {
        if let Some((id, _)) = self.waiting.take_if(|(_, deadline)| *deadline <= now) {
            session.cancel(id);
            let error = format!(
                "no answer within {} s: QEMU's main loop is busy or stuck",
                STATE_TIMEOUT.as_secs_f64()
            );
            self.add(&json!({ "error": error }).to_string());
            self.asked += 1;
        }
    }

    /// When to call [`Interview::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.map(|(_, deadline)| deadline)
    }

    fn add(&mut self, answer: &str) {
        let question = self.topic.questions()[self.asked];
        match &mut self.answers {
            Answers::State(data) => {
                let comma = if data.len() > 1 { ", " } else { "" };
                // Writing to a string cannot fail.
                let _ = write!(data, "{comma}\"{question}\": {answer}");
            }
            Answers::Identity { name, uuid } => match question {
                "query-name" => *name = member(answer, "name"),
                _ => {
                    *uuid = member(answer, "UUID")
                        .filter(|uuid| uuid.chars().any(|c| c != '0' && c != '-'));
                }
            },
        }
    }

    fn finish(&mut self) -> Answers {
        if let Answers::State(data) = &mut self.answers {
            data.push('}');
        }
        std::mem::replace(&mut self.answers, Answers::State(String::new()))
    }
}

fn member(answer: &str, member: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    let text = answer.get(member)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use qmp_protocol::{Greeting, Output};

    use super::*;

    fn session() -> ClientSession {
        ClientSession::resume(Greeting::default(), false, 0)
    }

    /// Answers the question that was sent.
    fn answer(session: &mut ClientSession, interview: &mut Interview, answer: &str) -> String {
        let command = session.poll_transmit().expect("a question");
        let command: Value = serde_json::from_slice(&command).expect("JSON");
        session.handle_input(format!("{{{answer}, \"id\": {}}}", command["id"]).as_bytes());
        let Some(Output::Reply { id, result }) = session.poll_output() else {
            panic!("a reply");
        };
        assert!(interview.hear(id, result));
        command["execute"].as_str().expect("a name").to_owned()
    }

    #[test]
    fn who_it_is() {
        let (mut session, now) = (session(), Instant::now());
        let mut interview = Interview::new(Topic::Identity);
        for reply in [
            r#""return": {"name": "web"}"#,
            r#""return": {"UUID": "00000000-0000-0000-0000-000000000000"}"#,
        ] {
            assert_eq!(interview.proceed(&mut session, now), None);
            answer(&mut session, &mut interview, reply);
        }
        let found = interview.proceed(&mut session, now);
        let name = Some("web".to_owned());
        assert_eq!(found, Some(Answers::Identity { name, uuid: None }));
    }

    #[test]
    fn what_is_not_answered_is_said_and_what_is_not_known_is_left_out() {
        let (mut session, mut now) = (session(), Instant::now());
        let mut interview = Interview::new(Topic::State(Some("STOP")));
        assert_eq!(interview.proceed(&mut session, now), None);
        session.poll_transmit().expect("a question");
        interview.handle_timeout(&mut session, now);
        assert_eq!(interview.proceed(&mut session, now), None);
        assert_eq!(session.poll_transmit(), None, "it is still waited for");
        now = interview.poll_timeout().expect("a deadline");
        interview.handle_timeout(&mut session, now);
        for reply in [
            r#""error": {"class": "GenericError", "desc": "no"}"#,
            r#""error": {"class": "CommandNotFound", "desc": "no"}"#,
        ] {
            assert_eq!(interview.proceed(&mut session, now), None);
            answer(&mut session, &mut interview, reply);
        }
        let Some(Answers::State(data)) = interview.proceed(&mut session, now) else {
            panic!("answers");
        };
        let data: Value = serde_json::from_str(&data).expect("JSON");
        let error = data["query-status"]["error"].as_str().expect("an error");
        assert!(error.starts_with("no answer within 10 s"), "{error}");
        assert_eq!(data["query-block"]["error"], "no");
        assert_eq!(data.as_object().map(serde_json::Map::len), Some(3));
    }
}
