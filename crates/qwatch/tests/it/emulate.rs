//! `qwatch emulate`, as a test of some other program would use it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use qwatch::emulate::Scenario;
use rustix::process::{Pid, Signal, kill_process};

use crate::command::{code, run};
use crate::emulator::{Client, Emulator};
use crate::support::{NOON_US, append, event, journal, line, run_info};

fn names(client: &mut Client, count: usize) -> Vec<String> {
    (0..count).map(|_| client.event()).collect()
}

#[test]
fn it_is_the_machine_it_says_it_is() {
    let vm = Emulator::start(&["--as", "7.2.22", "--name", "web", "--uuid", "u-1"]);
    let address = vm.address();
    let answer = |command: &str| run(&["execute", &address, command, "--json"]).out;
    assert!(answer("query-version").contains(r#""micro": 22, "minor": 2, "major": 7"#));
    assert_eq!(answer("query-name"), "{\"name\": \"web\"}\n");
    assert_eq!(answer("query-uuid"), "{\"UUID\": \"u-1\"}\n");
    assert!(answer("query-status").contains("\"running\": true"));
    let mut client = vm.client();
    for (command, event, status) in [
        ("stop", Some("STOP"), "paused"),
        ("stop", None, "paused"),
        ("system_reset", Some("RESET"), "prelaunch"),
        ("cont", Some("RESUME"), "running"),
        ("system_powerdown", Some("POWERDOWN"), "running"),
    ] {
        client.send(&format!("{{\"execute\": \"{command}\", \"id\": [7]}}"));
        if let Some(event) = event {
            assert_eq!(client.event(), event);
        }
        assert_eq!(client.line(), r#"{"return": {}, "id": [7]}"#);
        assert!(client.ask("query-status").contains(status), "{command}");
    }
    client.send("{'execute': 'quit'}");
    assert_eq!(client.message()["data"]["reason"], "host-qmp-quit");
    assert_eq!(client.rest(), "{\"return\": {}}\r\n");
    let (code, out, err) = vm.end();
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""));
}

/// The vocabulary, told as a release tells its schema, has nothing the vocabulary lacks.
#[test]
fn its_own_description_is_what_it_emits() {
    let mut counts = Vec::new();
    for version in ["2.6", "4.0", "6.1", "7.2", "9.1", "10.0", "11.0", "11.1"] {
        let vm = Emulator::start(&["--as", version]);
        let said = run(&["check", &vm.address(), "--json"]);
        assert_eq!(said.code, 0, "{version}: {}{}", said.out, said.err);
        let report: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        assert_eq!(report["lacking"], serde_json::json!([]), "{version}");
        for absent in report["absent"].as_array().expect("a list") {
            let why = absent["why"].as_str().expect("a reason");
            assert!(
                why.starts_with("since ") || why.starts_with("removed in"),
                "{version}: {absent}"
            );
        }
        counts.push(report["events"].as_u64().expect("a number"));
        let mut client = vm.client();
        let old = client.ask("query-events");
        assert_eq!(
            old.contains("\"STOP\""),
            version < "6.0" && !version.starts_with('1'),
            "{version}"
        );
    }
    assert!(counts[0] < counts[3] && counts[3] < counts[7], "{counts:?}");
}

#[test]
fn a_scenario_is_played() {
    let scenario = r#"
        [machine]
        name = "db"
        version = "9.1"
        disks = ["root", "data"]
        [[step]]
        at = 0
        do = [
            { action = "disk-error", disk = "data", reason = "No space left on device" },
            { after = "10ms", action = "continue" },
        ]
        [[step]]
        after = "20ms"
        every = "5ms"
        times = 3
        event = "__COM.EXAMPLE_TICK"
        data = { big = 9007199254740993 }
        [[step]]
        on = "device_del"
        do = [
            { event = "DEVICE_DELETED", data = { path = "/machine/peripheral/net0", device = "net0" } },
            { after = "1ms", action = "suspend" },
        ]
        [[command]]
        name = "query-pci"
        return = [{ bus = 0, devices = [] }]
        [[command]]
        name = "device_add"
        error = "no such bus"
        class = "DeviceNotFound"
    "#;
    let vm = Emulator::play(scenario, &[]);
    let mut client = vm.client();
    assert_eq!(names(&mut client, 3), ["BLOCK_IO_ERROR", "STOP", "RESUME"]);
    for _ in 0..3 {
        let tick = client.line();
        assert!(
            tick.ends_with(r#""event": "__COM.EXAMPLE_TICK", "data": {"big": 9007199254740993}}"#),
            "{tick}"
        );
    }
    client.send("{'execute': 'device_del', 'arguments': {'id': 'net0'}}");
    assert_eq!(client.event(), "DEVICE_DELETED", "before the reply");
    assert_eq!(client.line(), "{\"return\": {}}");
    assert_eq!(client.event(), "SUSPEND", "later");
    assert_eq!(
        client.ask("query-pci"),
        r#"{"return": [{"bus": 0, "devices": []}]}"#
    );
    let error = r#"{"error": {"class": "DeviceNotFound", "desc": "no such bus"}}"#;
    assert_eq!(client.ask("device_add"), error);
    assert!(client.ask("query-block").contains("data"));
}

#[test]
fn the_scenario_of_the_documentation_works() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/emulate.md");
    let document = fs::read_to_string(document).expect("the document");
    let example = document.split("```toml\n").nth(1).expect("an example");
    let example = example.split("```").next().expect("its end");
    Scenario::read(example).unwrap_or_else(|error| panic!("{error}"));
    let vm = Emulator::play(example, &["--speed", "100"]);
    let mut client = vm.client();
    let expected = [
        "RTC_CHANGE",
        "BLOCK_IO_ERROR",
        "STOP",
        "RESUME",
        "JOB_STATUS_CHANGE",
        "JOB_STATUS_CHANGE",
        "JOB_STATUS_CHANGE",
        "JOB_STATUS_CHANGE",
        "BLOCK_JOB_COMPLETED",
    ];
    assert_eq!(names(&mut client, expected.len()), expected);
}

#[test]
fn slips_in_a_scenario_are_told_with_their_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("s.toml");
    fs::write(&file, "[[step]]\nat = 1\naction = \"dance\"\n").expect("written");
    let file = file.display().to_string();
    let said = run(&["emulate", "--listen", "/nowhere/x.sock", &file]);
    assert_eq!(said.code, 2);
    assert!(
        said.err
            .contains("s.toml: line 3, column 10: there is no action `dance`"),
        "{}",
        said.err
    );
    for (args, code) in [
        (&["emulate"][..], 2),
        (&["emulate", "--listen", "tcp:x"], 2),
        (&["emulate", "--listen", "/nowhere/x.sock"], 1),
        (
            &["emulate", "--listen", "/nowhere/x.sock", "--as", "new"],
            1,
        ),
        (
            &[
                "emulate",
                "--listen",
                "/nowhere/x.sock",
                "--replay",
                "/nowhere/file",
            ],
            1,
        ),
    ] {
        let said = run(args);
        assert_eq!(said.code, code, "{args:?}: {}", said.err);
    }
}

