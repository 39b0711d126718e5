//! The lab's own monitor: a small blocking QMP client.
//!
//! It is not the project's client on purpose: what the lab says about a QEMU must not depend on
//! the code that is tested with it. It relies on QEMU printing one message a line, which holds
//! for every monitor without `pretty=on`; the lab never asks for that on its own monitor.

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    LabError,
    limits::{CAPTURE_SIZE_MAX_BYTES, EVENT_TIMEOUT, REPLY_TIMEOUT},
};

/// An event as the lab's monitor received it.
#[derive(Debug, Clone, PartialEq)]
pub struct LabEvent {
    /// The event's name.
    pub name: String,
    /// Its `data`; `Null` if there is none.
    pub data: Value,
    /// The line as QEMU sent it, without the line end.
    pub line: String,
}

/// A negotiated connection to a monitor.
#[derive(Debug)]
pub(crate) struct Monitor {
    stream: UnixStream,
    shared: Arc<Shared>,
    commands_sent: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Everything received, byte for byte.
    captured: Vec<u8>,
    /// Where in `captured` the first line begins that is not complete yet.
    incomplete: usize,
    /// Greeting and replies that nobody asked for yet.
    replies: Vec<Value>,
    /// All events, and whether a wait took them.
    events: Vec<(LabEvent, bool)>,
    /// Set when nothing more will come.
    ended: Option<String>,
}

impl Monitor {
    /// Takes over a connection that QEMU made, reads the greeting and negotiates.
    pub(crate) fn negotiate(stream: UnixStream, timeout: Duration) -> Result<Monitor, LabError> {
        let reader = stream
            .try_clone()
            .map_err(LabError::io("clone the monitor's socket"))?;
        stream
            .set_write_timeout(Some(REPLY_TIMEOUT))
            .map_err(LabError::io("set a time limit"))?;
        let shared = Arc::new(Shared::default());
        let filler = Arc::clone(&shared);
        thread::spawn(move || filler.fill(reader));
        let mut monitor = Monitor {
            stream,
            shared,
            commands_sent: 0,
        };
        monitor.wait_for("QEMU's greeting", timeout, |state| {
            let greeting = state
                .replies
                .iter()
                .position(|reply| reply.get("QMP").is_some())?;
            Some(state.replies.remove(greeting))
        })?;
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Runs a command and returns what it returned.
    pub(crate) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, LabError> {
        self.commands_sent += 1;
        let id = json!(format!("lab-{}", self.commands_sent));
        let mut request = json!({ "execute": command, "arguments": arguments, "id": id });
        request["id"] = id.clone();
        let line = format!("{request}\r\n");
        match self.stream.write_all(line.as_bytes()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                return Err(LabError::Gone(format!("the reply to {command}")));
            }
            Err(error) => return Err(LabError::io(format!("send {command}"))(error)),
        }
        let what = format!("the reply to {command}");
        let mut reply = self.wait_for(&what, REPLY_TIMEOUT, |state| {
            let reply = state.replies.iter().position(|reply| reply["id"] == id)?;
            Some(state.replies.remove(reply))
        })?;
        match reply.get("error") {
            Some(error) => Err(LabError::command(command, error)),
            None => Ok(reply["return"].take()),
        }
    }

    /// Waits for an event that no other wait took yet.
    pub(crate) fn take_event(
        &self,
        what: &str,
        wanted: impl Fn(&LabEvent) -> bool,
    ) -> Result<LabEvent, LabError> {
        self.wait_for(what, EVENT_TIMEOUT, |state| {
            let (event, taken) = state
                .events
                .iter_mut()
                .find(|(event, taken)| !taken && wanted(event))?;
            *taken = true;
            Some(event.clone())
        })
    }

    /// Waits until `seen` says yes about all events so far.
    pub(crate) fn wait_events(
        &self,
        what: &str,
        seen: impl Fn(&[&LabEvent]) -> bool,
    ) -> Result<(), LabError> {
        self.wait_for(what, EVENT_TIMEOUT, |state| {
            let events: Vec<&LabEvent> = state.events.iter().map(|(event, _)| event).collect();
            seen(&events).then_some(())
        })
    }

