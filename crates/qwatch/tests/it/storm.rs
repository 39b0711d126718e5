//! A thousand machines, one of which floods: all of it is recorded, in order, in bounded memory.

use std::time::Duration;

use qmp_monitor::Monitor;

use crate::recorder::{Place, named};

const MACHINES: u64 = 1000;
const FLOOD: u64 = 20_000;
const EACH: u64 = 5;

/// Of the recorder, at its most: 1,000 connections, the queue, SQLite's cache.
const MEMORY_MAX_KB: u64 = 200_000;

fn line(number: u64) -> String {
    format!(
        r#"{{"timestamp": {{"seconds": 1700000000, "microseconds": {number}}}, "event": "DEVICE_DELETED", "data": {{"path": "/n{number}"}}}}"#
    )
}

/// The most memory a process has had, in kilobytes.
fn peak_memory_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("a peak");
    let number = line.split_whitespace().nth(1).expect("a number");
    number.parse().expect("a number")
}

#[test]
fn a_thousand_machines_one_of_them_flooding() {
    let place = Place::new();
    let recorder = place.listen();
    let machines: Vec<Monitor> = (0..MACHINES)
        .map(|n| {
            Monitor::builder()
                .version("7.2.22")
                .name(&format!("m{n}"))
                .dial_unix(place.socket(), Duration::from_millis(100))
                .build()
                .expect("a monitor")
        })
        .collect();
    place.wait_for("all machines", |records| {
        records.iter().filter(|r| r.name == "state").count() as u64 >= MACHINES
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..FLOOD {
                machines[0].emit_text(&line(number)).expect("an event");
            }
        });
        for number in 0..EACH {
            for machine in &machines[1..] {
                machine.emit_text(&line(number)).expect("an event");
            }
        }
    });
    let count = FLOOD + (MACHINES - 1) * EACH;
    let records = place.wait_for("all events", |records| {
        records
            .iter()
            .filter(|r| r.name == "DEVICE_DELETED")
            .count() as u64
            >= count
    });
    for (n, expected) in (0..MACHINES).map(|n| (n, if n == 0 { FLOOD } else { EACH })) {
        let heard: Vec<u64> = named(&records, &format!("m{n}"), "DEVICE_DELETED")
            .iter()
            .map(|r| r.timestamp.expect("a stamp").microseconds.unsigned_abs())
            .collect();
        assert!(
            heard.iter().copied().eq(0..expected),
            "m{n}: each once, in order"
        );
    }
    let peak = peak_memory_kb(recorder.pid());
    assert!(peak < MEMORY_MAX_KB, "{peak} kB");
    recorder.stop();
}
