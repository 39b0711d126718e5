//! A monitor made by hand: it says its lines in pieces of any length, so that whoever listens sees half
//! messages at every moment, and it counts how often it was greeted and asked.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use serde_json::Value;

use super::{Dice, numbers};

/// Longer than what a socket holds.
const BIG_ANSWER_BYTES: usize = 400_000;

/// A monitor that the recorder dials, or that dials it.
pub(crate) struct Peer {
    name: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    name: String,
    /// So many numbers are sent as soon as a client has negotiated.
    at_once: u64,
    state: Mutex<State>,
}

/// What has happened.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// When each number was sent or would have been, microseconds since 1970; number 1 is the first.
    pub(crate) stamps_us: Vec<i64>,
    /// Clients that came.
    pub(crate) sessions: usize,
    /// Commands that were heard, in order.
    pub(crate) commands: Vec<String>,
    /// To whoever is connected.
    lines: Option<Sender<Line>>,
    negotiated: bool,
}

enum Line {
    Whole(Vec<u8>),
    /// This, and then the end.
    Last(Vec<u8>),
}

impl Peer {
    /// It listens, and serves one client at a time as QEMU does.
    pub(crate) fn listening(name: &str, socket: &Path, mut dice: Dice) -> Self {
        let listener = UnixListener::bind(socket).expect("a socket");
        let (peer, serving) = Self::new(name, 0);
        thread::spawn(move || {
            for stream in listener.incoming() {
                serving.serve(&stream.expect("a client"), &mut dice);
            }
        });
        peer
    }

    /// It dials, again if whoever took it in is gone without a word, and sends so many numbers as soon as it
    /// may.
    pub(crate) fn dialling(name: &str, socket: &Path, at_once: u64, mut dice: Dice) -> Self {
        let (peer, serving) = Self::new(name, at_once);
        let socket = socket.to_owned();
        thread::spawn(move || {
            while serving.lock().commands.is_empty() {
                let stream =
                    UnixStream::connect(&socket).expect("somebody has the listening socket");
                serving.serve(&stream, &mut dice);
            }
        });
        peer
    }

    fn new(name: &str, at_once: u64) -> (Self, Arc<Shared>) {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            at_once,
            ..Shared::default()
        });
        let peer = Self {
            name: name.to_owned(),
            shared: Arc::clone(&shared),
        };
        (peer, shared)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// So many more numbers are sent, or lost if nobody has negotiated.
    pub(crate) fn send(&self, count: u64) {
        let mut state = self.shared.lock();
        for _ in 0..count {
            state.send();
        }
    }

    /// Says half of a line and ends the connection.
    pub(crate) fn end_in_mid_line(&self) {
        let mut state = self.shared.lock();
        let (text, stamp_us) = numbers::event(state.stamps_us.len() as u64 + 1);
        state.stamps_us.push(stamp_us);
        let half = text.as_bytes()[..text.len() / 2].to_vec();
        state.say(Line::Last(half));
        state.negotiated = false;
    }

    pub(crate) fn state(&self) -> State {
        self.shared.lock().clone()
    }
}

impl State {
    fn send(&mut self) {
        let (text, stamp_us) = numbers::event(self.stamps_us.len() as u64 + 1);
        self.stamps_us.push(stamp_us);
        if self.negotiated {
            self.say(Line::Whole(format!("{text}\r\n").into_bytes()));
        }
    }

    fn say(&mut self, line: Line) {
        // A client that is gone hears nothing.
        if let Some(lines) = &self.lines {
            let _ = lines.send(line);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    /// Speaks with one client until it is gone.
    fn serve(&self, stream: &UnixStream, dice: &mut Dice) {
        let (lines, said) = mpsc::channel();
        let greeting = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": ""}, "capabilities": ["oob"]}}"#;
        {
            let mut state = self.lock();
            state.sessions += 1;
            state.lines = Some(lines);
            state.negotiated = false;
            state.say(Line::Whole(format!("{greeting}\r\n").into_bytes()));
        }
        let hearing = stream.try_clone().expect("a handle");
        thread::scope(|scope| {
            scope.spawn(move || {
                for command in BufReader::new(hearing).lines() {
                    let Ok(command) = command else { break };
                    self.answer(&command);
                }
                // The writer ends with its queue.
                self.lock().lines = None;
            });
            write_in_pieces(stream, &said, dice);
            // Nobody else writes: the reader's end follows.
            let _ = stream.shutdown(Shutdown::Both);
        });
        let mut state = self.lock();
        state.lines = None;
        state.negotiated = false;
    }

    fn answer(&self, line: &str) {
        let command: Value = serde_json::from_str(line).expect("JSON, one command a line");
        let what = command["execute"].as_str().unwrap_or_default().to_owned();
        let mut state = self.lock();
        let was_negotiated = state.negotiated;
        let answer = match what.as_str() {
            "qmp_capabilities" if !was_negotiated => {
                state.negotiated = true;
                "\"return\": {}".to_owned()
            }
            "qmp_capabilities" => r#""error": {"class": "CommandNotFound", "desc": "Capabilities negotiation is already complete, command ignored"}"#.to_owned(),
            "query-name" => format!("\"return\": {{\"name\": \"{}\"}}", self.name),
            "query-status" => {
                r#""return": {"running": true, "status": "running"}"#.to_owned()
            }
            "query-block" => {
                let filler = "b".repeat(BIG_ANSWER_BYTES);
                format!(r#""return": [{{"device": "{filler}"}}]"#)
            }
            _ => format!(
                r#""error": {{"class": "CommandNotFound", "desc": "The command {what} has not been found"}}"#
            ),
        };
        let id = match &command["id"] {
            Value::Null => String::new(),
            id => format!(", \"id\": {id}"),
        };
        state.say(Line::Whole(format!("{{{answer}{id}}}\r\n").into_bytes()));
        if what == "qmp_capabilities" && !was_negotiated {
            for _ in 0..self.at_once {
                state.send();
            }
        }
        state.commands.push(what);
    }
}

/// Writes what is said in pieces of any length, until the client is gone or the last is said.
fn write_in_pieces(mut stream: &UnixStream, said: &Receiver<Line>, dice: &mut Dice) {
    let mut left: Vec<u8> = vec![];
    let mut is_last = false;
    while !is_last {
        let Ok(line) = said.recv() else { return };
        let mut take = |line, left: &mut Vec<u8>| match line {
            Line::Whole(bytes) => left.extend(bytes),
            Line::Last(bytes) => {
                left.extend(bytes);
                is_last = true;
            }
        };
        take(line, &mut left);
        for line in said.try_iter().take(64) {
            take(line, &mut left);
        }
        let mut rest = &left[..];
        while !rest.is_empty() {
            let longest = if rest.len() > 20_000 { 60_000 } else { 700 };
            let length = dice.roll(1..longest).min(rest.len() as u64);
            let (piece, after) = rest.split_at(usize::try_from(length).expect("small"));
            if stream.write_all(piece).is_err() {
                return;
            }
            rest = after;
        }
        left.clear();
    }
}
