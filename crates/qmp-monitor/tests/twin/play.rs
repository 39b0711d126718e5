//! Plays a script to one side and keeps what it answers.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::pair::Side;
use crate::script::{Door, Script, Step};

/// No answer within this is no answer. The longest a script waits for is a QEMU that reads 2 MB, a byte
/// at a time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What each connection was sent, in the order the connections were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    pub(crate) heard: Vec<Heard>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) client: char,
    pub(crate) bytes: Vec<u8>,
}

/// Plays a script. What goes wrong is told with what was heard until then.
pub(crate) fn play(script: &Script, side: &mut dyn Side) -> Result<Transcript, String> {
    let mut player = Player::default();
    for (number, step) in script.steps.iter().enumerate() {
        if let Err(problem) = player.step(step, side) {
            let heard: Vec<String> = player.clients.values().map(Client::last_words).collect();
            let heard = heard.join("\n");
            return Err(format!(
                "step {number}, {step:?}: {problem}; heard last:\n{heard}"
            ));
        }
    }
    for (_, client) in std::mem::take(&mut player.clients) {
        player.hang_up(client);
    }
    player.ended.sort_by_key(|(number, _)| *number);
    let heard = player.ended.into_iter().map(|(_, heard)| heard);
    Ok(Transcript {
        heard: heard.collect(),
    })
}

#[derive(Default)]
struct Player {
    clients: BTreeMap<char, Client>,
    connections: usize,
    syncs: usize,
    /// What was heard on the connections that ended, with their numbers.
    ended: Vec<(usize, Heard)>,
}

struct Client {
    name: char,
    number: usize,
    stream: UnixStream,
    pretty: bool,
    heard: Vec<u8>,
    /// Bytes of `heard` that a wait has seen.
    seen: usize,
}

impl Player {
    fn step(&mut self, step: &Step, side: &mut dyn Side) -> Result<(), String> {
        match step {
            Step::Connect(name, door) => self.connect(*name, *door, side)?,
            Step::Send(name, bytes) => self.client(*name).send(bytes)?,
            Step::Sync(name) => self.sync(*name, b"")?,
            Step::Resync(name) => self.sync(*name, b"\xFF")?,
            Step::Await(name, bytes) => self.client(*name).wait_for(bytes)?,
            Step::Unasked(name) => self.client(*name).note_unasked()?,
            Step::HalfClose(name) => {
                let stream = &self.client(*name).stream;
                stream
                    .shutdown(Shutdown::Write)
                    .map_err(|error| error.to_string())?;
            }
            Step::End(name) => while self.client(*name).read()? {},
            Step::Close(name) => {
                let client = self.clients.remove(name).expect("the script connected it");
                self.hang_up(client);
            }
            Step::LetGo => side.let_go(),
        }
        Ok(())
    }

    fn client(&mut self, name: char) -> &mut Client {
        self.clients
            .get_mut(&name)
            .expect("the script connected it")
    }

    fn connect(&mut self, name: char, door: Door, side: &dyn Side) -> Result<(), String> {
        let stream = UnixStream::connect(side.path(door)).map_err(|error| error.to_string())?;
        for set in [UnixStream::set_read_timeout, UnixStream::set_write_timeout] {
            set(&stream, Some(PATIENCE)).map_err(|error| error.to_string())?;
        }
        self.connections += 1;
        let client = Client {
            name,
            number: self.connections,
            stream,
            pretty: door == Door::Pretty,
            heard: Vec::new(),
            seen: 0,
        };
        let before = self.clients.insert(name, client);
        assert!(before.is_none(), "{name} is connected already");
        Ok(())
    }

    fn sync(&mut self, name: char, prefix: &[u8]) -> Result<(), String> {
        self.syncs += 1;
        let id = format!("\"sync-{}\"", self.syncs);
        let command = format!("{{\"execute\": \"query-name\", \"id\": {id}}}");
        let client = self.client(name);
        client.send(&[prefix, command.as_bytes()].concat())?;
        client.wait_for(id.as_bytes())?;
        let end: &[u8] = if client.pretty { b"\r\n}\r\n" } else { b"\r\n" };
        client.wait_for(end)
    }

