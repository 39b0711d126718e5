//! A QEMU that ends without a word: killed, crashed, out of memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use qemu_lab::{Machine, Qemu, QemuBinary, Version, installed};
use rustix::process::{Pid, Signal, kill_process};

use super::{assert_page, page, told_by, wait_told, why};
use crate::recorder::{Place, Recorder, named};

fn binaries() -> Vec<QemuBinary> {
    installed().unwrap_or_else(|error| panic!("{error}"))
}

/// A machine that is recorded. The lab reaps its QEMU only when it is asked to, or dropped.
fn recorded(place: &Place, binary: &QemuBinary, name: &str) -> Machine {
    let machine = Qemu::new(binary)
        .args(["-name", name])
        .dial_out(place.socket())
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    place.wait_attached(name, 1);
    machine
}

fn send(machine: &Machine, signal: Signal) {
    let pid = i32::try_from(machine.pid()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process"), signal).expect("it lives");
}

#[test]
fn a_qemu_that_was_killed_or_crashed_is_told_by_its_exit_status() {
    let place = Place::new();
    let recorder = place.listen();
    for binary in binaries() {
        for (signal, cause) in [
            (Signal::KILL, "gone certain killed"),
            (Signal::SEGV, "gone certain crashed"),
            (Signal::ABORT, "gone certain crashed"),
        ] {
            let name = format!("{cause} {signal:?} {}", binary.version);
            let machine = recorded(&place, &binary, &name);
            send(&machine, signal);
            wait_told(&place, &name, cause);
            assert_eq!(told_by(&why(&place, &name, &[])), cause);
            if binary.version == Version::new(11, 1) && signal == Signal::KILL {
                assert_page!("killed", page(&place, &name));
            }
        }
    }
    recorder.stop();
}

/// Nobody could look at its exit status: whoever started it had taken that already.
#[test]
fn without_a_trace_it_is_not_made_up() {
    let place = Place::new();
    let binary = &binaries()[0];
    let recorder = place.listen();
    let mut machine = recorded(&place, binary, "web");
    // The recorder looks when it can; by then the process is reaped.
    recorder.signal(Signal::STOP);
    machine.kill().unwrap_or_else(|error| panic!("{error}"));
    recorder.signal(Signal::CONT);
    wait_told(&place, "web", "gone unknown end-unexplained");
    assert_page!("unexplained", page(&place, "web"));
    recorder.stop();
}

/// A control group that limits memory, gone when dropped.
struct Group(PathBuf);

impl Group {
    /// Of version 1 or 2, whichever this system has; an error if it lets us make none.
    fn new(limit_bytes: u64) -> io::Result<Self> {
        let name = format!("qwatch-test-{}", std::process::id());
        let v1 = Path::new("/sys/fs/cgroup/memory");
        if v1.join("memory.limit_in_bytes").exists() {
            let group = Self::made(v1.join(name))?;
            group.set("memory.swappiness", "0")?;
            group.set("memory.limit_in_bytes", &limit_bytes.to_string())?;
            return Ok(group);
        }
        let v2 = Path::new("/sys/fs/cgroup");
        fs::write(v2.join("cgroup.subtree_control"), "+memory")?;
        let group = Self::made(v2.join(name))?;
        group.set("memory.max", &limit_bytes.to_string())?;
        if group.0.join("memory.swap.max").exists() {
            group.set("memory.swap.max", "0")?;
        }
        Ok(group)
    }

    fn made(path: PathBuf) -> io::Result<Self> {
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.0.join(file), value)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended; what is left of it would only be found by a person.
        let _ = fs::remove_dir(&self.0);
    }
}

const LIMIT_BYTES: u64 = 24 * 1024 * 1024;

#[test]
fn a_qemu_that_the_kernel_killed_for_memory_is_told_so() {
    let place = Place::new();
    let binary = &binaries()[0];
    match Group::new(LIMIT_BYTES) {
        Ok(group) => {
            let qemu = Qemu::new(binary).args(["-name", "greedy"]).monitor("qmp");
            let mut machine = qemu.start().unwrap_or_else(|error| panic!("{error}"));
            let pid = machine.pid().to_string();
            group.set("cgroup.procs", &pid).expect("moved");
            let monitor = machine.monitor_path("qmp").display().to_string();
            let recorder = place.record(&["--monitor", &monitor]);
            place.wait_attached("greedy", 1);
            // The guest touches more memory than the group may have; the kernel ends QEMU meanwhile.
            let _ = machine.qtest().memset(0, 60 * 1024 * 1024, 0xA5);
            expect_oom(&place, recorder);
            drop(machine);
        }
        // Nothing more is allowed here: what the rule makes of such evidence is in the unit tests, and
        // that the recorder writes evidence is in the tests above.
        Err(error) => {
            let refused = [
                io::ErrorKind::PermissionDenied,
                io::ErrorKind::ReadOnlyFilesystem,
                io::ErrorKind::NotFound,
            ];
            assert!(refused.contains(&error.kind()), "{error}");
            assert!(
                !rustix::process::geteuid().is_root()
                    || error.kind() != io::ErrorKind::PermissionDenied
            );
        }
    }
}

fn expect_oom(place: &Place, recorder: Recorder) {
    let records = place.wait_for("the end", |records| {
        !named(records, "greedy", "detached").is_empty()
    });
    let state = super::fold(&records, "greedy");
    let cause = state.cause().expect("a cause");
    // Certain where the kernel's log may be read, else likely by the count of the group.
    assert_eq!(cause.id.name(), "oom-killed", "{records:?}");
    let detached = named(&records, "greedy", "detached")[0];
    let data: serde_json::Value =
        serde_json::from_str(detached.data.as_deref().expect("data")).expect("JSON");
    assert_eq!(data["evidence"]["oom_kill"], 1, "{data}");
    recorder.stop();
}
