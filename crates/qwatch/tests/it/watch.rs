//! `qwatch watch`, against real QEMUs and a journal.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::process::{Child, ChildStdout};

use qemu_lab::{Machine, Qemu, QemuBinary, installed};
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{code, start_piped};
use crate::support::{NOON_US, append, event, journal, run_info};

fn binaries() -> Vec<QemuBinary> {
    installed().unwrap_or_else(|error| panic!("{error}"))
}

fn machine(binary: &QemuBinary, name: &str) -> Machine {
    let qemu = Qemu::new(binary).args(["-name", name]).monitor("qmp");
    qemu.start().unwrap_or_else(|error| panic!("{error}"))
}

/// A running `qwatch watch --json`. Killed when dropped; a line that never comes ends with the test
/// run.
struct Watch {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watch {
    fn start(args: &[&str]) -> Self {
        let mut child = start_piped(&[&["watch", "--json"], args].concat());
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, lines }
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("qwatch writes");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Machine and event of the next line.
    fn heard(&mut self) -> (String, String) {
        let line = self.next();
        let text = |name: &str| line[name].as_str().expect("a string").to_owned();
        (text("machine"), text("event"))
    }

    fn end(mut self) -> (i32, String) {
        let mut err = String::new();
        let mut stderr = self.child.stderr.take().expect("a pipe");
        stderr.read_to_string(&mut err).expect("messages");
        (code(self.child.wait().expect("it ends")), err)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn heard(machine: &str, event: &str) -> (String, String) {
    (machine.to_owned(), event.to_owned())
}

#[test]
fn a_monitor_that_goes_and_comes_back_leaves_a_gap() {
    for binary in binaries() {
        let dir = TempDir::new().expect("a folder");
        let socket = dir.path().join("vm.sock");
        let address = socket.to_str().expect("UTF-8");
        let mut first = machine(&binary, "one");
        symlink(first.monitor_path("qmp"), &socket).expect("a link");
        let mut watch = Watch::start(&[address]);
        assert_eq!(watch.heard(), heard("one", "attached"));
        first.run("stop").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(watch.heard(), heard("one", "STOP"));
        first.kill().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(watch.heard(), heard("one", "detached"));

        let second = machine(&binary, "two");
        let link = dir.path().join("new");
        symlink(second.monitor_path("qmp"), &link).expect("a link");
        std::fs::rename(&link, &socket).expect("it replaces the old one");
        let gap = watch.next();
        assert_eq!(gap["event"], "gap");
        let bounds = (gap["data"]["from"].as_str(), gap["data"]["until"].as_str());
        assert!(bounds.0.is_some() && bounds.0 < bounds.1, "{gap}");
        assert_eq!(watch.heard(), heard("two", "attached"));
    }
}

#[test]
fn many_monitors_each_under_its_name_and_qemu_that_dials_in() {
    let dir = TempDir::new().expect("a folder");
    let socket = dir.path().join("in.sock");
    let binaries = binaries();
    let oldest = binaries.first().expect("some QEMU");
    let mut a = machine(oldest, "a");
    let qemu = Qemu::new(oldest)
        .args(["-name", "b"])
        .dial_out(&socket)
        .start();
    let mut b = qemu.unwrap_or_else(|error| panic!("{error}"));
    let (path_a, path_b) = (
        a.monitor_path("qmp"),
        format!("unix:{},server=off", socket.display()),
    );
    let mut watch = Watch::start(&[
        path_a.to_str().expect("UTF-8"),
        &path_b,
        "-e",
        "STOP,attached",
    ]);
    let mut attached = [watch.heard(), watch.heard()];
    attached.sort();
    assert_eq!(attached, [heard("a", "attached"), heard("b", "attached")]);
    for (name, machine) in [("b", &mut b), ("a", &mut a)] {
        machine.run("stop").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(watch.heard(), heard(name, "STOP"));
        // Not asked for, so not shown.
        machine.run("cont").unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn once_ends_with_the_monitor_and_fails_without_one() {
    let binaries = binaries();
    let mut machine = machine(binaries.last().expect("some QEMU"), "m");
    let path = machine.monitor_path("qmp");
    let mut watch = Watch::start(&["--once", path.to_str().expect("UTF-8")]);
    assert_eq!(watch.heard(), heard("m", "attached"));
    machine.kill().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(watch.heard(), heard("m", "detached"));
    assert_eq!(watch.end(), (0, String::new()));

    let (code, err) = Watch::start(&["--once", "/no/such/socket"]).end();
    assert_eq!(code, 1);
    assert!(
        err.starts_with("qwatch: unix:/no/such/socket: no such file"),
        "{err}"
    );
}

#[test]
fn it_ends_when_its_reader_leaves_without_waiting_for_an_event() {
    let binaries = binaries();
    let machine = machine(binaries.last().expect("some QEMU"), "m");
    let path = machine.monitor_path("qmp");
    let mut child = start_piped(&["watch", path.to_str().expect("UTF-8")]);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("qwatch writes");
    assert!(line.contains("attached"), "{line}");
    drop(lines);
    assert_eq!(code(child.wait().expect("it ends")), 0);
}

#[tokio::test]
async fn a_journal_is_followed() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("j.db");
    let journal = journal(&path);
    let writer = journal.writer();
    let run = writer
        .open_run(run_info("web", 1))
        .await
        .expect("a run")
        .run;
    let mut watch = Watch::start(&["--journal", path.to_str().expect("UTF-8"), "-e", "STOP"]);
    let reading = tokio::task::spawn_blocking(move || (watch.next(), watch));
    // What was recorded before it looked is not shown: go on until it has seen one.
    while !reading.is_finished() {
        append(
            &journal,
            run,
            vec![event(NOON_US, "STOP", None), event(NOON_US, "RESUME", None)],
        )
        .await;
        tokio::task::yield_now().await;
    }
    let (line, _watch) = reading.await.expect("no panic");
    assert_eq!(
        (&line["machine"], &line["event"]),
        (&"web".into(), &"STOP".into())
    );
    assert!(
        line["seq"].as_u64() > Some(0) && line["run"].as_u64() == Some(1),
        "{line}"
    );
}

#[tokio::test]
async fn following_a_journal_ends_when_its_reader_leaves() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("j.db");
    let _journal = journal(&path);
    let mut child = start_piped(&["watch", "--journal", path.to_str().expect("UTF-8")]);
    drop(child.stdout.take());
    let status = tokio::task::spawn_blocking(move || child.wait().expect("it ends"));
    assert_eq!(code(status.await.expect("no panic")), 0);
}
