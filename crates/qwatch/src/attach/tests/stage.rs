//! A recorder's surroundings: a journal, a service manager that listens, and the other end of a socket.

use std::io::{BufRead, BufReader, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use qmp_client::Socket;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::attach::names::Names;
use crate::attach::session::{self, Ended, Origin};
use crate::attach::sources::OwnSockets;
use crate::attach::{Shared, kept};
use crate::journal::{Journal, Query, Reader, Settings};
use crate::record::Record;
use crate::service::{Inherited, Manager};

/// Nothing takes so long.
const LIMIT: Duration = Duration::from_secs(20);

pub(super) struct Stage {
    dir: TempDir,
    pub(super) journal: Journal,
    manager: Manager,
    notified: UnixDatagram,
    stop: watch::Sender<bool>,
    patience: Duration,
}

impl Stage {
    pub(super) fn new() -> Self {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("notify");
        let notified = UnixDatagram::bind(&path).expect("a socket");
        let journal = Journal::open(&dir.path().join("j.db"), &Settings::default());
        Self {
            journal: journal.expect("a journal"),
            manager: Manager::at(&path),
            notified,
            stop: watch::Sender::new(false),
            patience: Duration::from_secs(60),
            dir,
        }
    }

    pub(super) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("j.db")
    }

    fn shared(&self) -> Shared {
        Shared {
            writer: self.journal.writer(),
            names: Names::default(),
            stop: self.stop.subscribe(),
            all_stop: self.stop.subscribe(),
            since_us: crate::time::now_us(),
            own_sockets: OwnSockets::default(),
            manager: self.manager.clone(),
            patience: self.patience,
        }
    }

    /// Records what comes from this socket.
    pub(super) fn attend(&self, socket: impl Into<OwnedFd>) -> JoinHandle<Ended> {
        let socket = Socket::from_fd(socket.into()).expect("a socket");
        let shared = self.shared();
        tokio::spawn(async move { session::attend(socket, origin(), &shared).await })
    }

    /// A new process: the journal is opened anew, with what the service manager kept; then goes on.
    pub(super) async fn restart(&mut self, kept: Vec<Inherited>) -> Vec<JoinHandle<Ended>> {
        let mut kept = kept::connections(kept, &self.manager);
        let handed_over = kept.iter().map(|kept| kept.id).collect();
        let elsewhere = self.dir.path().join("elsewhere.db");
        let other = Journal::open(&elsewhere, &Settings::default()).expect("a journal");
        let old = std::mem::replace(&mut self.journal, other);
        old.close().await.expect("closed");
        let settings = Settings::default().handed_over(handed_over);
        self.journal = Journal::open(&self.path(), &settings).expect("a journal");
        self.stop = watch::Sender::new(false);
        let shared = self.shared();
        kept::recognize(&mut kept, self.journal.take_kept(), &shared.names);
        kept.into_iter()
            .map(|kept| {
                let shared = shared.clone();
                tokio::spawn(async move { session::go_on(kept, origin(), &shared).await })
            })
            .collect()
    }

    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// The journal takes nothing, or takes records again.
    pub(super) fn freeze(&self, frozen: bool) {
        self.journal.writer().execute(match frozen {
            true => "PRAGMA query_only = ON",
            false => "PRAGMA query_only = OFF",
        });
    }

    pub(super) fn records(&self) -> Vec<Record> {
        let reader = Reader::open(&self.path()).expect("a reader");
        let records = reader.records(&Query::default()).expect("a query");
        records.map(|record| record.expect("readable")).collect()
    }

    /// Waits until the journal has what is wanted.
    pub(super) async fn wait_for(&self, wanted: impl Fn(&[Record]) -> bool) -> Vec<Record> {
        let mut position = self.journal.position();
        let waiting = async {
            loop {
                position.borrow_and_update();
                let records = self.records();
                if wanted(&records) {
                    return records;
                }
                position.changed().await.expect("a writer");
            }
        };
        match timeout(LIMIT, waiting).await {
            Ok(records) => records,
            Err(_) => panic!("it did not come: {:#?}", self.records()),
        }
    }

    /// What the service manager was told so far, with the descriptors.
    pub(super) fn notified(&self) -> Vec<(String, Option<OwnedFd>)> {
        let mut all = Vec::new();
        loop {
            let mut text = [0; 1024];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let place = &mut [IoSliceMut::new(&mut text)];
            let received = recvmsg(&self.notified, place, &mut control, RecvFlags::DONTWAIT);
            let Ok(received) = received else {
                return all;
            };
            let fd = control.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
                _ => None,
            });
            let text = String::from_utf8_lossy(&text[..received.bytes]).into_owned();
            all.push((text, fd));
        }
    }

    /// What the service manager keeps by now.
    pub(super) fn kept(&self) -> Vec<Inherited> {
        let mut kept: Vec<Inherited> = Vec::new();
        for (text, fd) in self.notified() {
            let name = text
                .lines()
                .find_map(|line| line.strip_prefix("FDNAME="))
                .expect("a name")
                .to_owned();
            match fd {
                Some(fd) => kept.push(Inherited { name, fd }),
                None => kept.retain(|kept| kept.name != name),
            }
        }
        kept
    }
}

