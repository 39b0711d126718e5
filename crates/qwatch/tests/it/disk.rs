//! Disks that are full, cannot be written, or are slow: an alarm, nothing lost, and on it goes.
//!
//! A process that may not make its files longer (`RLIMIT_FSIZE`) has a disk that is full for it, and gets
//! it back when the limit is lifted. That takes no privilege and works everywhere; real full file systems
//! differ in the word for the error only, and the writer asks for no word.

use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use qmp_monitor::Monitor;
use qwatch::journal::{
    Batch, BeforeCommit, Health, Journal, Query, Reader, RecorderStatus, RunId, Settings,
};
use qwatch::record::Record;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::TempDir;

use crate::command::{program, run};
use crate::recorder::{Place, Recorder, named};
use crate::support::{NOON_US, event, run_info};

/// The recorder of a machine called web, with a signal ignored that would end it at its limit.
fn recorder(place: &Place) -> (Recorder, Monitor) {
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", program(), "record"])
        .arg("--journal")
        .arg(place.journal())
        .arg("--listen")
        .arg(format!("unix:{}", place.socket().display()))
        .env("XDG_RUNTIME_DIR", place.path("runtime"))
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    std::fs::create_dir_all(place.path("runtime")).expect("a folder");
    let recorder = Recorder::spawn(&mut command);
    recorder.wait_log("recording to");
    let emitter = Monitor::builder()
        .version("7.2.22")
        .name("web")
        .dial_unix(place.socket(), Duration::from_millis(20))
        .build()
        .expect("a monitor");
    place.wait_attached("web", 1);
    (recorder, emitter)
}

/// How long the files of the recorder may get, from now on.
fn limit(recorder: &Recorder, bytes: Option<u64>) {
    let pid = i32::try_from(recorder.pid()).ok().and_then(Pid::from_raw);
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(pid, Resource::Fsize, limit).expect("ours to limit");
}

fn emit(emitter: &Monitor, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let line = format!(
            r#"{{"timestamp": {{"seconds": 1700000000, "microseconds": {number}}}, "event": "DEVICE_DELETED", "data": {{"path": "/n{number}"}}}}"#
        );
        emitter.emit_text(&line).expect("an event");
    }
}

fn numbers(records: &[Record]) -> Vec<u64> {
    let numbers = named(records, "web", "DEVICE_DELETED").into_iter();
    numbers
        .map(|record| {
            record
                .timestamp
                .expect("a stamp")
                .microseconds
                .unsigned_abs()
        })
        .collect()
}

#[test]
fn a_disk_that_takes_no_more_is_an_alarm_and_nothing_is_lost() {
    let place = Place::new();
    let journal = place.journal();
    let journal = journal.to_str().expect("UTF-8");
    let (recorder, emitter) = recorder(&place);
    emit(&emitter, 0..10);
    place.wait_for("the first", |records| numbers(records).len() == 10);
    let well = run(&["status", "--journal", journal]);
    assert_eq!((well.code, well.err.as_str()), (0, ""));

    // Not a byte behind the first page of any file.
    limit(&recorder, Some(8192));
    emit(&emitter, 10..60);
    let alarm = recorder.wait_log("the journal cannot be written");
    assert!(alarm.contains("ERROR"), "{alarm}");
    let said = run(&["status", "--journal", journal]);
    assert_eq!(said.code, 3, "{}", said.err);
    let words = format!(
        "the recorder (process {}) has not been able to write the journal since",
        recorder.pid()
    );
    assert!(
        said.err.contains(&words) && said.err.lines().count() == 1,
        "{}",
        said.err
    );
    assert!(
        said.out.contains("web"),
        "what was known before is told: {}",
        said.out
    );
    let status = RecorderStatus::read(&place.journal()).expect("a status");
    assert!(status.failing_since_us.is_some() && status.machines == 1);
    emit(&emitter, 60..100);

    limit(&recorder, None);
    recorder.wait_log("the journal can be written again");
    let records = place.wait_for("all of them", |records| numbers(records).len() >= 100);
    assert_eq!(
        numbers(&records),
        (0..100).collect::<Vec<_>>(),
        "each once, in order"
    );
    // The one from before it was attached to; the disk has made none.
    assert!(named(&records, "web", "gap").len() <= 1);
    assert_eq!(run(&["status", "--journal", journal]).code, 0);
    recorder.stop();
    let status = RecorderStatus::read(&place.journal()).expect("a status");
    assert!(status.stopped && status.failing_since_us.is_none());
    assert_eq!(
        status.last_seq,
        Reader::open(&place.journal())
            .expect("it")
            .last_seq()
            .expect("readable")
    );
}

