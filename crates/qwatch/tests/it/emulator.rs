//! A running `qwatch emulate`, and a client that knows nothing of our crates.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::command::{code, start_piped};

/// No answer within this is no answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A machine that can be reached. Killed when dropped.
pub(crate) struct Emulator {
    pub(crate) child: Child,
    pub(crate) out: BufReader<ChildStdout>,
    pub(crate) folder: TempDir,
}

impl Emulator {
    /// Starts one and waits until it can be reached.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::with_file("scenario.toml", "", args)
    }

    /// As a scenario says.
    pub(crate) fn play(scenario: &str, args: &[&str]) -> Self {
        Self::with_file("scenario.toml", scenario, &[&["FILE"], args].concat())
    }

    /// `FILE` among the arguments stands for the path of a file with this content.
    pub(crate) fn with_file(name: &str, content: &str, args: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join(name);
        std::fs::write(&file, content).expect("written");
        let file = file.display().to_string();
        let socket = folder.path().join("vm.sock").display().to_string();
        let mut all = vec!["emulate", "--listen", &socket];
        all.extend(args.iter().map(|arg| match *arg {
            "FILE" => file.as_str(),
            other => other,
        }));
        let mut child = start_piped(&all);
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut ready = String::new();
        out.read_line(&mut ready).expect("a line");
        if !ready.contains(&socket) {
            let mut err = String::new();
            let mut stderr = child.stderr.take().expect("a pipe");
            stderr.read_to_string(&mut err).expect("messages");
            panic!("{ready}{err}");
        }
        Self { child, out, folder }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("vm.sock")
    }

    /// The socket as an argument.
    pub(crate) fn address(&self) -> String {
        self.socket().display().to_string()
    }

    /// A line for its standard input.
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{line}").expect("it reads");
    }

    /// Connects and negotiates.
    pub(crate) fn client(&self) -> Client {
        let mut client = Client::connect(&self.socket());
        client.negotiate();
        client
    }

    /// Waits for its end; exit code, what is left on its standard output, its messages.
    pub(crate) fn end(mut self) -> (i32, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).expect("output");
        let mut stderr = self.child.stderr.take().expect("a pipe");
        stderr.read_to_string(&mut err).expect("messages");
        let code = code(self.child.wait().expect("it ends"));
        (code, out, err)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A plain client, one line at a time.
pub(crate) struct Client {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Client {
    pub(crate) fn connect(path: &std::path::Path) -> Self {
        Self::of(UnixStream::connect(path).expect("it listens"))
    }

    /// As soon as somebody listens: the file is there a moment before.
    pub(crate) fn connect_soon(path: &std::path::Path) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match UnixStream::connect(path) {
                Ok(stream) => return Self::of(stream),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            std::thread::yield_now();
        }
    }

    fn of(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let reader = BufReader::new(stream.try_clone().expect("a handle"));
        Self { stream, reader }
    }

    pub(crate) fn negotiate(&mut self) {
        assert!(self.line().starts_with(r#"{"QMP": "#));
        assert_eq!(self.ask("qmp_capabilities"), "{\"return\": {}}");
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("written");
    }

    /// The next line without its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a line in time");
        line.trim_end_matches("\r\n").to_owned()
    }

    /// The next message as JSON.
    pub(crate) fn message(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// The name of the next message's event.
    pub(crate) fn event(&mut self) -> String {
        let message = self.message();
        let name = message["event"].as_str();
        name.unwrap_or_else(|| panic!("no event: {message}"))
            .to_owned()
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.send(&format!("{{'execute': '{command}'}}"));
        self.line()
    }

    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).expect("an end");
        rest
    }
}
