//! The commands of a session: printed, queued, sent, answered.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use serde_json::value::RawValue;

use crate::limits::{COMMAND_SIZE_MAX_BYTES, IN_BAND_MAX_COMMANDS, OUTSTANDING_MAX_COMMANDS};

/// A command of one session. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(u64);

/// Why a command was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedCommand {
    /// The session is over.
    #[error("the connection is closed")]
    Closed,
    /// Out-of-band was asked for, but is not enabled.
    #[error(
        "out-of-band commands are not enabled: ask for `oob` when connecting; QEMU offers it since 4.0"
    )]
    NoOob,
    /// The arguments are not what QMP takes.
    #[error("the arguments must be one JSON object: {0}")]
    Arguments(String),
    /// The command is longer than QEMU reads.
    #[error("the command has {0} bytes, QEMU reads at most {COMMAND_SIZE_MAX_BYTES}")]
    TooLarge(usize),
    /// Too many commands wait.
    #[error("{OUTSTANDING_MAX_COMMANDS} commands wait for QEMU already: it does not answer")]
    TooMany,
}

/// What a reply's id says.
pub(super) enum Answered {
    /// Somebody waits for it.
    Ours,
    /// Nobody waits any more.
    Cancelled,
    /// A session before this one, over the same connection, may have asked.
    Before,
    /// No command of this session.
    Unknown,
}

/// The commands that wait, in order, and those that are being answered.
#[derive(Debug)]
pub(super) struct Commands {
    /// The id of `qmp_capabilities`. Those below it are of a session before this one.
    negotiation: CommandId,
    next: u64,
    waiting: VecDeque<Waiting>,
    in_flight: BTreeMap<CommandId, Flight>,
}

#[derive(Debug)]
struct Waiting {
    id: CommandId,
    oob: bool,
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    oob: bool,
    cancelled: bool,
}

impl CommandId {
    /// The id in a reply, if it is one that a session could have given.
    pub(super) fn read(raw: &str) -> Option<Self> {
        raw.parse().ok().map(Self)
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl Commands {
    /// The negotiation has this id, commands count from the next one on.
    pub(super) fn from(first: u64) -> Self {
        // So far from the largest number that counting never gets there.
        let first = first.min(u64::MAX / 2);
        Self {
            negotiation: CommandId(first),
            next: first + 1,
            waiting: VecDeque::new(),
            in_flight: BTreeMap::new(),
        }
    }

    pub(super) fn is_negotiation(&self, id: CommandId) -> bool {
        id == self.negotiation
    }

    /// The command that ends the negotiation.
    pub(super) fn negotiate(&self, oob: bool) -> Vec<u8> {
        let arguments = oob.then_some(r#"{"enable":["oob"]}"#);
        print("qmp_capabilities", arguments, false, self.negotiation)
            .expect("the arguments are a JSON object")
    }

    pub(super) fn awaits_reply(&self) -> bool {
        !self.waiting.is_empty() || self.in_flight.values().any(|flight| !flight.cancelled)
    }

    pub(super) fn in_band_in_flight(&self) -> usize {
        self.in_flight.values().filter(|flight| !flight.oob).count()
    }

    pub(super) fn add(
        &mut self,
        command: &str,
        arguments: Option<&str>,
        oob: bool,
    ) -> Result<CommandId, RefusedCommand> {
        // Cancelled commands count until they are answered: QEMU still holds them.
        if self.waiting.len() + self.in_flight.len() >= OUTSTANDING_MAX_COMMANDS {
            return Err(RefusedCommand::TooMany);
        }
        let id = CommandId(self.next);
        let text = print(command, arguments, oob, id)?;
        if text.len() > COMMAND_SIZE_MAX_BYTES {
            return Err(RefusedCommand::TooLarge(text.len()));
        }
        self.next += 1;
        self.waiting.push_back(Waiting { id, oob, text });
        Ok(id)
    }

    /// The next command that may be sent: out-of-band ones at once, others while QEMU has room.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let room = self.in_band_in_flight() < IN_BAND_MAX_COMMANDS;
        let at = match self.waiting.iter().position(|waiting| waiting.oob) {
            Some(urgent) => urgent,
            None if room && !self.waiting.is_empty() => 0,
            None => return None,
        };
        let Waiting { id, oob, text } = self.waiting.remove(at)?;
        let cancelled = false;
        self.in_flight.insert(id, Flight { oob, cancelled });
        Some(text)
    }

    pub(super) fn cancel(&mut self, id: CommandId) {
        self.waiting.retain(|waiting| waiting.id != id);
        if let Some(flight) = self.in_flight.get_mut(&id) {
            flight.cancelled = true;
        }
    }

    pub(super) fn answered(&mut self, id: CommandId) -> Answered {
        match self.in_flight.remove(&id) {
            Some(Flight {
                cancelled: true, ..
            }) => Answered::Cancelled,
            Some(_) => Answered::Ours,
            None if id < self.negotiation => Answered::Before,
            None => Answered::Unknown,
        }
    }
}

/// One command as sent. Without any white space but a line end (for servers that read lines): QEMU
/// reads its input a byte at a time, at about 5 µs a byte (7.2, 10.0).
fn print(
    command: &str,
    arguments: Option<&str>,
    oob: bool,
    id: CommandId,
) -> Result<Vec<u8>, RefusedCommand> {
    let key = if oob { "exec-oob" } else { "execute" };
    let name = serde_json::Value::from(command);
    let mut text = format!("{{\"{key}\":{name}").into_bytes();
    if let Some(arguments) = arguments {
        text.extend_from_slice(b",\"arguments\":");
        print_compact(arguments, &mut text)?;
    }
    text.extend_from_slice(format!(",\"id\":{id}}}\n").as_bytes());
    Ok(text)
}

/// Appends a JSON object without white space between its tokens; numbers and strings stay as they are.
fn print_compact(object: &str, out: &mut Vec<u8>) -> Result<(), RefusedCommand> {
    let raw: &RawValue = serde_json::from_str(object)
        .map_err(|error| RefusedCommand::Arguments(error.to_string()))?;
    if !raw.get().starts_with('{') {
        let found = raw.get().chars().take(20).collect();
        return Err(RefusedCommand::Arguments(found));
    }
    let mut in_string = false;
    let mut escaped = false;
    for byte in raw.get().bytes() {
        if !in_string && byte.is_ascii_whitespace() {
            continue;
        }
        if byte == b'"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && byte == b'\\' && !escaped;
        out.push(byte);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_printed_without_white_space() {
        let arguments = "{ \"device\" : \"a \\\" b\\\\\",\n \"n\": [ 1, 2e3 ] }";
        let text = print("block_resize", Some(arguments), false, CommandId(3)).unwrap();
        let expected = "{\"execute\":\"block_resize\",\"arguments\":{\"device\":\"a \\\" b\\\\\",\"n\":[1,2e3]},\"id\":3}\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn a_command_name_cannot_break_out_of_its_string() {
        let text = print("a\",\"x\":\"\n", None, true, CommandId(1)).unwrap();
        let expected = "{\"exec-oob\":\"a\\\",\\\"x\\\":\\\"\\n\",\"id\":1}\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn arguments_must_be_one_object() {
        for arguments in ["[]", "1", "", "{", "{} {}", "{\"a\": tru}"] {
            let error = print("x", Some(arguments), false, CommandId(1)).unwrap_err();
            assert!(matches!(error, RefusedCommand::Arguments(_)), "{arguments}");
        }
    }
}
