//! The recorder is away for a while: what happened then is told as far as it can be, and what hides the
//! rest is said.

use qemu_lab::{Machine, Qemu, Version, ide, installed};

use super::{assert_page, page, told_by, wait_told, why};
use crate::recorder::{Place, named};

fn machine(place: &Place, version: Version, more: &[&str]) -> Machine {
    let installed = installed().unwrap_or_else(|error| panic!("{error}"));
    let binary = installed.iter().find(|binary| binary.version == version);
    let machine = Qemu::new(binary.expect("scripts/setup brings it"))
        .args(more.iter().copied())
        .args(["-name", "web"])
        .files(|folder| qemu_lab::write_raw_image(folder, "disk.img", 1, 0))
        .dial_out(place.socket())
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    place.wait_attached("web", 1);
    machine
}

const FULL_DISK: &[&str] = &[
    "-blockdev",
    "driver=raw,node-name=disk0,file.driver=blkdebug,file.image.driver=file,\
     file.image.filename=disk.img,file.inject-error.0.event=write_aio,\
     file.inject-error.0.errno=28,file.inject-error.0.sector=8",
    "-device",
    "ide-hd,bus=ide.0,drive=disk0,id=hd0",
];

/// The unheard time that hides something, as it is told.
fn hidden(place: &Place) -> String {
    let answer = why(place, "web", &[]);
    let reason = &answer["cause"]["unheard"]["reason"];
    reason.as_str().unwrap_or("-").to_owned()
}

#[test]
fn a_stop_while_nobody_listened() {
    for version in [Version::new(7, 2), Version::new(10, 0), Version::new(11, 1)] {
        let place = Place::new();
        let recorder = place.listen();
        let mut machine = machine(&place, version, &[]);
        recorder.stop();
        machine.run("stop").expect("stopped");
        let recorder = place.listen();
        wait_told(&place, "web", "paused likely client-stop");
        assert_eq!(hidden(&place), "the recorder was not running");
        if version == Version::new(11, 1) {
            assert_page!("stop-unheard", page(&place, "web"));
        }
        // It goes on, and stops where it is heard: nothing is hidden any more.
        machine.run("cont").expect("runs");
        wait_told(&place, "web", "running likely continued");
        machine.run("stop").expect("stopped");
        wait_told(&place, "web", "paused certain client-stop");
        assert_eq!(hidden(&place), "-");
        recorder.stop();
    }
}

#[test]
fn a_disk_that_filled_while_nobody_listened() {
    let place = Place::new();
    let recorder = place.listen();
    let mut machine = machine(&place, Version::new(10, 0), FULL_DISK);
    recorder.stop();
    ide::write(machine.qtest(), 8).expect("written");
    machine.event("STOP").expect("it stops");
    let recorder = place.listen();
    let state = wait_told(&place, "web", "paused certain disk-full");
    let cause = state.cause().expect("a cause");
    assert_eq!(cause.subject.as_deref(), Some("hd0"));
    assert_eq!(hidden(&place), "the recorder was not running");
    recorder.stop();
}

#[test]
fn a_state_that_nothing_changed_keeps_its_cause_and_its_time() {
    let place = Place::new();
    let recorder = place.listen();
    let mut machine = machine(&place, Version::new(10, 0), FULL_DISK);
    ide::write(machine.qtest(), 8).expect("written");
    let before = wait_told(&place, "web", "paused certain disk-full");
    recorder.stop();
    let recorder = place.listen();
    place.wait_for("the second attachment", |records| {
        let states = named(records, "web", "state");
        let whole = states.iter().filter(|state| {
            let data = state.data.as_deref().unwrap_or_default();
            !data.contains("\"asked\"")
        });
        whole.count() == 2
    });
    let answer = why(&place, "web", &[]);
    assert_eq!(told_by(&answer), "paused certain disk-full");
    let since = qwatch::time::rfc3339(before.since_us().expect("known"));
    assert_eq!(answer["since"], since);
    assert_eq!(hidden(&place), "-");
    recorder.stop();
}

#[test]
fn a_qemu_that_was_replaced_while_nobody_listened() {
    let place = Place::new();
    let recorder = place.listen();
    let first = machine(&place, Version::new(10, 0), &[]);
    recorder.stop();
    drop(first);
    let recorder = place.listen();
    let _second = machine(&place, Version::new(11, 1), &["-S"]);
    wait_told(&place, "web", "waiting certain not-started");
    let answer = why(&place, "web", &[]);
    assert_eq!(answer["previous"]["state"], "running");
    let text = page(&place, "web");
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(
        words.join(" ").contains("how it ended was not heard"),
        "{text}"
    );
    recorder.stop();
}
