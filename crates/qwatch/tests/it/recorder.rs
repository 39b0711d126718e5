//! The built recorder as a child process, and its journal.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use qwatch::journal::{Follower, Query, Reader};
use qwatch::record::Record;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::command::{code, qwatch};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with a journal and a socket for QEMUs that dial in.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            dir: TempDir::new().expect("a folder"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path("j.db")
    }

    /// Where a recorder made by [`Place::listen`] listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("q.sock")
    }

    /// A recorder that QEMUs dial.
    pub(crate) fn listen(&self) -> Recorder {
        let address = format!("unix:{}", self.socket().display());
        self.record(&["--listen", &address])
    }

    /// A recorder with these options, ready.
    pub(crate) fn record(&self, options: &[&str]) -> Recorder {
        Recorder::start(&self.journal(), options)
    }

    /// The number of the last record.
    pub(crate) fn last(&self) -> Option<u64> {
        self.records().last().and_then(|record| record.seq)
    }

    /// All records there are.
    pub(crate) fn records(&self) -> Vec<Record> {
        let reader = Reader::open(&self.journal()).expect("the journal");
        let records = reader.records(&Query::default()).expect("a query");
        records.map(|record| record.expect("a record")).collect()
    }

    /// Waits until the records are as wanted; gives all of them.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&[Record]) -> bool) -> Vec<Record> {
        self.wait(wanted)
            .unwrap_or_else(|records| panic!("{what} did not come: {}", shown(&records)))
    }

    /// The same, with what there is instead of what did not come.
    pub(crate) fn wait(
        &self,
        wanted: impl Fn(&[Record]) -> bool,
    ) -> Result<Vec<Record>, Vec<Record>> {
        let follower = Follower::open(&self.journal()).expect("the journal");
        let until = Instant::now() + PATIENCE;
        let mut records = Vec::new();
        loop {
            let last = records
                .last()
                .and_then(|record: &Record| record.seq)
                .unwrap_or(0);
            let new = follower
                .reader()
                .records(&Query::default().after(last))
                .expect("a query");
            records.extend(new.map(|record| record.expect("a record")));
            if wanted(&records) {
                return Ok(records);
            }
            let last = records.last().and_then(|record| record.seq).unwrap_or(0);
            let left = until.saturating_duration_since(Instant::now());
            if !follower.wait_past(last, left).expect("readable") {
                return Err(records);
            }
        }
    }

    /// Waits until the machine has been attached to and asked for its state, `count` times in all.
    #[track_caller]
    pub(crate) fn wait_attached(&self, machine: &str, count: usize) -> Vec<Record> {
        self.wait_for(&format!("the state of {machine}"), |records| {
            // Not what is asked because of an event.
            let states = named(records, machine, "state").into_iter();
            states
                .filter(|state| member(state, "asked").is_empty())
                .count()
                >= count
        })
    }
}

/// Records of one machine and one name.
pub(crate) fn named<'r>(records: &'r [Record], machine: &str, name: &str) -> Vec<&'r Record> {
    let fits = |record: &&Record| record.machine == machine && record.name == name;
    records.iter().filter(fits).collect()
}

/// A member of a record's data that is a string.
pub(crate) fn member(record: &Record, name: &str) -> String {
    let data = record.data.as_deref().expect("data");
    let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
    data[name].as_str().unwrap_or_default().to_owned()
}

fn shown(records: &[Record]) -> String {
    let skipped = records.len().saturating_sub(40);
    let lines = records.iter().skip(skipped).map(|record| {
        format!(
            "{:?} {} {} {:?}",
            record.seq, record.machine, record.name, record.data
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A running `qwatch record`.
pub(crate) struct Recorder {
    child: Child,
    log: Receiver<String>,
}

impl Recorder {
    fn start(journal: &Path, options: &[&str]) -> Self {
        let recorder = Self::spawn(qwatch(&["record", "--journal"]).arg(journal).args(options));
        recorder.wait_log("recording to");
        recorder
    }

    /// A recorder by this command, not waited for.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("qwatch starts");
        let log = lines(child.stderr.take().expect("a pipe"));
        Self { child, log }
    }

    /// Waits for a line of the log with these words.
    #[track_caller]
    pub(crate) fn wait_log(&self, words: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut seen = String::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => seen.push_str(&line),
                Err(_) => panic!("the recorder did not say `{words}`:\n{seen}"),
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end; gives the rest of its log.
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.child.wait().expect("it ends");
        let rest: Vec<String> = self.log.iter().collect();
        assert_eq!(code(status), 0, "{rest:?}");
        rest.concat()
    }

    /// Ends it without a chance to say anything.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("it ends");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), signal).expect("ours to signal");
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Already ended after `stop` and `kill`; after a failed test this is the end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads on, so that the recorder is never held up by its log.
fn lines(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line + "\n").is_err() {
                return;
            }
        }
    });
    receiver
}
