//! The throttle twin: the same things happen to a real QEMU and to our monitor at the same times, and the
//! same events must arrive in the same order at the same times.
//!
//! A test program of its own, because it measures time: no other test should run meanwhile. The runs
//! themselves go side by side, for they do little but wait.

mod arrivals;
mod run;
mod subjects;

use std::io::Write;
use std::thread;

use qemu_lab::{LabError, QemuBinary, installed};

use crate::run::{APART_MAX, Outcome, compare};
use crate::subjects::{SUBJECTS, Subject};

#[test]
fn throttled_events_arrive_as_from_qemu() {
    let binaries = installed().unwrap_or_else(|error| panic!("{error}"));
    let binaries = binaries.iter();
    let pairs = binaries.flat_map(|binary| SUBJECTS.iter().map(move |subject| (binary, subject)));
    let (mut runs, mut again, mut apart_us, mut failures) = (0, 0, Vec::new(), Vec::new());
    thread::scope(|scope| {
        let running: Vec<_> = pairs
            .map(|(binary, subject)| {
                (
                    binary,
                    subject,
                    scope.spawn(|| all_schedules(binary, subject)),
                )
            })
            .collect();
        assert!(!running.is_empty(), "there is no QEMU to compare with");
        for (binary, subject, thread) in running {
            let name = format!("QEMU {}, {}", binary.version, subject.name);
            match thread.join() {
                Ok(Ok(outcomes)) => {
                    for outcome in outcomes {
                        runs += 1;
                        again += outcome.attempts - 1;
                        apart_us.extend(outcome.apart_us);
                        failures.extend(outcome.failure.map(|why| format!("{name}, {why}")));
                    }
                }
                Ok(Err(error)) => failures.push(format!("{name}: {error}")),
                Err(_) => failures.push(format!("{name}: panicked, see above")),
            }
        }
    });
    apart_us.sort_unstable();
    let median_us = apart_us
        .get(apart_us.len() / 2)
        .copied()
        .unwrap_or(u128::MAX);
    let line = format!(
        "{runs} schedules, {} events apart by {median_us} us at the median, {:?} us at most; \
         {again} runs were repeated",
        apart_us.len(),
        apart_us.last()
    );
    writeln!(std::io::stdout(), "{line}").expect("standard output");
    assert!(median_us <= APART_MAX.as_micros(), "{line}");
    assert!(failures.is_empty(), "{}\n{line}", failures.join("\n"));
}

/// One schedule after the other, each on a machine of its own.
fn all_schedules(binary: &QemuBinary, subject: &Subject) -> Result<Vec<Outcome>, LabError> {
    let mut outcomes = Vec::new();
    for schedule in subject.schedules {
        outcomes.push(compare(binary, subject, schedule)?);
    }
    Ok(outcomes)
}