fn origin() -> Origin {
    Origin {
        address: "unix:/run/web.sock".to_owned(),
        fallback: None,
        dialled_in: true,
    }
}

/// The other end of the socket.
pub(super) struct Qemu<S = UnixStream> {
    pub(super) say: S,
    hear: BufReader<S>,
}

pub(super) const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, \"major\": 10}, \"package\": \"\"}, \"capabilities\": []}}\r\n";

impl Qemu {
    /// A QEMU, and the socket to reach it.
    pub(super) fn pair() -> (Self, UnixStream) {
        let (theirs, ours) = UnixStream::pair().expect("a pair");
        (
            Self::of(theirs.try_clone().expect("a handle"), theirs),
            ours,
        )
    }
}

impl<S: Write + std::io::Read + Send + 'static> Qemu<S> {
    pub(super) fn of(say: S, hear: S) -> Self {
        Self {
            say,
            hear: BufReader::new(hear),
        }
    }

    pub(super) fn say(&mut self, text: &str) {
        self.say.write_all(text.as_bytes()).expect("heard");
    }

    /// The next command: its name and id.
    pub(super) fn command(&mut self) -> (String, Value) {
        let mut line = String::new();
        self.hear.read_line(&mut line).expect("a command");
        let mut command: Value = serde_json::from_str(&line).expect("JSON");
        let name = command["execute"].as_str().expect("a name").to_owned();
        (name, command["id"].take())
    }

    /// Answers commands until this one is answered. `answer` says what a query returns.
    pub(super) fn serve_until(&mut self, last: &str, answer: impl Fn(&str) -> String) {
        loop {
            let (command, id) = self.command();
            let answer = answer(&command);
            self.say(&format!("{{\"return\": {answer}, \"id\": {id}}}\r\n"));
            if command == last {
                return;
            }
        }
    }

    /// Greets, and answers what is asked right after attaching. On a thread: the recorder has this one.
    pub(super) async fn attached(mut self) -> Self {
        self.say(GREETING);
        self.on_thread(|qemu| qemu.serve_until("query-chardev", plain))
            .await
    }

    pub(super) async fn on_thread(mut self, act: impl FnOnce(&mut Self) + Send + 'static) -> Self {
        let acting = tokio::task::spawn_blocking(move || {
            act(&mut self);
            self
        });
        timeout(LIMIT, acting)
            .await
            .expect("in time")
            .expect("no panic")
    }
}

/// What QEMU returns to a query.
pub(super) fn plain(command: &str) -> String {
    match command {
        "query-name" => "{\"name\": \"web\"}",
        "query-status" => "{\"status\": \"running\", \"running\": true}",
        _ => "{}",
    }
    .to_owned()
}

/// An event with a number.
pub(super) fn event(name: &str, n: u64) -> String {
    format!(
        "{{\"timestamp\": {{\"seconds\": {n}, \"microseconds\": 0}}, \"event\": \"{name}\", \"data\": {{\"n\": {n}}}}}\r\n"
    )
}

/// The numbers of the events.
pub(super) fn numbers(records: &[Record]) -> Vec<u64> {
    records
        .iter()
        .filter_map(|record| record.timestamp)
        .map(|stamp| stamp.seconds.unsigned_abs())
        .collect()
}

pub(super) fn count(records: &[Record], name: &str) -> usize {
    records.iter().filter(|record| record.name == name).count()
}

/// A member of the data of the first record of this name.
pub(super) fn member(records: &[Record], name: &str, member: &str) -> Value {
    let record = records.iter().find(|record| record.name == name);
    let data = record.and_then(|record| record.data.as_deref());
    let mut data: Value = serde_json::from_str(data.expect("data")).expect("JSON");
    data[member].take()
}
