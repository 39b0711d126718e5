//! The commands that talk to a monitor, against every real QEMU.

use std::io::{BufRead, BufReader, Read};

use qemu_lab::{Machine, Qemu, QemuBinary, Recipe, installed, recipes};
use serde_json::Value;

use crate::command::{Said, code, run, run_on, start_piped};

fn each_qemu(test: impl Fn(&QemuBinary)) {
    for binary in installed().unwrap_or_else(|error| panic!("{error}")) {
        test(&binary);
    }
}

/// A machine with a name and a monitor for qwatch, and how to address that.
fn machine(binary: &QemuBinary) -> (Machine, String) {
    let qemu = Qemu::new(binary).args(["-name", "lab machine", "-no-shutdown"]);
    let machine = qemu
        .monitor("qmp")
        .start()
        .unwrap_or_else(|e| panic!("{e}"));
    let monitor = format!(
        "unix:{},server=on,wait=off",
        machine.monitor_path("qmp").display()
    );
    (machine, monitor)
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
}

#[test]
fn check_finds_nothing_that_the_vocabulary_lacks() {
    each_qemu(|binary| {
        let (_machine, monitor) = machine(binary);
        let said = run(&["check", "--json", &monitor]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        let report = json(&said);
        assert_eq!(report["lacking"], Value::Array(Vec::new()), "{report}");
        assert!(report["events"].as_u64() > Some(50), "{report}");
        let absent = report["absent"].as_array().expect("a list");
        let why = |event: &str| {
            absent
                .iter()
                .find(|a| a["event"] == event)
                .map(|a| &a["why"])
        };
        assert_eq!(why("COMMAND_DROPPED"), Some(&Value::from("removed in 4.0")));
        assert_eq!(why("STOP"), None);
        let text = run(&["check", &monitor]).out;
        let expected = format!(": reachable, QEMU {}.", binary.version);
        assert!(text.contains(&expected), "{text}");
    });
}

#[test]
fn execute_prints_what_is_returned_or_the_error() {
    each_qemu(|binary| {
        let (_machine, monitor) = machine(binary);
        let said = run(&["execute", &monitor, "query-name"]);
        assert_eq!(
            (said.code, said.out.as_str()),
            (0, "{\"name\": \"lab machine\"}\n")
        );
        let whole =
            r#"{"execute": "qom-get", "arguments": {"path": "/machine", "property": "type"}}"#;
        let words = run(&[
            "execute",
            &monitor,
            "qom-get",
            "path=/machine",
            "property=type",
        ]);
        assert_eq!(run(&["execute", &monitor, whole]).out, words.out);
        assert!(words.out.starts_with("\"pc-"), "{}", words.out);
        let said = run(&["execute", &monitor, "qom-list", r#"{"path": "/none"}"#]);
        assert_eq!((said.code, said.out.as_str()), (1, ""));
        let expected = "qwatch: error: qom-list: Device '/none' not found (DeviceNotFound)\n";
        assert_eq!(said.err, expected);
    });
}

#[test]
fn wait_sees_the_event_of_its_own_command_even_before_the_answer() {
    each_qemu(|binary| {
        let (mut machine, monitor) = machine(binary);
        // STOP goes out before the answer of `stop`; RESUME before that of `cont`.
        for (command, event) in [("stop", "STOP"), ("cont", "RESUME")].repeat(5) {
            let said = run(&[
                "wait",
                &monitor,
                "--json",
                event,
                "--after-command",
                command,
            ]);
            assert_eq!((said.code, said.err.as_str()), (0, ""));
            let line = json(&said);
            assert_eq!(
                (&line["event"], &line["machine"]),
                (&event.into(), &"lab machine".into())
            );
            machine.event(event).unwrap_or_else(|e| panic!("{e}"));
        }
    });
}

#[test]
fn a_command_may_overtake_or_end_everything() {
    each_qemu(|binary| {
        let (_machine, monitor) = machine(binary);
        let said = run(&["execute", &monitor, "query-yank", "--oob"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        assert!(said.out.starts_with('['), "{}", said.out);
        let said = run(&["execute", &monitor, "query-status", "--oob"]);
        assert_eq!(said.code, 1);
        assert!(said.err.contains("does not support OOB"), "{}", said.err);
        // The connection ends before or after the answer of `quit`; the event came before both.
        let quit = r#"{"execute": "quit"}"#;
        let said = run(&["wait", &monitor, "shutdown", "--after-command", quit]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        assert!(
            said.out.contains("host-qmp-quit, by the host"),
            "{}",
            said.out
        );
    });
}

#[test]
fn wait_filters_times_out_and_tells_why_it_gave_up() {
    each_qemu(|binary| {
        let (mut machine, monitor) = machine(binary);
        let reset = [
            "wait",
            &monitor,
            "RESET,SHUTDOWN",
            "--after-command",
            "system_reset",
        ];
        let of_host = [&reset[..], &["--where", "!data.guest"]].concat();
        assert_eq!(run(&of_host).code, 0);
        let of_guest = [&reset[..], &["--where", "data.guest", "--timeout", "200ms"]].concat();
        let said = run(&of_guest);
        assert_eq!((said.code, said.out.as_str()), (124, ""));
        assert_eq!(said.err, "qwatch: error: no RESET,SHUTDOWN within 200ms\n");

        let said = run(&[
            "wait",
            &monitor,
            "STOP",
            "--after-command",
            "no-such-command",
        ]);
        assert_eq!(said.code, 1);
        assert!(
            said.err
                .contains("The command no-such-command has not been found"),
            "{}",
            said.err
        );

        let before = machine.events().len();
        let reset_then_stop = [&reset[..2], &["STOP"], &reset[3..]].concat();
        let mut child = start_piped(&reset_then_stop);
        // Its command has had its effect: it is listening.
        machine
            .events_where("one more RESET", |events| events.len() > before)
            .unwrap_or_else(|e| panic!("{e}"));
        machine.kill().unwrap_or_else(|e| panic!("{e}"));
        let status = child.wait().expect("qwatch ends");
        let mut err = String::new();
        child
            .stderr
            .take()
            .expect("a pipe")
            .read_to_string(&mut err)
            .expect("messages");
        assert_eq!(code(status), 1, "{err}");
        assert!(err.starts_with("qwatch: error: lab machine: "), "{err}");
    });
}

#[test]
fn decode_gives_back_every_byte_of_the_events_qemu_sent() {
    each_qemu(|binary| {
        let mut seen = std::collections::BTreeSet::new();
        // Those with a Linux, which take long, are decoded by the matrix only.
        let works = |recipe: &&Recipe| {
            recipe.works_on(binary.version)
                && recipe.linux.is_none()
                && (recipe.host_lacks)().is_none()
        };
        for recipe in recipes::all().filter(works) {
            let machine = recipe.machine(binary).start();
            let mut machine = machine.unwrap_or_else(|error| panic!("{}: {error}", recipe.name));
            recipe
                .perform(&mut machine)
                .unwrap_or_else(|error| panic!("{error}"));
            let captured = machine.captured();
            let said = run_on(&["decode", "--qmp", "--strict"], &captured);
            let captured = String::from_utf8(captured).expect("QEMU prints ASCII");
            let lines = captured.split_inclusive("\r\n");
            let events: String = lines.filter(|line| line.contains("\"event\": ")).collect();
            assert_eq!(said.out, events, "{}", recipe.name);
            assert_eq!((said.err.as_str(), said.code), ("", 0), "{}", recipe.name);
            seen.insert(recipe.event());
        }
        assert!(seen.len() > 20, "{seen:?}");
    });
}

#[test]
fn a_pretty_monitor_decodes_to_the_same_bytes() {
    each_qemu(|binary| {
        let qemu = Qemu::new(binary).pretty_monitor("pretty").start();
        let mut machine = qemu.unwrap_or_else(|error| panic!("{error}"));
        let socket = machine.monitor_path("pretty");
        let mut stream = std::os::unix::net::UnixStream::connect(socket).expect("a monitor");
        std::io::Write::write_all(&mut stream, b"{\"execute\": \"qmp_capabilities\"}")
            .expect("QEMU reads");
        let mut pretty = BufReader::new(stream);
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains("\"return\"") {
            pretty.read_until(b'\n', &mut text).expect("QEMU answers");
        }
        machine
            .run("stop")
            .unwrap_or_else(|error| panic!("{error}"));
        machine
            .run("system_reset")
            .unwrap_or_else(|error| panic!("{error}"));
        machine
            .event("RESET")
            .unwrap_or_else(|error| panic!("{error}"));
        let plain = String::from_utf8(machine.captured()).expect("ASCII");
        machine.kill().unwrap_or_else(|error| panic!("{error}"));
        pretty.read_to_end(&mut text).expect("the end");
        let lines = plain.split_inclusive("\r\n");
        let events: String = lines.filter(|line| line.contains("\"event\": ")).collect();
        let decoded = run_on(&["decode", "--qmp"], &text).out;
        assert_eq!(decoded, events);
    });
}
