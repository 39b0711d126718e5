//! QEMU ends in the middle of what it is saying.

use qemu_lab::{LabError, Machine, Qemu, installed};

use super::check::recorded;
use super::hammer::{Hammer, NAMES, beats};
use super::numbers::{count, numbers};
use super::peer::Peer;
use super::{Dice, path};
use crate::recorder::{Place, member, named};

#[test]
fn half_a_line_is_noted_and_the_next_connection_is_as_good_as_any() {
    const ROUNDS: usize = 10;
    let mut dice = Dice::new("half lines");
    let place = Place::new();
    let peer = Peer::listening("peer", &place.path("peer.sock"), dice.split());
    let recorder = place.record(&["--monitor", &path(&place, "peer.sock")]);
    let mut sent = 0;
    for round in 1..=ROUNDS {
        place.wait_attached("peer", round);
        let many = dice.roll(1..400);
        peer.send(many);
        peer.end_in_mid_line();
        sent += many;
        place.wait_for("the end", |records| {
            named(records, "peer", "detached").len() >= round
        });
    }
    let records = place.wait_attached("peer", ROUNDS + 1);
    recorder.stop();
    // All but those whose second half nobody heard.
    assert_eq!(count(&records, "peer"), sent);
    let stamps_us = peer.state().stamps_us;
    assert_eq!(stamps_us.len() as u64, sent + ROUNDS as u64);
    super::check::holes_are_told(&records, "peer", &stamps_us);
    let found = numbers(&records);
    assert!(found["peer"].is_sorted());
    for detached in &named(&records, "peer", "detached")[..ROUNDS] {
        let reason = member(detached, "reason");
        assert!(reason.contains("in the middle of a message"), "{reason}");
        assert!(
            reason.contains("NUMBER") || reason.contains("timestamp"),
            "{reason}"
        );
    }
}

#[track_caller]
fn ok<T>(result: Result<T, LabError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_qemu_killed_in_a_storm_ends_its_run_and_the_next_one_is_heard() {
    let mut dice = Dice::new("QEMU killed");
    let place = Place::new();
    let recorder = place.listen();
    for binary in ok(installed()) {
        let name = format!("real-{}", binary.version);
        let start = || {
            let qemu = Qemu::new(&binary).args(["-name", &name]);
            ok(qemu.dial_out(place.socket()).start())
        };
        let killed = start();
        place.wait_attached(&name, 1);
        let pid = rustix::process::Pid::from_raw(i32::try_from(killed.pid()).expect("a pid"));
        let hammer = Hammer::new(killed);
        hammer.beat(100_000);
        let enough = usize::try_from(dice.roll(20..400)).expect("small");
        place.wait_for("a storm", |records| {
            recorded(records, &name, &NAMES).len() >= enough
        });
        rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::KILL)
            .expect("ours");
        let (mut killed, _) = hammer.rest();
        ok(killed.wait_exit());
        let next = start();
        let records = place.wait_attached(&name, 2);
        let runs: Vec<_> = named(&records, &name, "state")
            .iter()
            .map(|record| record.run)
            .collect();
        assert_ne!(runs[0], runs[1]);
        let first = of_run(&place, &name, runs[0]);
        // Each of the two monitors was cut off somewhere.
        let lab = beats(&killed);
        let both = first.len().min(lab.len());
        assert!(both >= enough);
        assert_eq!(first[..both], lab[..both]);
        let ended = member(named(&records, &name, "detached")[0], "ended");
        assert!(ended.starts_with("exited without SHUTDOWN"), "{ended}");
        let next = beat_and_rest(next);
        let lab = beats(&next);
        place.wait_for("the beats of the next", |records| {
            let of = recorded(records, &name, &NAMES);
            of.len() >= first.len() + lab.len()
        });
        assert_eq!(of_run(&place, &name, runs[1]), lab);
    }
    recorder.stop();
}

fn beat_and_rest(machine: Machine) -> Machine {
    let hammer = Hammer::new(machine);
    hammer.beat(20);
    let (machine, beaten) = hammer.rest();
    ok(beaten);
    machine
}

fn of_run(place: &Place, name: &str, run: Option<u64>) -> Vec<(String, i64)> {
    let mut records = place.records();
    records.retain(|record| record.run == run);
    recorded(&records, name, &NAMES)
}
