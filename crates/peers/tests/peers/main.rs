//! Each client does the same with both and writes down what it saw.

mod machine;
mod python;
mod rust;

use std::path::Path;

use qemu_lab::{Qemu, Version, qemu};
use qmp_monitor::Monitor;

/// The release compared with.
const RELEASE: Version = Version::new(10, 0);

/// How often a client may see something else before it counts. Some write on after `quit` (`qapi` sends
/// the line end by itself), and whether the monitor is gone by then is a race that either may lose.
const ATTEMPTS: usize = 3;

/// Lets a client talk to a real QEMU, then to our monitor, and compares what it saw, times of events aside.
/// Returns it for a look at what should be in it.
#[expect(
    clippy::print_stdout,
    reason = "what differed belongs to the test's output"
)]
fn same_with_both(client: impl Fn(&Path) -> String) -> String {
    let mut seen = both(&client);
    for attempt in 1..ATTEMPTS {
        if seen.0 == seen.1 {
            break;
        }
        println!("attempt {attempt}\nQEMU: {}\nours: {}", seen.0, seen.1);
        seen = both(&client);
    }
    assert_eq!(seen.0, seen.1, "QEMU's is on the left");
    seen.1
}

/// What a client sees with a real QEMU, and with our monitor.
fn both(client: impl Fn(&Path) -> String) -> (String, String) {
    let mut real = qemu(RELEASE)
        .and_then(|binary| {
            Qemu::new(&binary)
                .args(["-name", "vm1"])
                .monitor("peer")
                .start()
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let version = real
        .run("query-version")
        .unwrap_or_else(|error| panic!("{error}"));
    let from_real = timeless(&client(&real.monitor_path("peer")));

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("peer.sock");
    let monitor = Monitor::builder()
        .version(&format!("{RELEASE}.{}", version["qemu"]["micro"]))
        .package(version["package"].as_str().expect("a text"))
        .name("vm1")
        .commands(machine::commands())
        .listen_unix(&path)
        .build();
    let _monitor = monitor.unwrap_or_else(|error| panic!("{error}"));
    (from_real, timeless(&client(&path)))
}

/// Zeros for the digits of whatever follows `seconds` and `microseconds`, however it is printed.
fn timeless(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("seconds") {
        let (head, tail) = rest.split_at(at + "seconds".len());
        let digits = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (between, number) = tail.split_at(digits);
        out.push_str(head);
        out.push_str(between);
        out.push('0');
        rest = number.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out + rest
}