#[test]
fn where_nothing_can_be_written_beside_the_journal_the_status_is_elsewhere() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("j.db-status")).expect("something in the way");
    let (recorder, emitter) = recorder(&place);
    limit(&recorder, Some(8192));
    emit(&emitter, 0..10);
    recorder.wait_log("the journal cannot be written");
    let status = Command::new(program())
        .args(["status", "--journal"])
        .arg(place.journal())
        .env("XDG_RUNTIME_DIR", place.path("runtime"))
        .output()
        .expect("it runs");
    let err = String::from_utf8_lossy(&status.stderr);
    assert_eq!(status.status.code(), Some(3), "{err}");
    limit(&recorder, None);
    recorder.wait_log("the journal can be written again");
    recorder.stop();
}

/// A disk that writes when it is told to.
#[derive(Default)]
struct Gate {
    state: Mutex<(u64, u64)>,
    moved: Condvar,
}

const PATIENCE: Duration = Duration::from_secs(30);

impl Gate {
    fn hook(self: &Arc<Self>) -> BeforeCommit {
        let gate = Arc::clone(self);
        BeforeCommit::new(move || {
            let mut state = gate.state.lock().expect("no panic");
            state.0 += 1;
            gate.moved.notify_all();
            let until = Instant::now() + PATIENCE;
            while state.0 > state.1 && Instant::now() < until {
                state = gate
                    .moved
                    .wait_timeout(state, PATIENCE)
                    .expect("no panic")
                    .0;
            }
        })
    }

    /// Lets the first so many commits through.
    fn open(&self, commits: u64) {
        self.state.lock().expect("no panic").1 = commits;
        self.moved.notify_all();
    }

    /// Waits until so many commits have been begun.
    fn wait_begun(&self, commits: u64) {
        let until = Instant::now() + PATIENCE;
        let mut state = self.state.lock().expect("no panic");
        while state.0 < commits {
            assert!(
                Instant::now() < until,
                "{} commits of {commits} were begun",
                state.0
            );
            state = self
                .moved
                .wait_timeout(state, PATIENCE)
                .expect("no panic")
                .0;
        }
    }

    fn begun(&self) -> u64 {
        self.state.lock().expect("no panic").0
    }
}

fn batch(run: RunId, from: i64) -> Batch {
    Batch {
        run,
        entries: (from..from + 10)
            .map(|n| event(NOON_US + n, "STOP", None))
            .collect(),
        end: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_makes_larger_transactions_and_nobody_sees_what_is_not_on_it() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("j.db");
    let gate = Arc::new(Gate::default());
    gate.open(2);
    let settings = Settings::default().before_commit(gate.hook());
    let journal = Journal::open(&path, &settings).expect("a journal");
    let writer = journal.writer();
    let web = writer
        .open_run(run_info("web", 1))
        .await
        .expect("a run")
        .run;
    let db = writer.open_run(run_info("db", 2)).await.expect("a run").run;

    // While the third commit hangs, everything else is queued; readers see nothing of it.
    let mut receipts = Vec::new();
    for round in 0..100 {
        for run in [web, db] {
            receipts.push(writer.append(batch(run, round * 10)).await.expect("room"));
        }
    }
    gate.wait_begun(3);
    assert_eq!(*journal.position().borrow(), 0);
    assert_eq!(
        *journal.health().borrow(),
        Health::Good,
        "slow is not broken"
    );
    let (told, heard) = mpsc::channel();
    let watcher = journal.position();
    assert!(!watcher.has_changed().expect("a writer"));
    gate.open(u64::MAX);
    for receipt in receipts {
        told.send(receipt.committed().await.expect("committed"))
            .expect("heard");
    }
    drop(told);
    journal.close().await.expect("closed");
    assert_eq!(heard.iter().map(|range| range.count()).sum::<usize>(), 2000);
    let commits = gate.begun() - 2;
    assert!(commits <= 20, "200 batches in {commits} transactions");
    let reader = Reader::open(&path).expect("a reader");
    let records = reader.records(&Query::default()).expect("a query");
    let records: Vec<Record> = records.map(|record| record.expect("readable")).collect();
    for machine in ["web", "db"] {
        let stamps: Vec<i64> = named(&records, machine, "STOP")
            .iter()
            .map(|r| r.time_us() - NOON_US)
            .collect();
        assert_eq!(
            stamps,
            (0..1000).collect::<Vec<_>>(),
            "{machine}: each once, in order"
        );
    }
}