    /// Waits until QEMU closes the connection.
    pub(crate) fn wait_end(&self, timeout: Duration) -> Result<(), LabError> {
        let deadline = Instant::now() + timeout;
        let state = self.shared.lock();
        let left = deadline.saturating_duration_since(Instant::now());
        let still_open = |state: &mut State| state.ended.is_none();
        let (_state, result) = self
            .shared
            .changed
            .wait_timeout_while(state, left, still_open)
            .unwrap_or_else(PoisonError::into_inner);
        if result.timed_out() {
            return Err(LabError::TimedOut {
                what: "the end of the monitor".into(),
                within: timeout,
            });
        }
        Ok(())
    }

    /// All events so far, in the order they came.
    pub(crate) fn events(&self) -> Vec<LabEvent> {
        self.shared
            .lock()
            .events
            .iter()
            .map(|(event, _)| event.clone())
            .collect()
    }

    /// Everything QEMU sent so far, byte for byte.
    pub(crate) fn captured(&self) -> Vec<u8> {
        self.shared.lock().captured.clone()
    }

    fn wait_for<T>(
        &self,
        what: &str,
        timeout: Duration,
        mut found: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, LabError> {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.lock();
        loop {
            if let Some(it) = found(&mut state) {
                return Ok(it);
            }
            if state.ended.is_some() {
                return Err(LabError::Gone(what.to_owned()));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LabError::TimedOut {
                    what: what.to_owned(),
                    within: timeout,
                });
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, mut stream: UnixStream) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let got = stream.read(&mut buffer);
            let mut state = self.lock();
            match got {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => state.ended = Some(error.to_string()),
                Ok(0) => state.ended = Some("closed".to_owned()),
                Ok(got) => state.receive(buffer.get(..got).unwrap_or_default()),
            }
            self.changed.notify_all();
            if state.ended.is_some() {
                return;
            }
        }
    }
}

impl State {
    fn receive(&mut self, bytes: &[u8]) {
        if self.captured.len() + bytes.len() > CAPTURE_SIZE_MAX_BYTES {
            self.ended = Some(format!("more than {CAPTURE_SIZE_MAX_BYTES} bytes"));
            return;
        }
        self.captured.extend_from_slice(bytes);
        while let Some(rest) = self.captured.get(self.incomplete..)
            && let Some(length) = rest.iter().position(|byte| *byte == b'\n')
        {
            let line = String::from_utf8_lossy(rest.get(..length).unwrap_or_default())
                .trim_end_matches('\r')
                .to_owned();
            self.incomplete += length + 1;
            self.sort_in(line);
        }
    }

    fn sort_in(&mut self, line: String) {
        match serde_json::from_str::<Value>(&line) {
            Ok(mut message) => match message.get("event").and_then(Value::as_str) {
                Some(name) => {
                    let name = name.to_owned();
                    let data = message.get_mut("data").map(Value::take).unwrap_or_default();
                    self.events.push((LabEvent { name, data, line }, false));
                }
                None => self.replies.push(message),
            },
            Err(error) => self.ended = Some(format!("not a message: {error}: {line}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that QEMU 7.2 sends are sorted into replies and events, whatever the reads.
    #[test]
    fn lines_are_sorted_however_they_arrive() {
        let stream = b"{\"QMP\": {}}\r\n{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \
            \"event\": \"RESET\", \"data\": {\"guest\": true}}\r\n{\"return\": {}, \"id\": \"lab-1\"}\r\n";
        for size in [1, 7, stream.len()] {
            let mut state = State::default();
            for piece in stream.chunks(size) {
                state.receive(piece);
            }
            assert_eq!(state.captured, stream);
            assert_eq!(state.replies.len(), 2);
            let (event, taken) = &state.events[0];
            assert_eq!(
                (event.name.as_str(), &event.data),
                ("RESET", &json!({"guest": true}))
            );
            assert!(!taken && event.line.ends_with("}}"));
        }
    }
}
