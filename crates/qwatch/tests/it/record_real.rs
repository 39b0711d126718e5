//! The recorder against every real QEMU: what QEMU says is what the journal holds.

use qemu_lab::{LabError, LabEvent, Machine, Qemu, QemuBinary, installed, recipes};
use qwatch::journal::Reader;
use qwatch::record::{Origin, Record};
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

fn count_of_qemu(records: &[Record], machine: &str) -> usize {
    let of = |record: &&Record| record.machine == machine && record.origin == Origin::Qemu;
    records.iter().filter(of).count()
}

/// The lines in the journal are what the lab heard at the same time, byte for byte. The lab heard more
/// before the recorder attached, never less; `since` is how much the lab had heard when it was attached.
#[track_caller]
fn same_lines(place: &Place, machine: &str, heard: &[LabEvent], since: usize) {
    let reader = Reader::open(&place.journal()).expect("a reader");
    let only = |name: &str| name == machine;
    let records = reader
        .records(&qwatch::journal::Query::default().machines(&only))
        .expect("a query");
    let lines: Vec<String> = records
        .map(|record| record.expect("a record"))
        .filter(|record: &Record| record.origin == Origin::Qemu)
        .map(|record| {
            let line = reader
                .line(record.seq.expect("a number"))
                .expect("readable");
            line.expect("the line of an event")
        })
        .collect();
    assert!(
        lines.len() >= heard.len() - since,
        "{machine}: {lines:?} of {heard:?}"
    );
    let expected = &heard[heard.len().saturating_sub(lines.len())..];
    let expected: Vec<&str> = expected.iter().map(|event| event.line.as_str()).collect();
    assert_eq!(lines, expected, "{machine}");
}

#[test]
fn every_recipe_dialling_in() {
    each_qemu(|binary| {
        let place = Place::new();
        let recorder = place.listen();
        let mut recorded = 0;
        for recipe in recipes::all().filter(|recipe| recipe.works_on(binary.version)) {
            let qemu = recipe.machine(binary).dial_out(place.socket());
            let mut machine = ok(qemu.args(["-name", recipe.name]).start());
            place.wait_attached(recipe.name, 1);
            let since = machine.events().len();
            ok(recipe.perform(&mut machine));
            if !recipe.exits {
                // QEMU writes to one monitor after the other: the lab may be ahead of the recorder.
                let heard = machine.events().len() - since;
                place.wait_for(recipe.name, |records| {
                    count_of_qemu(records, recipe.name) >= heard
                });
                ok(machine.kill());
            }
            place.wait_for(recipe.name, |records| {
                !named(records, recipe.name, "detached").is_empty()
            });
            same_lines(&place, recipe.name, &machine.events(), since);
            recorded += 1;
        }
        recorder.stop();
        assert!(recorded > 30, "{recorded}");
    });
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
