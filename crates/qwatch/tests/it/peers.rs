//! Peers that are no proper monitor: each gets its own clear message, in time.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use qemu_lab::{Qemu, installed};
use tempfile::TempDir;

use crate::command::{Said, run};

/// No attempt may take longer than this, program start included.
const PATIENCE: Duration = Duration::from_secs(8);

struct Place {
    _dir: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("vm.sock");
        Self { _dir: dir, path }
    }

    /// Serves one connection.
    fn served(peer: impl FnOnce(UnixStream) + Send + 'static) -> Self {
        let place = Self::new();
        let listener = UnixListener::bind(&place.path).expect("a socket");
        thread::spawn(move || {
            let (stream, _) = listener.accept().expect("qwatch connects");
            peer(stream);
        });
        place
    }

    /// What `qwatch execute` says of it.
    fn told(&self) -> Said {
        let started = Instant::now();
        let path = self.path.to_str().expect("a path in UTF-8");
        let said = run(&["execute", path, "query-status"]);
        assert!(started.elapsed() < PATIENCE, "{}", said.err);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{}", said.err);
        assert!(said.err.starts_with("qwatch: error: unix:"), "{}", said.err);
        said
    }

    fn must_say(&self, words: &str) {
        let said = self.told();
        assert!(said.err.contains(words), "{}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    }
}

/// Waits until the other side has gone, so that this side is not the first.
fn stay(mut stream: UnixStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn no_file_a_dead_socket_and_a_plain_file() {
    let place = Place::new();
    place.must_say("no such file");
    drop(UnixListener::bind(&place.path).expect("a socket"));
    place.must_say("nobody listens on this socket");
    fs::remove_file(&place.path).expect("it was left behind");
    fs::write(&place.path, "text").expect("a file");
    place.must_say("not a stream socket");
}

#[test]
fn a_peer_that_speaks_no_qmp() {
    let place = Place::served(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-\x1b[31mOpenSSH_9.2\r\n");
        stay(stream);
    });
    let said = place.told();
    assert!(said.err.contains("does not speak QMP"), "{}", said.err);
    assert!(!said.err.contains('\x1b'), "{:?}", said.err);
}

#[test]
fn half_a_greeting_or_none_and_then_the_end() {
    let half = Place::served(|mut stream| {
        let _ = stream.write_all(b"{\"QMP\": {\"version\": {\"qe");
    });
    half.must_say("in the middle of the greeting");
    Place::served(drop).must_say("without a greeting");
}

#[test]
fn a_monitor_held_by_another_client() {
    let binaries = installed().unwrap_or_else(|error| panic!("{error}"));
    let newest = binaries.last().expect("some QEMU");
    let machine = Qemu::new(newest).monitor("qmp").start();
    let machine = machine.unwrap_or_else(|error| panic!("{error}"));
    let path = machine.monitor_path("qmp");
    let mut holder = UnixStream::connect(&path).expect("the monitor");
    holder
        .read_exact(&mut [0])
        .expect("the greeting's first byte");
    let place = Place {
        _dir: tempfile::tempdir().expect("a folder"),
        path,
    };
    place.must_say("another client");
}
