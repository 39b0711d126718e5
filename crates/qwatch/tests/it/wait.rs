//! `qwatch wait`: what is so already is not missed, and nothing is early.

use std::process::Child;
use std::time::{SystemTime, UNIX_EPOCH};

use qemu_lab::{LabError, Machine, Qemu, QemuBinary, installed};
use serde_json::{Value, json};

use crate::command::{Said, run, start_piped};
use crate::recorder::Place;

#[track_caller]
fn ok<T>(result: Result<T, LabError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn each_qemu(test: impl Fn(&QemuBinary)) {
    for binary in ok(installed()) {
        test(&binary);
    }
}

/// Two null disks to copy between, a USB bus to plug into, a monitor for the waits, and a recorder.
fn machine(binary: &QemuBinary, place: &Place) -> Machine {
    let disk = |name: &str| format!("driver=null-co,node-name={name},size=1048576,read-zeroes=off");
    let qemu = Qemu::new(binary)
        .args(["-name", "web", "-device", "qemu-xhci,id=usb"])
        .args(["-blockdev", &disk("from"), "-blockdev", &disk("to")])
        .monitor("waits")
        .dial_out(place.socket());
    ok(qemu.start())
}

fn backup(id: &str, more: Value) -> Value {
    let mut arguments = json!({ "job-id": id, "device": "from", "target": "to", "sync": "full" });
    let object = arguments.as_object_mut().expect("an object");
    object.extend(more.as_object().cloned().unwrap_or_default());
    arguments
}

fn finish(child: Child) -> Said {
    child.wait_with_output().expect("qwatch ends").into()
}

/// What it printed, of one record.
#[track_caller]
fn printed(said: &Said) -> Value {
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

fn last_seq(place: &Place) -> u64 {
    let reader = qwatch::journal::Reader::open(&place.journal()).expect("the journal");
    reader.last_seq().expect("a number")
}

fn now_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    i64::try_from(since.as_micros()).expect("not that late")
}

/// Pseudo-random from the number of the round alone: where it fails, it fails again.
fn dice(round: u32, sides: u32) -> u32 {
    let mixed = round.wrapping_add(1).wrapping_mul(0x9E37_79B9);
    (mixed ^ (mixed >> 15))
        .wrapping_mul(0x85EB_CA6B)
        .rotate_left(13)
        % sides
}

/// Rounds of each kind for each QEMU: with three QEMUs and four kinds over a thousand waits.
const ROUNDS: u32 = 84;

#[test]
fn a_thousand_jobs_and_removals_none_missed_none_early() {
    each_qemu(|binary| {
        let place = Place::new();
        let recorder = place.listen();
        let mut machine = machine(binary, &place);
        place.wait_attached("web", 1);
        let monitor = machine.monitor_path("waits").display().to_string();
        let journal = place.journal().display().to_string();
        for round in 0..ROUNDS {
            job_in_the_journal(&mut machine, &place, &journal, round);
            job_at_the_monitor(&mut machine, &monitor, round);
            device_at_the_monitor(&mut machine, &monitor, round);
            device_in_the_journal(&mut machine, &place, &journal, round);
        }
        recorder.stop();
    });
}

/// A job of one id again and again, that is dismissed by itself; the wait begins before, while or after it runs.
fn job_in_the_journal(machine: &mut Machine, place: &Place, journal: &str, round: u32) {
    let after = last_seq(place).to_string();
    let words = [
        "wait",
        "web",
        "job:copy",
        "--journal",
        journal,
        "--after",
        &after,
        "--json",
        "--timeout",
        "30s",
    ];
    let before_us = now_us();
    let waits = match dice(round, 2) {
        0 => {
            let child = start_piped(&words);
            ok(machine.execute("blockdev-backup", backup("copy", json!({}))));
            child
        }
        _ => {
            ok(machine.execute("blockdev-backup", backup("copy", json!({}))));
            start_piped(&words)
        }
    };
    let record = printed(&finish(waits));
    assert!(
        record["seq"].as_u64() > after.parse().ok(),
        "round {round}: {record}"
    );
    assert_eq!(
        record["event"], "JOB_STATUS_CHANGE",
        "round {round}: {record}"
    );
    assert!(stamp_us(&record) >= before_us, "round {round}: {record}");
    // It is over for QEMU, too: the next of its name can begin.
    assert_eq!(ok(machine.execute("query-jobs", json!({}))), json!([]));
}

/// A job that stays until it is dismissed, ended at some time around the beginning of the wait.
fn job_at_the_monitor(machine: &mut Machine, monitor: &str, round: u32) {
    let words = ["wait", monitor, "job:stay", "--json", "--timeout", "30s"];
    start_unfinished(machine, "stay", json!({ "auto-dismiss": false }));
    let child = (dice(round, 2) == 0).then(|| start_piped(&words));
    let ended_us = now_us();
    ok(machine.execute("job-finalize", json!({ "id": "stay" })));
    let record = printed(&finish(child.unwrap_or_else(|| start_piped(&words))));
    assert!(
        stamp_us(&record) >= ended_us,
        "round {round}, early: {record}"
    );
    ok(machine.execute("job-dismiss", json!({ "id": "stay" })));
}

/// Starts a job that has done all its work and waits to be told to end.
fn start_unfinished(machine: &mut Machine, id: &str, more: Value) {
    let mut arguments = backup(id, more);
    arguments["auto-finalize"] = Value::Bool(false);
    ok(machine.execute("blockdev-backup", arguments));
    ok(machine.event_where("JOB_STATUS_CHANGE", |data| {
        data["id"] == id && data["status"] == "pending"
    }));
}

fn device_at_the_monitor(machine: &mut Machine, monitor: &str, round: u32) {
    plug(machine);
    let words = [
        "wait",
        monitor,
        "device-deleted:mouse",
        "--json",
        "--timeout",
        "30s",
    ];
    let child = (dice(round, 2) == 0).then(|| start_piped(&words));
    ok(machine.execute("device_del", json!({ "id": "mouse" })));
    let said = finish(child.unwrap_or_else(|| start_piped(&words)));
    assert_eq!(said.code, 0, "round {round}: {said:?}");
}

fn device_in_the_journal(machine: &mut Machine, place: &Place, journal: &str, round: u32) {
    plug(machine);
    let after = last_seq(place).to_string();
    let words = [
        "wait",
        "web",
        "device-deleted:mouse",
        "--journal",
        journal,
        "--after",
        &after,
        "--json",
        "--timeout",
        "30s",
    ];
    let child = (dice(round, 2) == 0).then(|| start_piped(&words));
    ok(machine.execute("device_del", json!({ "id": "mouse" })));
    let record = printed(&finish(child.unwrap_or_else(|| start_piped(&words))));
    assert_eq!(record["event"], "DEVICE_DELETED", "round {round}: {record}");
    assert!(
        record["seq"].as_u64() > after.parse().ok(),
        "round {round}: {record}"
    );
}

fn plug(machine: &mut Machine) {
    let mouse = json!({ "driver": "usb-mouse", "id": "mouse", "bus": "usb.0" });
    ok(machine.execute("device_add", mouse));
}

fn stamp_us(record: &Value) -> i64 {
    let stamp = &record["timestamp"];
    let part = |name: &str| stamp[name].as_i64();
    match (part("seconds"), part("microseconds")) {
        (Some(seconds), Some(micros)) => seconds * 1_000_000 + micros,
        // A note of ours.
        _ => i64::MAX,
    }
}

#[test]
fn states_are_looked_up_before_they_are_waited_for() {
    each_qemu(|binary| {
        let place = Place::new();
        let recorder = place.listen();
        let mut machine = machine(binary, &place);
        place.wait_attached("web", 1);
        let monitor = machine.monitor_path("waits").display().to_string();
        let journal = place.journal().display().to_string();
        let at_both = |condition: &str| {
            for source in [vec![monitor.as_str()], vec!["web", "--journal", &journal]] {
                let words = [&["wait"], &source[..], &[condition, "--timeout", "30s"]].concat();
                let said = run(&words);
                assert_eq!(
                    (said.code, said.err.as_str()),
                    (0, ""),
                    "{condition} at {source:?}"
                );
            }
        };
        at_both("running");
        ok(machine.run("stop"));
        at_both("paused");
        let words = ["wait", &monitor, "running", "--timeout", "100ms"];
        let said = run(&words);
        assert_eq!(
            (said.code, said.err.as_str()),
            (124, "qwatch: error: no running within 100ms\n")
        );
        let said = run(&[
            "wait",
            &monitor,
            "running",
            "--after-command",
            "cont",
            "--timeout",
            "30s",
        ]);
        assert_eq!(said.code, 0, "{said:?}");

        let waits = start_piped(&["wait", &monitor, "gone", "--timeout", "30s"]);
        let other = start_piped(&[
            "wait",
            "web",
            "gone",
            "--journal",
            &journal,
            "--timeout",
            "30s",
        ]);
        ok(machine.kill());
        for child in [waits, other] {
            let said = finish(child);
            assert_eq!(said.code, 0, "{said:?}");
        }
        // And what is gone already.
        assert_eq!(run(&["wait", &monitor, "gone"]).code, 0);
        assert_eq!(run(&["wait", "web", "gone", "--journal", &journal]).code, 0);
        let said = run(&["wait", "web", "job:none", "--journal", &journal]);
        assert_eq!(said.code, 1);
        assert!(
            said.err
                .contains("the machine is gone, and job none with it"),
            "{}",
            said.err
        );
        recorder.stop();
    });
}

#[test]
fn a_job_that_fails_ends_the_wait_with_its_error() {
    each_qemu(|binary| {
        let place = Place::new();
        let recorder = place.listen();
        let mut machine = machine(binary, &place);
        place.wait_attached("web", 1);
        let monitor = machine.monitor_path("waits").display().to_string();
        let journal = place.journal().display().to_string();
        let broken = json!({
            "driver": "blkdebug", "node-name": "broken",
            "image": { "driver": "null-co", "size": 1_048_576, "read-zeroes": false },
            "inject-error": [{ "event": "none", "iotype": "read", "errno": 5 }],
        });
        ok(machine.execute("blockdev-add", broken));
        let mut arguments = backup("bad", json!({}));
        arguments["device"] = Value::from("broken");
        let command = json!({ "execute": "blockdev-backup", "arguments": arguments }).to_string();
        let words = [
            "wait",
            &monitor,
            "job:bad",
            "--after-command",
            &command,
            "--timeout",
            "30s",
        ];
        let said = run(&words);
        assert_eq!((said.code, said.out.as_str()), (1, ""));
        let expected = "qwatch: error: web: job bad failed: Input/output error\n";
        assert_eq!(said.err, expected);
        let said = run(&["wait", "web", "job:bad", "--journal", &journal]);
        assert_eq!((said.code, said.err.as_str()), (1, expected));

        // One that is no block job keeps its error to itself until it is asked.
        let create = json!({
            "job-id": "make",
            "options": { "driver": "file", "filename": "/nonexistent/disk", "size": 1024 },
        });
        let command = json!({ "execute": "blockdev-create", "arguments": create }).to_string();
        let said = run(&[
            "wait",
            &monitor,
            "job:make",
            "--after-command",
            &command,
            "--timeout",
            "30s",
        ]);
        assert_eq!(said.code, 1);
        assert!(
            said.err.contains("job make failed: ") && said.err.contains("No such file"),
            "{}",
            said.err
        );

        // One that is cancelled by somebody else, before or after the wait has found it.
        start_unfinished(&mut machine, "long", json!({}));
        let waits = start_piped(&["wait", &monitor, "job:long", "--timeout", "30s"]);
        ok(machine.execute("job-cancel", json!({ "id": "long" })));
        let said = finish(waits);
        assert_eq!(said.code, 1);
        let expected = ["job long was cancelled", "there is no job long"];
        assert!(
            expected.iter().any(|words| said.err.contains(words)),
            "{}",
            said.err
        );
        recorder.stop();
    });
}

#[test]
fn what_cannot_be_is_said() {
    let usage = |words: &[&str], expected: &str| {
        let said = run(&[&["wait"], words].concat());
        assert_eq!(said.code, 2, "{words:?}");
        assert!(said.err.contains(expected), "{}", said.err);
    };
    usage(
        &["/tmp/m.sock", "job:x=done"],
        "`done` is no status of a job",
    );
    usage(&["/tmp/m.sock", "disk:x"], "`disk:x` is no condition");
    usage(&["/tmp/m.sock", "job:"], "`job:` is no condition");
    usage(
        &["/tmp/m.sock", "paused", "--where", "true"],
        "--where is about events",
    );
    usage(
        &["web", "STOP", "--after-command", "stop"],
        "--after-command needs a monitor",
    );
    let place = Place::new();
    let recorder = place.listen();
    let journal = place.journal().display().to_string();
    let said = run(&[
        "wait",
        "nobody",
        "paused",
        "--journal",
        &journal,
        "--timeout",
        "50ms",
    ]);
    assert_eq!(said.code, 124);
    assert!(
        said.err.contains("the journal has no machine nobody yet"),
        "{}",
        said.err
    );
    recorder.stop();
}
