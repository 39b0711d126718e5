//! `qwatch decode`: raw QMP text in, events out.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use crate::command::{qwatch, run, run_on, start_piped};

/// A session with everything that may stand beside events, in QEMU's own bytes.
const SESSION: &str = concat!(
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n",
    "{\"return\": {}}\r\n",
    "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 42}, \"event\": \"STOP\"}\r\n",
    "{\"return\": {\"event\": \"not one\"}, \"id\": 1}\r\n",
    "{\"id\": 2, \"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\r\n",
    "{\"timestamp\": {\"seconds\": 1700000001, \"microseconds\": 5}, \"event\": \"BLOCK_IO_ERROR\", \"data\": {\"device\": \"\", \"nospace\": true, \"node-name\": \"d\\u00E4ta\", \"reason\": \"No space left on device\", \"operation\": \"write\", \"action\": \"stop\"}}\r\n",
    "{\"timestamp\": {\"seconds\": -1, \"microseconds\": -1}, \"event\": \"GUEST_PANICKED\", \"data\": {\"action\": \"pause\", \"info\": {\"arg5\": 1, \"arg4\": 0, \"arg3\": 0, \"arg2\": 0, \"arg1\": 18446744073709551615, \"type\": \"hyper-v\"}}}\r\n",
);

fn events_of(session: &str) -> String {
    let lines = session.split_inclusive("\r\n");
    lines.filter(|line| line.contains("timestamp")).collect()
}