#[test]
fn a_raw_recording_is_played() {
    let text = format!(
        "{}\n{}\n{}\n",
        r#"{"QMP": {"version": {}, "capabilities": []}}"#,
        line(
            NOON_US,
            "RTC_CHANGE",
            Some(r#"{"offset": 18446744073709551615}"#)
        ),
        line(NOON_US + 1_000, "RTC_CHANGE", Some(r#"{"offset": 2}"#)),
    );
    let vm = Emulator::with_file("r.qmp", &text, &["--replay", "FILE", "--keep-stamps"]);
    let mut client = vm.client();
    assert_eq!(client.line(), text.lines().nth(1).expect("a line"));
    assert_eq!(
        client.line(),
        text.lines().nth(2).expect("a line"),
        "limited once is enough"
    );
    assert!(client.ask("query-status").contains("prelaunch"));
}

#[tokio::test]
async fn a_journal_is_played_and_its_state_is_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("j.db");
    let journal = journal(&path);
    for (pid, machine) in [(1, "web"), (2, "db")] {
        let run = journal
            .writer()
            .open_run(run_info(machine, pid))
            .await
            .expect("a run")
            .run;
        let entries = vec![
            event(NOON_US, "RESUME", None),
            event(NOON_US + 1000, "STOP", None),
        ];
        append(&journal, run, entries).await;
    }
    let path = path.display().to_string();
    let said = run(&["emulate", "--listen", "/nowhere/x", "--replay", &path]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("choose one with --machine: db, web"),
        "{}",
        said.err
    );
    let vm = Emulator::start(&["--replay", &path, "--machine", "web"]);
    let mut client = vm.client();
    let first = client.message();
    assert_eq!(first["event"], "RESUME");
    let stamp = first["timestamp"]["seconds"].as_i64().expect("a stamp");
    assert!(
        stamp > NOON_US / 1_000_000,
        "the time at which it is played"
    );
    assert_eq!(client.event(), "STOP");
    assert!(client.ask("query-status").contains("paused"));
}

#[test]
fn it_is_told_what_happens_line_by_line() {
    let mut vm = Emulator::start(&["--as", "2.6"]);
    let mut client = vm.client();
    vm.tell("reset guest=true");
    let reset = client.line();
    assert!(
        reset.ends_with("\"event\": \"RESET\"}"),
        "2.6 had no data there: {reset}"
    );
    vm.tell("# a comment");
    vm.tell("dance");
    vm.tell("{\"event\": \"X\", \"data\": {\"n\": 18446744073709551615}}");
    assert_eq!(client.message()["data"]["n"], u64::MAX);
    vm.tell("help");
    vm.tell("switch-off");
    assert_eq!(client.event(), "SHUTDOWN");
    assert_eq!(client.rest(), "");
    let (code, _, err) = vm.end();
    assert_eq!(code, 0);
    assert!(
        err.contains("there is no action `dance`") && err.contains("disk-error disk="),
        "{err}"
    );
}

#[test]
fn a_signal_ends_it_as_it_ends_qemu() {
    let vm = Emulator::start(&[]);
    let mut client = vm.client();
    let pid = i32::try_from(vm.child.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process"), Signal::TERM).expect("it runs");
    assert_eq!(client.message()["data"]["reason"], "host-signal");
    assert_eq!(client.rest(), "");
    assert_eq!(vm.end().0, 0);
}

/// A shell starts it, says where it is, and dies.
#[test]
fn it_does_not_outlive_who_started_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("vm.sock");
    let script = format!(
        "{} emulate --listen {} <&0 & read line",
        env!("CARGO_BIN_EXE_qwatch"),
        socket.display()
    );
    let mut shell = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut out = BufReader::new(shell.stdout.take().expect("a pipe"));
    let mut ready = String::new();
    out.read_line(&mut ready).expect("it is ready");
    let mut client = Client::connect(&socket);
    client.negotiate();
    shell.kill().expect("it runs");
    shell.wait().expect("it ends");
    assert_eq!(client.event(), "SHUTDOWN");
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("its end");
    assert!(!socket.exists());
}

#[test]
fn our_own_commands_work_on_it() {
    let scenario =
        "[[step]]\non = \"system_powerdown\"\nafter = \"5ms\"\naction = \"switch-off\"\n";
    let vm = Emulator::play(scenario, &["--listen", "tcp:127.0.0.1:0"]);
    let said = run(&[
        "wait",
        &vm.address(),
        "SHUTDOWN",
        "--timeout",
        "20s",
        "--json",
        "--after-command",
        "system_powerdown",
    ]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("guest-shutdown"), "{}", said.out);
    let (ended, out, _) = vm.end();
    assert_eq!(ended, 0);
    assert!(
        out.starts_with("tcp:127.0.0.1:") && !out.contains(":0\n"),
        "{out}"
    );
}

#[test]
fn the_recorder_records_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("j.db").display().to_string();
    let scenario = "[[step]]\nafter = \"10ms\"\ndo = [{action = \"stop\"}, {action = \"quit\"}]\n";
    let vm = Emulator::play(scenario, &["--name", "played", "--as", "11.1"]);
    let mut recorder =
        crate::command::start_piped(&["record", "--monitor", &vm.address(), "--journal", &path]);
    assert_eq!(vm.end().0, 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    let history = || {
        let args = [
            "history",
            "--journal",
            &path,
            "--machine",
            "played",
            "--json",
        ];
        run(&[&args[..], &["-e", "STOP,SHUTDOWN"]].concat()).out
    };
    while history().lines().count() < 2 {
        assert!(Instant::now() < deadline, "{}", history());
    }
    let pid = i32::try_from(recorder.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process"), Signal::TERM).expect("it runs");
    assert_eq!(code(recorder.wait().expect("it ends")), 0);
}
