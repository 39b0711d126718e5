//! The twin test: what a client sends is played to a real QEMU and to our monitor emulating that release,
//! and both must answer with the same bytes, but for the time of events.
//!
//! A script ends with a command whose answer says that nothing more is to come: no test waits for silence.

mod conversations;
mod generate;
mod limits;
mod machine;
mod pair;
mod play;
mod random;
mod recorded;
mod script;

use std::io::Write;
use std::thread;

use qemu_lab::{LabError, QemuBinary, Version, installed};

/// The releases whose answers ours are compared with.
const COMPARED: [Version; 3] = [Version::new(7, 2), Version::new(10, 0), Version::new(11, 1)];

/// Runs a test on every QEMU it was written for, side by side.
fn each_qemu(test: impl Fn(&QemuBinary) -> Result<(), LabError> + Sync) {
    let binaries = installed().unwrap_or_else(|error| panic!("{error}"));
    let binaries = binaries
        .iter()
        .filter(|binary| COMPARED.contains(&binary.version));
    let test = &test;
    thread::scope(|scope| {
        let running: Vec<_> = binaries
            .map(|binary| {
                let run = move || {
                    let version = binary.version;
                    test(binary).unwrap_or_else(|error| panic!("QEMU {version}: {error}"));
                };
                scope.spawn(run)
            })
            .collect();
        assert!(
            !running.is_empty(),
            "none of {COMPARED:?} is among the QEMUs named"
        );
        let failed = running
            .into_iter()
            .filter_map(|thread| thread.join().err())
            .count();
        assert_eq!(failed, 0, "see above");
    });
}

/// Tells numbers past the test runner's capture.
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output");
}