#[test]
fn lines_for_people() {
    let said = run_on(&["decode", "--utc"], SESSION.as_bytes());
    insta::assert_snapshot!(said.out, @r"
    2023-11-14 22:13:20.000Z  STOP
    2023-11-14 22:13:21.000Z  BLOCK_IO_ERROR        däta write → stop: No space left on device
    (no clock)               GUEST_PANICKED        → pause, hyper-v: arg1=0xffffffffffffffff arg2=0x0 arg3=0x0 arg4=0x0 arg5=0x1
    ");
    assert_eq!((said.err.as_str(), said.code), ("", 0));
}

#[test]
fn colours_only_where_they_are_wanted() {
    let colored = |args: &[&str], no_color: &str| {
        let mut command = qwatch(&[&["decode"], args].concat());
        command.env("NO_COLOR", no_color).stdin(Stdio::piped());
        let mut child = command.spawn().expect("qwatch starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(SESSION.as_bytes()).expect("qwatch reads");
        drop(stdin);
        let output = child.wait_with_output().expect("qwatch ends");
        output.stdout.contains(&0x1b)
    };
    assert!(!colored(&[], ""), "a pipe is no terminal");
    assert!(colored(&["--color", "always"], "1"), "asked for");
    assert!(
        !colored(&["--color", "always", "--json"], ""),
        "JSON has none"
    );
    assert!(!colored(&["--color=never"], ""));
}

#[test]
fn json_has_exactly_five_members() {
    let said = run_on(&["decode", "--json"], SESSION.as_bytes());
    insta::assert_snapshot!(said.out, @r#"
    {"time":"2023-11-14T22:13:20.000042Z","event":"STOP","data":null,"known":true,"unknown_members":[]}
    {"time":"2023-11-14T22:13:21.000005Z","event":"BLOCK_IO_ERROR","data":{"device": "", "nospace": true, "node-name": "d\u00E4ta", "reason": "No space left on device", "operation": "write", "action": "stop"},"known":true,"unknown_members":[]}
    {"time":null,"event":"GUEST_PANICKED","data":{"action": "pause", "info": {"arg5": 1, "arg4": 0, "arg3": 0, "arg2": 0, "arg1": 18446744073709551615, "type": "hyper-v"}},"known":true,"unknown_members":[]}
    "#);
}

#[test]
fn qmp_gives_back_the_bytes_of_qemu() {
    let said = run_on(&["decode", "--qmp", "--strict"], SESSION.as_bytes());
    assert_eq!(said.out, events_of(SESSION));
    assert_eq!((said.err.as_str(), said.code), ("", 0));
}

#[test]
fn pretty_text_with_other_line_ends_gives_the_same() {
    let mut pretty = String::new();
    for line in SESSION.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        pretty.push_str(&serde_json::to_string_pretty(&value).expect("JSON"));
    }
    let said = run_on(&["decode", "--qmp"], pretty.as_bytes());
    assert_eq!(said.out, events_of(SESSION));
}

#[test]
fn garbage_is_reported_with_its_place_and_skipped() {
    let mut input = b"GET / HTTP/1.0\r\n".to_vec();
    input.extend_from_slice(SESSION.as_bytes());
    input.extend_from_slice(b"\x1b[2J\xff{\"event\": \"STOP\"}{\"event\": \"RES");
    let said = run_on(&["decode", "--qmp", "--strict"], &input);
    assert_eq!(said.out, events_of(SESSION) + "{\"event\": \"STOP\"}\r\n");
    assert_eq!(said.code, 0, "garbage is no matter of the vocabulary");
    insta::assert_snapshot!(said.err, @r#"
    qwatch: skipped: bytes 0 to 15: no message: GET / HTTP/1.0
    qwatch: skipped: bytes 765 to 769: no message: \u{1b}[2J�
    qwatch: skipped: bytes 787 to 800: a message that never ended: {"event": "RES
    "#);
}

#[test]
fn strict_names_each_thing_outside_the_vocabulary_once() {
    let input = concat!(
        r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#,
        r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "WATCHDOG", "data": {"action": "explode"}}"#,
        r#"{"timestamp": {"seconds": 1, "microseconds": 3}, "event": "WATCHDOG", "data": {"action": "explode"}}"#,
        r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP", "data": {"why": "\u001b[31m"}}"#,
        r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "__org.x_EVENT"}"#,
    );
    let said = run_on(&["decode", "--strict"], input.as_bytes());
    assert_eq!(said.code, 1);
    assert_eq!(said.out.lines().count(), 5);
    insta::assert_snapshot!(said.err, @r"
    qwatch: byte 65: WATCHDOG: unknown value `explode` of `action` (2 times)
    qwatch: byte 265: STOP: unknown member `why`
    qwatch: byte 361: unknown event `__org.x_EVENT`
    ");
    assert_eq!(run_on(&["decode"], input.as_bytes()).code, 0);
}

#[test]
fn a_pipe_that_never_ends_is_decoded_as_it_comes() {
    let mut child = start_piped(&["decode", "--qmp"]);
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    for line in events_of(SESSION).split_inclusive("\r\n") {
        stdin.write_all(line.as_bytes()).expect("qwatch reads");
        let mut seen = String::new();
        stdout.read_line(&mut seen).expect("qwatch answers");
        assert_eq!(seen, line);
    }
    drop(stdin);
    assert!(child.wait().expect("qwatch ends").success());
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child = start_piped(&["decode"]);
    let mut stdin = child.stdin.take().expect("a pipe");
    drop(child.stdout.take());
    let event = events_of(SESSION);
    // More than any pipe holds; the writing ends when qwatch has noticed and gone.
    let writer = std::thread::spawn(move || while stdin.write_all(event.as_bytes()).is_ok() {});
    let status = child.wait().expect("qwatch ends");
    writer.join().expect("no panic");
    let mut err = String::new();
    let mut stderr = child.stderr.take().expect("a pipe");
    stderr.read_to_string(&mut err).expect("messages");
    assert_eq!((status.code(), err.as_str()), (Some(0), ""));
}

#[test]
fn a_file_is_read_and_a_missing_one_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("capture.txt");
    fs::write(&file, SESSION).expect("a file");
    let path = file.to_str().expect("a path in UTF-8");
    assert_eq!(run(&["decode", "--qmp", path]).out, events_of(SESSION));
    fs::remove_file(&file).expect("the file was there");
    let said = run(&["decode", path]);
    assert_eq!(said.code, 1);
    let expected = format!("qwatch: error: cannot open {path}: No such file or directory");
    assert!(said.err.starts_with(&expected), "{}", said.err);
    assert_eq!(run(&["decode", "--json", "--qmp"]).code, 2);
}
