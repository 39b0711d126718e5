//! The recorder, with emulated monitors and with peers that misbehave.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use qmp_monitor::{Emitter, Monitor};
use qwatch::journal::{Follower, Reader};
use qwatch::record::Record;
use serde_json::Value;

use crate::command::run;
use crate::recorder::{Place, member, named};
use crate::support::journal;

fn monitor(name: &str) -> qmp_monitor::Builder {
    Monitor::builder()
        .version("7.2.22")
        .name(name)
        .uuid("0c5d3f2a-1111-2222-3333-444455556666")
}

/// Pause of a monitor before it dials again.
const REDIAL: Duration = Duration::from_millis(20);

fn path(place: &Place, name: &str) -> String {
    place.path(name).to_str().expect("UTF-8").to_owned()
}

#[test]
fn settings_are_checked_and_slips_are_explained() {
    let place = Place::new();
    let config = place.path("qwatch.toml");
    std::fs::write(
        &config,
        "journal = \"j.db\"\nmonitor = [\"/run/vm/*.sock\"]\n",
    )
    .expect("written");
    let config = config.to_str().expect("UTF-8");
    let said = run(&[
        "record",
        "--config",
        config,
        "--check",
        "--listen",
        "unix:/run/q.sock",
    ]);
    assert_eq!(said.code, 0, "{}", said.err);
    let expected = format!(
        "qwatch: the settings are good: recording to {}, listening at unix:/run/q.sock, dialling /run/vm/*.sock\n",
        place.journal().display()
    );
    assert_eq!(said.err, expected);
    assert!(!place.journal().exists());

    let usage = |arguments: &[&str], words: &str| {
        let said = run(&[&["record"], arguments].concat());
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains(words), "{}", said.err);
    };
    usage(&[], "there is nothing to record");
    usage(&["--monitor", "localhost:4444"], "`localhost:4444`: ");
    usage(&["--monitor", "/run/[a.sock"], "no glob of socket files");
    std::fs::write(config, "monitors = []\n").expect("written");
    usage(
        &["--config", config],
        "expected one of `journal`, `listen`, `monitor`",
    );
}

