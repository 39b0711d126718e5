//! What is played to both sides.

/// What one or several clients do, step by step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
}

/// One step; clients are named by a letter.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Connects; does not wait for the greeting.
    Connect(char, Door),
    /// Sends bytes.
    Send(char, Vec<u8>),
    /// Sends a command of its own and waits for its answer: all that was to come has come.
    Sync(char),
    /// As `Sync`, behind a byte that makes the monitor forget what it has half read.
    Resync(char),
    /// Waits until these bytes came.
    Await(char, Vec<u8>),
    /// Notes what came so far that no wait has seen: for what must not come.
    Unasked(char),
    /// Sends nothing more.
    HalfClose(char),
    /// Waits for the monitor to hang up.
    End(char),
    /// Hangs up.
    Close(char),
    /// Ends the slow command.
    LetGo,
}

/// A socket of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    First,
    Second,
    Pretty,
}

/// All doors, with the names of their sockets.
pub(crate) const DOORS: [(Door, &str); 3] = [
    (Door::First, "first"),
    (Door::Second, "second"),
    (Door::Pretty, "pretty"),
];

pub(crate) const NEGOTIATE: &[u8] = b"{\"execute\": \"qmp_capabilities\"}";
pub(crate) const NEGOTIATE_OOB: &[u8] =
    b"{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"oob\"]}}";

impl Script {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    pub(crate) fn connect(self, client: char, door: Door) -> Self {
        self.step(Step::Connect(client, door))
    }

    /// Connects and negotiates.
    pub(crate) fn ready(self, client: char, door: Door) -> Self {
        self.connect(client, door).send(client, NEGOTIATE)
    }

    pub(crate) fn send(self, client: char, bytes: impl Into<Vec<u8>>) -> Self {
        self.step(Step::Send(client, bytes.into()))
    }

    pub(crate) fn sync(self, client: char) -> Self {
        self.step(Step::Sync(client))
    }

    pub(crate) fn resync(self, client: char) -> Self {
        self.step(Step::Resync(client))
    }

    /// Reads a script of one client from its file: lines of
    ///
    /// * `connect WORDS`: leaves the connection before, if any, once all is answered, and connects; `ready`
    ///   negotiates, `oob` does so with out-of-band execution and waits for the answers to each line,
    ///   `resync` puts both sides straight after each line, `pretty` goes to that socket;
    /// * `> BYTES` to send, those outside printable ASCII (and `%`) as `%XX`;
    /// * `# REMARK`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut script = Self::new();
        let mut after_each = None;
        for line in text.lines() {
            if let Some(bytes) = line.strip_prefix("> ") {
                script.steps.push(Step::Send('A', unescape(bytes)));
                script.steps.extend(after_each.clone());
            } else if let Some(words) = line.strip_prefix("connect") {
                script = script.leave();
                let door = match words.contains("pretty") {
                    true => Door::Pretty,
                    false => Door::First,
                };
                script = script.connect('A', door);
                after_each = None;
                if words.contains("oob") {
                    script = script.send('A', NEGOTIATE_OOB);
                    after_each = Some(Step::Sync('A'));
                } else if words.contains("ready") {
                    script = script.send('A', NEGOTIATE);
                }
                if words.contains("resync") {
                    after_each = Some(Step::Resync('A'));
                }
            } else {
                assert!(line.starts_with('#'), "not a line of a script: {line}");
            }
        }
        script.leave()
    }

    fn leave(self) -> Self {
        match self.steps.is_empty() {
            true => self,
            false => self.resync('A').step(Step::Close('A')),
        }
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        let (digits, after) = escape.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
