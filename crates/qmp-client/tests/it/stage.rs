//! A monitor that does what the test says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use qmp_client::{Address, Connection, Events, Item, Options, connect};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

pub(crate) const GREETING: &str = concat!(
    r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": ""}, "#,
    r#""capabilities": ["oob"]}}"#,
    "\r\n"
);

/// A place for sockets, and one monitor that listens there.
pub(crate) struct Stage {
    folder: TempDir,
    listener: UnixListener,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join("qmp")).unwrap();
        Self { folder, listener }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("qmp")
    }

    pub(crate) fn address(&self) -> Address {
        Address::unix(self.path())
    }

    pub(crate) async fn accept(&self) -> Actor {
        Actor::new(self.listener.accept().await.unwrap().0)
    }

    /// A connection that is ready, and the monitor's end of it.
    pub(crate) async fn connected(&self, options: &Options) -> (Connection, Actor) {
        let address = self.address();
        let (connection, actor) = tokio::join!(connect(&address, options), async {
            let mut actor = self.accept().await;
            actor.greet().await;
            actor
        });
        (connection.unwrap(), actor)
    }
}

/// The monitor's end of a connection.
pub(crate) struct Actor {
    stream: BufReader<UnixStream>,
}

impl Actor {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Greets and answers the negotiation.
    pub(crate) async fn greet(&mut self) {
        self.say(GREETING).await;
        let command = self.hear().await;
        assert!(command.contains("qmp_capabilities"), "{command}");
        self.say("{\"return\": {}, \"id\": 0}\r\n").await;
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.stream
            .get_mut()
            .write_all(text.as_bytes())
            .await
            .unwrap();
    }

    /// One command as it came, without its line end; empty when the client has gone.
    pub(crate) async fn hear(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.unwrap();
        line.trim_end().to_owned()
    }

    /// True if nothing comes for a (virtual) while.
    pub(crate) async fn hears_nothing(&mut self) -> bool {
        tokio::time::timeout(Duration::from_secs(1), self.hear())
            .await
            .is_err()
    }
}

/// An event line.
pub(crate) fn event(name: &str) -> String {
    format!("{{\"timestamp\": {{\"seconds\": 1, \"microseconds\": 2}}, \"event\": \"{name}\"}}\r\n")
}

/// The name of the next item, which must be an event.
pub(crate) async fn next_name(events: &mut Events) -> String {
    match events.next().await {
        Ok(Item::Event(event)) => event.envelope().unwrap().name.into_owned(),
        other => panic!("an event is expected, not {other:?}"),
    }
}