#[test]
fn a_stop_is_a_goodbye_and_the_time_until_the_next_start_is_a_gap() {
    let place = Place::new();
    let socket = path(&place, "web.sock");
    let emitter = monitor("web")
        .listen_unix(&socket)
        .build()
        .expect("a monitor");
    let recorder = place.record(&["--monitor", &socket]);
    place.wait_attached("web", 1);
    emitter
        .emit_text(r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#)
        .expect("an event");
    place.wait_for("STOP", |records| !named(records, "web", "STOP").is_empty());
    let log = recorder.stop();
    assert!(log.contains("stopping"), "{log}");

    let recorder = place.record(&["--monitor", &socket]);
    let records = place.wait_attached("web", 2);
    recorder.stop();
    let detached = named(&records, "web", "detached");
    assert_eq!(member(detached[0], "reason"), "the recorder was stopped");
    let gaps = named(&records, "web", "gap");
    let (first, second) = (gaps[0], gaps[1]);
    assert_eq!(member(first, "reason"), "QEMU was not attached to yet");
    assert_eq!(member(second, "reason"), "the recorder was not running");
    assert_eq!(
        member(second, "from"),
        qwatch::time::rfc3339(detached[0].received_us)
    );
    // One process, one run, whatever the recorder did.
    assert!(records.iter().all(|record| record.run == Some(1)));
    let seqs: Vec<_> = records.iter().filter_map(|record| record.seq).collect();
    assert_eq!(seqs, (1..=records.len() as u64).collect::<Vec<_>>());
}

#[test]
fn history_and_status_read_the_journal() {
    let place = Place::new();
    let socket = path(&place, "web.sock");
    let emitter = monitor("web\u{1b}[31m")
        .listen_unix(&socket)
        .build()
        .expect("a monitor");
    let recorder = place.record(&["--monitor", &socket]);
    place.wait_attached("web\u{1b}[31m", 1);
    for name in ["RESUME", "STOP", "RESET"] {
        emitter.emit_text(&format!(r#"{{"timestamp": {{"seconds": 1700000000, "microseconds": 7}}, "event": "{name}", "data": {{"n": 18446744073709551615}}}}"#)).expect("an event");
    }
    place.wait_for("RESET", |records| {
        !named(records, "web\u{1b}[31m", "RESET").is_empty()
    });
    let journal = path(&place, "j.db");
    let history = |options: &[&str]| {
        let said = run(&[&["history", "--journal", &journal], options].concat());
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        said.out
    };
    let json = history(&["--json", "--event", "RES*", "--last", "2"]);
    let lines: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2, "{json}");
    assert_eq!(
        (&lines[0]["event"], &lines[1]["event"]),
        (&"RESUME".into(), &"RESET".into())
    );
    assert_eq!(lines[0]["time"], "2023-11-14T22:13:20.000007Z");
    assert!(json.contains("18446744073709551615"), "{json}");
    assert_eq!(
        history(&["--json", "--event", "RES*", "--where", "event == 'STOP'"]),
        ""
    );
    // Nobody was listening before the attachment: seen even where it was not asked for, but once refused.
    let text = history(&["--event", "STOP"]);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.lines().next().is_some_and(|line| line.contains("gap")),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert_eq!(history(&["--event", "STOP,!gap"]).lines().count(), 1);
    let after = lines[1]["seq"].as_u64().expect("a number").to_string();
    assert_eq!(history(&["--json", "--after", &after]), "");

    let status: Value =
        serde_json::from_str(&run(&["status", "--journal", &journal, "--json"]).out).expect("JSON");
    assert_eq!(
        (&status["state"], &status["heard"]),
        (&"paused".into(), &true.into())
    );
    assert_eq!(status["since"], "2023-11-14T22:13:20.000007Z");
    assert_eq!(status["last_event"]["event"], "RESET");
    recorder.stop();
    let table = run(&["status", "--journal", &journal, "--utc"]);
    assert!(
        table.out.contains(
            "web\\x1b[31m  paused?  2023-11-14 22:13:20.000Z  reset while stopped  -     1     RESET       7.2.22"
        ),
        "{}",
        table.out
    );
    assert!(
        table.err.contains("no recorder is writing this journal"),
        "{}",
        table.err
    );
}

/// Emits `NUMBER` events from 1 on, a few each time the journal moves (or does not, while nobody writes
/// it), until told to stop.
fn count_aloud(place: &Place, emitter: Emitter, stop: &Arc<AtomicBool>) -> thread::JoinHandle<()> {
    const AT_ONCE: u64 = 50;
    let follower = Follower::open(&place.journal()).expect("the journal");
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        for n in 1_u64.. {
            let stamp = r#"{"seconds": 1, "microseconds": 2}"#;
            let data = format!(r#"{{"n": {n}}}"#);
            let text = format!(r#"{{"timestamp": {stamp}, "event": "NUMBER", "data": {data}}}"#);
            emitter.emit_text(&text).expect("an event");
            if n.is_multiple_of(AT_ONCE) {
                let last = follower.reader().last_seq().expect("readable");
                follower
                    .wait_past(last, Duration::from_millis(10))
                    .expect("readable");
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
    })
}

fn number(record: &Record) -> u64 {
    let data = record.data.as_deref().expect("data");
    data.trim_start_matches("{\"n\": ")
        .trim_end_matches('}')
        .parse()
        .expect("a number")
}

#[test]
fn kill_9_leaves_no_hole_in_seq_nothing_twice_and_a_gap_where_something_is_missing() {
    let place = Place::new();
    drop(journal(&place.journal()));
    let stop = Arc::new(AtomicBool::new(false));
    let monitors: Vec<Monitor> = ["a", "b", "c"]
        .map(|name| {
            monitor(name)
                .dial_unix(place.socket(), REDIAL)
                .build()
                .expect("a monitor")
        })
        .into();
    let counting: Vec<_> = monitors
        .iter()
        .map(|monitor| count_aloud(&place, monitor.emitter(), &stop))
        .collect();
    for round in 1..=5 {
        let recorder = place.listen();
        // Killed in the middle: numbers of this round are coming in.
        place.wait_for("numbers of everyone", |records| {
            ["a", "b", "c"].iter().all(|name| {
                let attached = records
                    .iter()
                    .rposition(|r| r.machine == *name && r.name == "state");
                named(records, name, "state").len() >= round
                    && attached.is_some_and(|at| named(&records[at..], name, "NUMBER").len() > 20)
            })
        });
        recorder.kill();
    }
    stop.store(true, Ordering::Relaxed);
    for thread in counting {
        thread.join().expect("no panic");
    }
    // A last recorder says what the killed one could not.
    let recorder = place.listen();
    let records = place.wait_for("the last attachments", |records| {
        ["a", "b", "c"]
            .iter()
            .all(|name| named(records, name, "state").len() >= 6)
    });
    recorder.stop();

    let seqs: Vec<_> = records.iter().filter_map(|record| record.seq).collect();
    assert_eq!(seqs, (1..=records.len() as u64).collect::<Vec<_>>());
    let mut last: HashMap<&str, u64> = HashMap::new();
    let mut excused: HashMap<&str, bool> = HashMap::new();
    for record in &records {
        let machine = record.machine.as_str();
        match record.name.as_str() {
            "gap" => drop(excused.insert(machine, true)),
            "NUMBER" => {
                let n = number(record);
                let before = last.insert(machine, n).unwrap_or(0);
                assert!(n > before, "{machine}: {n} after {before}");
                let missing = n > before + 1;
                assert!(
                    !missing || excused.get(machine) == Some(&true),
                    "{machine}: {n} after {before}"
                );
                excused.insert(machine, false);
            }
            _ => {}
        }
    }
    let killed = named(&records, "a", "detached");
    assert!(killed.len() >= 5 && member(killed[0], "reason").contains("without a word"));
}

/// A peer that puts numbered events wherever it may: before the greeting, before every answer, around
/// bytes that are no QMP.
fn chatter(listener: &UnixListener) {
    let (stream, _) = listener.accept().expect("a client");
    let mut say = stream.try_clone().expect("a handle");
    let hear = BufReader::new(stream)
        .lines()
        .map(|line| line.expect("a command"));
    let mut line = |text: &str| say.write_all(text.as_bytes()).expect("heard");
    let mut events = (1..).map(|n| {
        format!(
            "{{\"timestamp\": {{\"seconds\": {n}, \"microseconds\": 0}}, \"event\": \"E{n}\"}}\r\n"
        )
    });
    let mut event = || events.next().expect("numbers enough");
    line(&event());
    line(
        "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 6, \"major\": 2}, \"package\": \"\"}, \"capabilities\": []}}\r\n",
    );
    for command in hear {
        let command: Value = serde_json::from_str(&command).expect("JSON");
        line(&event());
        let answer = match command["execute"].as_str() {
            Some("query-status") => r#"{"status": "paused", "running": false}"#,
            _ => "{}",
        };
        line(&format!(
            "{{\"return\": {answer}, \"id\": {}}}\r\n",
            command["id"]
        ));
        if command["execute"] == "query-chardev" {
            line(&format!("{}this is no QMP\r\n{}", event(), event()));
            return;
        }
    }
}

#[test]
fn events_around_the_handshake_and_garbage_are_kept() {
    let place = Place::new();
    let socket = path(&place, "odd.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let peer = thread::spawn(move || chatter(&listener));
    let recorder = place.record(&["--monitor", &socket]);
    let records = place.wait_for("the end", |records| {
        !named(records, "odd", "detached").is_empty()
    });
    recorder.stop();
    peer.join().expect("no panic");
    let mut events = records
        .iter()
        .map(|record| record.name.as_str())
        .filter(|name| name.starts_with('E'));
    // Before the greeting, before each of 12 answers, before and after the garbage.
    for n in 1..=15 {
        assert_eq!(events.next(), Some(format!("E{n}").as_str()));
    }
    assert_eq!(events.next(), None);
    let garbage = named(&records, "odd", "garbage");
    let no_qmp = |record: &&Record| {
        record
            .data
            .as_deref()
            .is_some_and(|data| data.contains("this is no QMP"))
    };
    assert!(garbage.iter().any(no_qmp), "{garbage:?}");
    let state = named(&records, "odd", "state")[0]
        .data
        .as_deref()
        .expect("data");
    let expected = r#"{"query-status": {"status": "paused", "running": false}, "#;
    assert!(state.starts_with(expected), "{state}");
}

#[test]
fn a_held_monitor_is_said_once_and_others_are_not_held_up() {
    let place = Place::new();
    let (held, free) = (path(&place, "held.sock"), path(&place, "free.sock"));
    // A listener that accepts nobody: what a second client of QEMU sees.
    let _holder = UnixListener::bind(&held).expect("a socket");
    let _monitor = monitor("free")
        .listen_unix(&free)
        .build()
        .expect("a monitor");
    let recorder = place.record(&["--monitor", &held, "--monitor", &free]);
    place.wait_attached("free", 1);
    let line = recorder.wait_log("another client");
    assert!(line.contains("held.sock"), "{line}");
    let log = recorder.stop();
    assert!(!log.contains("another client"), "{log}");
}

#[test]
fn a_glob_finds_sockets_that_come_later_and_not_our_own() {
    let place = Place::new();
    let glob = path(&place, "*.sock");
    let own = format!("unix:{}", place.socket().display());
    let _first = monitor("first")
        .listen_unix(place.path("first.sock"))
        .build()
        .expect("a monitor");
    let recorder = place.record(&["--monitor", &glob, "--listen", &own]);
    place.wait_attached("first", 1);
    let _second = monitor("second")
        .listen_unix(place.path("second.sock"))
        .build()
        .expect("a monitor");
    place.wait_attached("second", 1);
    let log = recorder.stop();
    assert!(!log.contains("q.sock"), "it must not dial itself: {log}");
}

#[test]
fn one_process_on_two_monitors_is_recorded_once() {
    let place = Place::new();
    let (one, two) = (path(&place, "1.sock"), path(&place, "2.sock"));
    let emitter = monitor("web")
        .listen_unix(&one)
        .listen_unix(&two)
        .build()
        .expect("a monitor");
    let recorder = place.record(&["--monitor", &one, "--monitor", &two]);
    place.wait_attached("web", 1);
    recorder.wait_log("recorded already");
    emitter
        .emit_text(r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESET"}"#)
        .expect("an event");
    place.wait_for("RESET", |records| {
        !named(records, "web", "RESET").is_empty()
    });
    recorder.stop();
    let reader = Reader::open(&place.journal()).expect("a reader");
    let machines = reader.machines().expect("readable");
    assert_eq!(machines.len(), 1);
    assert_eq!(
        reader.count(machines[0].runs[0].run).expect("readable"),
        5,
        "gap, attached, state, RESET, detached"
    );
}

#[test]
fn a_second_recorder_is_refused() {
    let place = Place::new();
    let recorder = place.listen();
    let journal = path(&place, "j.db");
    let said = run(&[
        "record",
        "--journal",
        &journal,
        "--listen",
        "@qwatch-test-second",
    ]);
    assert_eq!(said.code, 1);
    let expected = format!(
        "is being written by another qwatch (process {})",
        recorder.pid()
    );
    assert!(said.err.contains(&expected), "{}", said.err);
    recorder.stop();
}

#[test]
fn whoever_dials_in_and_speaks_no_qmp_is_turned_away() {
    let place = Place::new();
    let recorder = place.listen();
    let mut stranger = UnixStream::connect(place.socket()).expect("it listens");
    stranger
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("heard");
    let line = recorder.wait_log("turned away");
    assert!(line.contains("does not speak QMP"), "{line}");
    let _monitor = monitor("web")
        .dial_unix(place.socket(), REDIAL)
        .build()
        .expect("a monitor");
    place.wait_attached("web", 1);
    recorder.stop();
}
