//! A disk that stays full, and a client that lets the machine go on at once: QEMU 9.2 to 10.2 merge the
//! events that tell why it stopped.

use qemu_lab::{Machine, Qemu, Version, ide, installed};
use qwatch::machine::{Certainty, State};
use qwatch::record::Record;

use super::{fold, told, told_by, why};
use crate::recorder::{Place, named};

/// Stops in a row.
const STOPS: usize = 4;
/// Machines, one after the other.
const RUNS: usize = 20;

const FULL_DISK: &[&str] = &[
    "-blockdev",
    "driver=raw,node-name=disk0,file.driver=blkdebug,file.image.driver=file,\
     file.image.filename=disk.img,file.inject-error.0.event=write_aio,\
     file.inject-error.0.errno=28,file.inject-error.0.sector=8",
    "-device",
    "ide-hd,bus=ide.0,drive=disk0,id=hd0",
];

fn machine(place: &Place, version: Version, name: &str) -> Machine {
    let installed = installed().unwrap_or_else(|error| panic!("{error}"));
    let binary = installed.iter().find(|binary| binary.version == version);
    let binary = binary.expect("scripts/setup brings it");
    let machine = Qemu::new(binary)
        .args(FULL_DISK.iter().copied())
        .args(["-name", name])
        .files(|folder| qemu_lab::write_raw_image(folder, "disk.img", 1, 0))
        .dial_out(place.socket())
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    place.wait_attached(name, 1);
    machine
}

/// The same write fails again and again: it is kept, and tried anew by each `cont`.
fn storm(machine: &mut Machine) -> Result<(), qemu_lab::LabError> {
    ide::write(machine.qtest(), 8)?;
    for round in 1..=STOPS {
        machine.event("STOP")?;
        if round < STOPS {
            machine.run("cont")?;
        }
    }
    Ok(())
}

fn is_full_disk(state: &State) -> bool {
    told(state) == "paused certain disk-full"
}

#[test]
fn a_full_disk_is_told_though_its_events_are_merged_away() {
    let place = Place::new();
    let recorder = place.listen();
    let mut merged = 0;
    for number in 0..RUNS {
        let name = format!("storm{number}");
        let mut machine = machine(&place, Version::new(10, 0), &name);
        storm(&mut machine).unwrap_or_else(|error| panic!("{error}"));
        let records = place.wait_for(&format!("{name} is explained"), |records| {
            named(records, &name, "STOP").len() == STOPS && is_full_disk(&fold(records, &name))
        });
        merged += STOPS - named(&records, &name, "BLOCK_IO_ERROR").len().min(STOPS);
        assert_eq!(
            told_by(&why(&place, &name, &[])),
            "paused certain disk-full"
        );
        every_stop_has_a_cause(&records, &name);
    }
    assert!(
        merged >= RUNS,
        "{merged} events were merged: this tests nothing"
    );
    recorder.stop();
}

/// Also those that were over before QEMU could be asked: they are likely, by what came before them.
fn every_stop_has_a_cause(records: &[Record], name: &str) {
    let state = fold(records, name);
    for (cause, _) in state.past_stops() {
        assert_eq!(cause.id.name(), "disk-full", "{cause:?}");
        assert!(cause.certainty >= Certainty::Likely, "{cause:?}");
        assert_eq!(cause.subject.as_deref(), Some("hd0"));
    }
}

#[test]
fn other_releases_tell_every_error() {
    let place = Place::new();
    let recorder = place.listen();
    for version in [Version::new(7, 2), Version::new(11, 1)] {
        let name = format!("storm on {version}");
        let mut machine = machine(&place, version, &name);
        storm(&mut machine).unwrap_or_else(|error| panic!("{error}"));
        let records = place.wait_for(&format!("{name} is explained"), |records| {
            named(records, &name, "STOP").len() == STOPS && is_full_disk(&fold(records, &name))
        });
        let state = fold(&records, &name);
        let past: Vec<_> = state.past_stops().map(|(cause, _)| cause).collect();
        assert_eq!(past.len(), STOPS - 1);
        for cause in past {
            assert_eq!(
                (cause.id.name(), cause.certainty),
                ("disk-full", Certainty::Certain)
            );
        }
    }
    recorder.stop();
}
