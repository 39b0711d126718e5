//! A client that knows nothing of our crates: lines over a stream, with a deadline for each.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// No answer within this is no answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Client {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Client {
    /// Connects; nothing is read yet.
    pub(crate) fn connect(path: &Path) -> Self {
        Self::on(UnixStream::connect(path).unwrap())
    }

    pub(crate) fn on(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    /// Connects, checks the greeting and negotiates.
    pub(crate) fn ready(path: &Path) -> Self {
        let mut client = Self::connect(path);
        client.negotiate();
        client
    }

    pub(crate) fn negotiate(&mut self) {
        let greeting = self.line();
        assert!(greeting.starts_with(r#"{"QMP": "#), "{greeting}");
        self.send(r#"{"execute": "qmp_capabilities"}"#);
        assert_eq!(self.line(), r#"{"return": {}}"#);
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// The next line, without its CR LF.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.strip_suffix("\r\n")
            .expect("lines end CR LF")
            .to_owned()
    }

    /// The name of the next line's event.
    pub(crate) fn event(&mut self) -> String {
        let line = self.line();
        let message: serde_json::Value = serde_json::from_str(&line).unwrap();
        message["event"].as_str().expect(&line).to_owned()
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.line()
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).unwrap();
        rest
    }

    /// Whether a line is there to be read within `patience`.
    pub(crate) fn hears_within(&mut self, patience: Duration) -> bool {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        let heard = self.reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty());
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        heard
    }
}
