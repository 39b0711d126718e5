//! The recorder against every real QEMU: what QEMU says is what the journal holds.

use qemu_lab::{LabError, Machine, Qemu, QemuBinary, installed};
use serde_json::Value;

use crate::command::run;
use crate::recorder::{Place, member, named};

fn each_qemu(test: impl Fn(&QemuBinary)) {
    for binary in ok(installed()) {
        test(&binary);
    }
}

#[track_caller]
fn ok<T>(result: Result<T, LabError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn dialling_out_two_machines_of_one_name() {
    each_qemu(|binary| {
        let place = Place::new();
        let start = || {
            ok(Qemu::new(binary)
                .args(["-name", "twin"])
                .monitor("qmp")
                .start())
        };
        let (mut one, mut two) = (start(), start());
        let socket = |machine: &Machine| machine.monitor_path("qmp").display().to_string();
        let recorder = place.record(&["--monitor", &socket(&one)]);
        place.wait_attached("twin", 1);
        recorder.stop();
        let recorder = place.record(&["--monitor", &socket(&one), "--monitor", &socket(&two)]);
        let records = place.wait_for("both states", |records| {
            records
                .iter()
                .filter(|record| record.name == "state")
                .count()
                == 3
        });
        let (by_one, by_two) = (one.pid(), two.pid());
        // Which of them was attached first is not known.
        let names = [
            "twin".to_owned(),
            format!("twin#{by_one}"),
            format!("twin#{by_two}"),
        ];
        assert!(records.iter().all(|record| names.contains(&record.machine)));
        for machine in [&mut one, &mut two] {
            for command in ["stop", "cont", "system_reset"] {
                ok(machine.run(command));
            }
            ok(machine.event("RESET"));
        }
        place.wait_for("both resets", |records| {
            records
                .iter()
                .filter(|record| record.name == "RESET")
                .count()
                == 2
        });
        let journal = place.journal().display().to_string();
        let said = run(&[
            "history",
            "--json",
            "--journal",
            &journal,
            "--event",
            "STOP,RESUME,RESET",
        ]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        let lines: Vec<Value> = said
            .out
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let events = |machine: &str| -> Vec<&str> {
            let of = lines.iter().filter(|line| line["machine"] == machine);
            of.filter_map(|line| line["event"].as_str()).collect()
        };
        assert_eq!(events("twin"), ["STOP", "RESUME", "RESET"]);
        assert_eq!(lines.len(), 6);
        recorder.stop();
    });
}

#[test]
fn how_a_machine_ended_is_told() {
    each_qemu(|binary| {
        let place = Place::new();
        let recorder = place.listen();
        let start = |name: &str| {
            let qemu = Qemu::new(binary)
                .args(["-name", name])
                .dial_out(place.socket());
            let machine = ok(qemu.start());
            place.wait_attached(name, 1);
            machine
        };
        let (mut quit, mut killed, mut alive) = (start("quit"), start("killed"), start("alive"));
        ok(quit.run("quit"));
        ok(quit.wait_exit());
        ok(killed.kill());
        ok(alive.run("stop"));
        let records = place.wait_for("the ends", |records| {
            let ended = |name| !named(records, name, "detached").is_empty();
            ended("quit") && ended("killed") && !named(records, "alive", "STOP").is_empty()
        });
        let ended = |name| member(named(&records, name, "detached")[0], "ended");
        assert_eq!(ended("quit"), "exited after SHUTDOWN: host-qmp-quit");
        assert!(ended("killed").starts_with("exited without SHUTDOWN"));
        let attached = named(&records, "alive", "attached")[0];
        assert!(member(attached, "version").starts_with(&format!("{}.", binary.version)));
        let state = named(&records, "alive", "state")[0];
        let data: Value = serde_json::from_str(state.data.as_deref().expect("data")).expect("JSON");
        assert_eq!(data["query-status"]["status"], "running");
        assert!(data["query-chardev"].is_array() && data.get("query-rx-filter").is_none());

        let journal = place.journal().display().to_string();
        let out = run(&["status", "--journal", &journal, "--json"]).out;
        let states: Vec<(String, String)> = out
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .map(|row| {
                (
                    row["machine"].as_str().unwrap_or("").to_owned(),
                    row["state"].as_str().unwrap_or("").to_owned(),
                )
            })
            .collect();
        let expected = [("alive", "paused"), ("killed", "gone"), ("quit", "gone")];
        assert_eq!(
            states,
            expected.map(|(machine, state)| (machine.to_owned(), state.to_owned()))
        );
        recorder.stop();
    });
}