    fn hang_up(&mut self, client: Client) {
        let heard = Heard {
            client: client.name,
            bytes: client.heard,
        };
        self.ended.push((client.number, heard));
    }
}

impl Client {
    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream
            .write_all(bytes)
            .map_err(|error| error.to_string())
    }

    /// Reads some; false at the end.
    fn read(&mut self) -> Result<bool, String> {
        let mut chunk = [0; 64 << 10];
        let length = self
            .stream
            .read(&mut chunk)
            .map_err(|error| error.to_string())?;
        self.heard.extend_from_slice(&chunk[..length]);
        Ok(length > 0)
    }

    fn wait_for(&mut self, wanted: &[u8]) -> Result<(), String> {
        let mut looked = self.seen;
        loop {
            let found = self.heard[looked..]
                .windows(wanted.len())
                .position(|window| window == wanted);
            if let Some(at) = found {
                self.seen = looked + at + wanted.len();
                return Ok(());
            }
            looked = self
                .seen
                .max((self.heard.len() + 1).saturating_sub(wanted.len()));
            if !self.read()? {
                return Err("hung up".to_owned());
            }
        }
    }

    fn note_unasked(&mut self) -> Result<(), String> {
        self.stream
            .set_nonblocking(true)
            .map_err(|error| error.to_string())?;
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(length) => self.heard.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.to_string()),
        }
        let note = format!("(unasked: {} bytes)", self.heard.len() - self.seen);
        self.heard.extend_from_slice(note.as_bytes());
        self.seen = self.heard.len();
        self.stream
            .set_nonblocking(false)
            .map_err(|error| error.to_string())
    }

    fn last_words(&self) -> String {
        let start = self.heard.len().saturating_sub(300);
        format!(
            "{}: {}",
            self.name,
            String::from_utf8_lossy(&self.heard[start..])
        )
    }
}

impl Transcript {
    /// Bytes of all connections.
    pub(crate) fn len(&self) -> usize {
        self.heard.iter().map(|heard| heard.bytes.len()).sum()
    }

    /// The same without the times of events.
    pub(crate) fn timeless(mut self) -> Self {
        for heard in &mut self.heard {
            heard.bytes = mask(&mask(&heard.bytes, b"\"seconds\": "), b"\"microseconds\": ");
        }
        self
    }

    /// Where two transcripts part, for people; `None` if they are equal.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let mut shown = String::new();
        for (one, two) in self.heard.iter().zip(&other.heard) {
            if one.client != two.client {
                shown.push_str("\n  the clients leave in another order");
            }
            let (one_lines, two_lines) = (lines(&one.bytes), lines(&two.bytes));
            let pairs = (0..one_lines.len().max(two_lines.len()))
                .map(|number| (number, one_lines.get(number), two_lines.get(number)));
            for (number, one_line, two_line) in
                pairs.filter(|(_, a, b)| a != b).take(SHOWN_LINES_MAX)
            {
                let [one_line, two_line] =
                    [one_line, two_line].map(|line| line.map_or("", |line| line));
                let same = one_line
                    .bytes()
                    .zip(two_line.bytes())
                    .take_while(|(a, b)| a == b)
                    .count();
                let show = |line: &str| format!("{:.300}", &line[same.saturating_sub(100)..]);
                let (client, line) = (one.client, number + 1);
                let (real, ours) = (show(one_line), show(two_line));
                shown += &format!(
                    "\n  client {client}, line {line}\n    QEMU: {real}\n    ours: {ours}"
                );
            }
        }
        (self != other).then_some(shown)
    }
}

/// Lines shown of each connection that differs.
const SHOWN_LINES_MAX: usize = 8;

fn lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let lines = text.split_inclusive('\n');
    lines
        .map(|line| line.escape_default().to_string())
        .collect()
}

/// Puts a 0 where digits follow `before`.
fn mask(bytes: &[u8], before: &[u8]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest
        .windows(before.len())
        .position(|window| window == before)
    {
        let (head, tail) = rest.split_at(at + before.len());
        masked.extend_from_slice(head);
        masked.push(b'0');
        let digits = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
        rest = &tail[digits..];
    }
    masked.extend_from_slice(rest);
    masked
}
