//! `qwatch demo`, as a user runs it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Said, code, qwatch, run, start_piped};

/// Plays the demo fast; gives what it said and the folder with the journal.
fn play(args: &[&str]) -> (Said, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let keep = folder.path().join("kept").display().to_string();
    let said = run(&[&["demo", "--speed", "20", "--keep", &keep], args].concat());
    assert_eq!((said.code, said.out.is_empty()), (0, false), "{}", said.err);
    (said, folder)
}

#[test]
fn the_day_is_recorded_and_can_be_read_back() {
    let (said, folder) = play(&["--json"]);
    let journal = folder.path().join("kept/journal.db").display().to_string();
    assert!(said.err.contains(&journal), "{}", said.err);
    let history = run(&["history", "--json", "--journal", &journal]);
    assert_eq!(
        history.out, said.out,
        "what was shown is what is in the journal"
    );

    let records: Vec<Value> = said
        .out
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    for (record, seq) in records.iter().zip(1_u64..) {
        assert_eq!(record["seq"], seq);
    }
    let heard: BTreeSet<(String, String)> = records
        .iter()
        .map(|record| (text(record, "machine"), text(record, "event")))
        .collect();
    let missing: Vec<(&str, &str)> = expected()
        .into_iter()
        .filter(|(machine, event)| !heard.contains(&((*machine).into(), (*event).into())))
        .collect();
    assert_eq!(missing, []);

    // Who came while nobody listened is in no event, only in what the machine said of itself later.
    let told = |event: &str| {
        let of_event = records.iter().filter(|record| record["event"] == event);
        of_event
            .map(|record| record["data"].to_string())
            .collect::<String>()
    };
    assert!(!told("VNC_CONNECTED").contains("203.0.113.66"));
    assert!(told("state").contains("203.0.113.66"));
}

fn text(record: &Value, name: &str) -> String {
    record[name].as_str().expect("text").to_owned()
}

/// Machines and events that are in the journal at any speed, however much is held back.
fn expected() -> Vec<(&'static str, &'static str)> {
    let mut pairs = Vec::new();
    for (machine, events) in [
        (
            "web",
            "VNC_INITIALIZED VNC_DISCONNECTED BLOCK_JOB_READY MIGRATION MIGRATION_PASS SHUTDOWN",
        ),
        (
            "db",
            "BALLOON_CHANGE VSERPORT_CHANGE BLOCK_IO_ERROR STOP RESUME POWERDOWN SHUTDOWN",
        ),
        (
            "build",
            "BLOCK_JOB_COMPLETED JOB_STATUS_CHANGE GUEST_PANICKED RESET",
        ),
        (
            "attic",
            "RTC_CHANGE SPICE_CONNECTED SPICE_DISCONNECTED WATCHDOG RESET",
        ),
    ] {
        let notes = "attached gap state detached";
        let names = events.split(' ').chain(notes.split(' '));
        pairs.extend(names.map(|name| (machine, name)));
    }
    pairs
}

#[test]
fn people_get_chapters_and_what_to_try_next() {
    let (said, folder) = play(&["--utc"]);
    assert!(said.out.contains("\n08:00  Four machines"), "{}", said.out);
    let next: Vec<&str> = said.out.lines().filter_map(arguments_to_qwatch).collect();
    assert!(next.len() >= 4, "{}", said.out);
    for line in next {
        // As a shell would take it apart: the arguments quoted here hold no quotes themselves.
        let parts = line.split('\'').enumerate();
        let words = parts.flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().collect(),
            _ => vec![part],
        });
        let tried = run(&words.collect::<Vec<_>>());
        assert_eq!(
            (tried.code, tried.out.is_empty()),
            (0, false),
            "{line}: {}",
            tried.err
        );
    }
    let keep = folder.path().join("kept").display().to_string();
    let again = run(&["demo", "--keep", &keep]);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("exists already"), "{}", again.err);
}

/// What follows the program, quoted or not, in a line to be copied into a shell.
fn arguments_to_qwatch(line: &str) -> Option<&str> {
    let line = line.strip_prefix("  ")?;
    let line = line.strip_prefix('\'').unwrap_or(line);
    let line = line.strip_prefix(env!("CARGO_BIN_EXE_qwatch"))?;
    line.strip_prefix('\'').unwrap_or(line).strip_prefix(' ')
}

#[test]
fn broken_off_it_leaves_a_journal_and_nothing_else() {
    let folder = TempDir::new().expect("a folder");
    let keep = folder.path().join("kept").display().to_string();
    let sockets = TempDir::new().expect("a folder");
    let mut demo = qwatch(&["demo", "--speed", "0.1", "--json", "--keep", &keep]);
    let mut demo = demo
        .env("TMPDIR", sockets.path())
        .spawn()
        .expect("qwatch runs");
    let mut lines = BufReader::new(demo.stdout.take().expect("a pipe"));
    let mut first = String::new();
    lines.read_line(&mut first).expect("a record");
    let pid = i32::try_from(demo.id())
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process");
    kill_process(pid, Signal::INT).expect("it runs");
    let mut err = String::new();
    // The machines' processes have it too: its end means that they have ended.
    demo.stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut err)
        .expect("messages");
    assert_eq!(code(demo.wait().expect("it ends")), 1);
    assert!(err.contains("broken off"), "{err}");
    assert_eq!(sockets.path().read_dir().expect("a folder").count(), 0);
    let history = run(&[
        "history",
        "--json",
        "--journal",
        &format!("{keep}/journal.db"),
    ]);
    assert!(history.out.starts_with(&first), "{}", history.out);
}

#[test]
fn speeds_are_checked() {
    for speed in ["0", "-1", "fast", "nan", "1e9"] {
        let said = run(&["demo", &format!("--speed={speed}")]);
        assert_eq!(said.code, 2, "{speed}");
        assert!(said.err.contains("expected a number from"), "{}", said.err);
    }
    let mut nobody = start_piped(&["demo", "--role", "nobody", "/nowhere"]);
    let mut err = String::new();
    nobody
        .stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut err)
        .expect("messages");
    assert_eq!(code(nobody.wait().expect("it ends")), 1);
    assert!(err.contains("no machine of the demo"), "{err}");
}
