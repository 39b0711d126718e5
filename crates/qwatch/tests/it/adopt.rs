//! `qwatch adopt`: a QEMU that runs already is given a monitor for the recorder.

use std::io::Read;
use std::os::unix::net::UnixStream;

use qemu_lab::{Machine, Qemu, QemuBinary, Version, installed};
use serde_json::Value;

use crate::command::{Said, run};
use crate::recorder::{Place, named};

const ADOPTS: Version = Version {
    major: 11,
    minor: 1,
};

fn qemus(wanted: impl Fn(Version) -> bool) -> Vec<QemuBinary> {
    let all = installed().unwrap_or_else(|error| panic!("{error}"));
    let some: Vec<_> = all
        .into_iter()
        .filter(|qemu| wanted(qemu.version))
        .collect();
    assert!(!some.is_empty(), "scripts/setup brings them");
    some
}

/// A running machine, and the monitor that is free for a moment.
fn machine(binary: &QemuBinary) -> (Machine, String) {
    let qemu = Qemu::new(binary).args(["-name", "web1"]).monitor("free");
    let machine = qemu.start().unwrap_or_else(|error| panic!("{error}"));
    let monitor = machine.monitor_path("free").display().to_string();
    (machine, monitor)
}

fn report(said: &Said) -> Value {
    assert_eq!(said.err, "");
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
}

#[test]
fn a_running_machine_is_recorded_from_now_on() {
    for binary in qemus(|version| version >= ADOPTS) {
        let place = Place::new();
        let recorder = place.listen();
        let (mut machine, monitor) = machine(&binary);
        let address = format!("unix:{}", place.socket().display());
        let adopt = |more: &[&str]| {
            let words = ["adopt", &monitor, "--recorder", &address, "--json"];
            run(&[&words, more].concat())
        };
        let said = adopt(&[]);
        let first = report(&said);
        assert_eq!(
            (said.code, &first["changed"], &first["connected"]),
            (0, &true.into(), &true.into())
        );
        assert_eq!(first["machine"], "web1");
        place.wait_attached("web1", 1);
        machine
            .run("stop")
            .unwrap_or_else(|error| panic!("{error}"));
        place.wait_for("the stop", |records| {
            !named(records, "web1", "STOP").is_empty()
        });

        let again = report(&adopt(&[]));
        assert_eq!(again["changed"], false);
        // The recorder comes back: QEMU dials it again.
        recorder.stop();
        let recorder = place.listen();
        place.wait_attached("web1", 2);

        let undone = report(&adopt(&["--undo"]));
        assert_eq!(
            (&undone["changed"], &undone["address"]),
            (&true.into(), &Value::Null)
        );
        place.wait_for("the end of it", |records| {
            named(records, "web1", "detached").len() == 2
        });
        assert_eq!(report(&adopt(&["--undo"]))["changed"], false);
        recorder.stop();
    }
}

#[test]
fn nobody_listens_or_qemu_does() {
    for binary in qemus(|version| version >= ADOPTS) {
        let place = Place::new();
        let (_machine, monitor) = machine(&binary);
        let socket = place.path("new.sock").display().to_string();
        let said = run(&["adopt", &monitor, "--recorder", &format!("unix:{socket}")]);
        assert_eq!(said.code, 1);
        assert!(
            said.err.contains("nobody listens at")
                && said.out.contains("no recorder has answered yet"),
            "{said:?}"
        );
        assert_eq!(
            run(&["adopt", &monitor, "--undo"]).out,
            "web1: the monitor qwatch is taken away\n"
        );

        let said = run(&["adopt", &monitor, "--socket", &socket]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        let recorder = place.record(&["--monitor", &socket]);
        place.wait_attached("web1", 1);
        recorder.stop();
    }
}

#[test]
fn an_older_qemu_is_told_what_to_be_started_with() {
    for binary in qemus(|version| version < ADOPTS) {
        let (_machine, monitor) = machine(&binary);
        let said = run(&["adopt", &monitor, "--recorder", "unix:/run/q.sock"]);
        assert_eq!((said.code, said.out.as_str()), (1, ""));
        let again = match binary.version < (Version { major: 9, minor: 2 }) {
            true => "reconnect=1",
            false => "reconnect-ms=1000",
        };
        let options = format!(
            "start it with: -chardev socket,id=qwatch,path=/run/q.sock,{again} -mon chardev=qwatch,mode=control"
        );
        assert!(
            said.err.contains("cannot be given a monitor while it runs")
                && said.err.contains(&options),
            "{}",
            said.err
        );
        // What it says is what QEMU takes.
        let place = Place::new();
        let recorder = place.listen();
        let words = options.replace("/run/q.sock", &place.socket().display().to_string());
        let words = words
            .strip_prefix("start it with: ")
            .expect("the prefix")
            .split(' ');
        let _machine = Qemu::new(&binary)
            .args(["-name", "advised"])
            .args(words)
            .start()
            .unwrap_or_else(|error| panic!("{error}"));
        place.wait_attached("advised", 1);
        recorder.stop();
    }
}

#[test]
fn the_commands_work_through_whoever_holds_the_monitor() {
    for binary in qemus(|version| version >= ADOPTS) {
        let place = Place::new();
        let recorder = place.listen();
        let (mut machine, monitor) = machine(&binary);
        let address = format!("unix:{}", place.socket().display());
        let said = run(&["adopt", "--commands", "--recorder", &address]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        for line in said.out.lines() {
            let command: Value = serde_json::from_str(line).expect("JSON");
            let name = command["execute"].as_str().expect("a name");
            let done = machine.execute(name, command["arguments"].clone());
            done.unwrap_or_else(|error| panic!("{error}"));
        }
        place.wait_attached("web1", 1);
        // Somebody else holds the one that was free.
        let mut holder = UnixStream::connect(&monitor).expect("a monitor");
        holder.read_exact(&mut [0]).expect("its greeting");
        let held = run(&["adopt", &monitor, "--recorder", &address]);
        assert_eq!(held.code, 1);
        assert!(
            held.err.contains("qwatch adopt --commands prints"),
            "{held:?}"
        );
        recorder.stop();
    }
}
