//! Starting, using and losing a machine, on every QEMU.

use std::{
    io::{BufRead, BufReader},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use qemu_lab::{Kernel, LabError, Qemu, QemuBinary, QemuLab, Qtest, Version, installed};
use rustix::process::{Pid, test_kill_process_group};

fn each_qemu(test: impl Fn(&QemuBinary) -> Result<(), LabError>) {
    for binary in installed().unwrap_or_else(|error| panic!("{error}")) {
        test(&binary).unwrap_or_else(|error| panic!("QEMU {}: {error}", binary.version));
    }
}

#[test]
fn commands_events_and_capture() {
    each_qemu(|binary| {
        let mut machine = Qemu::new(binary).start()?;
        machine.run("stop")?;
        machine.event("STOP")?;
        assert_eq!(machine.status()?, "paused");
        machine.run("cont")?;
        machine.event("RESUME")?;
        let names: Vec<String> = machine
            .events()
            .into_iter()
            .map(|event| event.name)
            .collect();
        assert_eq!(names, ["STOP", "RESUME"]);
        let captured = String::from_utf8(machine.captured()).expect("QEMU prints ASCII");
        assert!(
            captured.starts_with("{\"QMP\": ") && captured.ends_with("\r\n"),
            "{captured}"
        );
        Ok(())
    });
}

#[test]
fn memory_and_ports_through_qtest() {
    each_qemu(|binary| {
        let mut machine = Qemu::new(binary).start()?;
        let qtest: &mut Qtest = machine.qtest();
        qtest.write(0x10_0000, b"lab")?;
        assert_eq!(qtest.read(0x10_0000, 3)?, b"lab");
        qtest.writel(0x10_0010, 0x0403_0201)?;
        assert_eq!(qtest.read(0x10_0010, 4)?, [1, 2, 3, 4]);
        qtest.memset(0x10_0010, 2, 0xEE)?;
        assert_eq!(qtest.readw(0x10_0010)?, 0xEEEE);
        assert_eq!(
            (qtest.readb(0x10_0012)?, qtest.readl(0x10_0010)?),
            (3, 0x0403_EEEE)
        );
        // PCI device 00:00.0 of the PC: vendor Intel, the 440FX host bridge.
        qtest.outl(0xCF8, 0x8000_0000)?;
        assert_eq!(qtest.inl(0xCFC)?, 0x1237_8086);
        assert_eq!((qtest.inw(0xCFC)?, qtest.inb(0xCFD)?), (0x8086, 0x80));
        Ok(())
    });
}

#[test]
fn monitors_for_others_listen_or_dial() {
    each_qemu(|binary| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = folder.path().join("with,comma.sock");
        let listener = UnixListener::bind(&socket).expect("a socket to listen at");
        let machine = Qemu::new(binary)
            .monitor("one")
            .pretty_monitor("two")
            .dial_out(&socket)
            .start()?;
        let first_line = |stream: UnixStream| {
            let mut line = String::new();
            BufReader::new(stream)
                .read_line(&mut line)
                .expect("QEMU's greeting");
            line
        };
        let connect = |name| UnixStream::connect(machine.monitor_path(name)).expect("a monitor");
        assert!(first_line(connect("one")).starts_with("{\"QMP\": "));
        assert_eq!(first_line(connect("two")), "{\r\n");
        // Twice: QEMU dials again when it was hung up on.
        for _ in 0..2 {
            let (stream, _) = listener.accept().expect("QEMU to dial");
            assert!(first_line(stream).starts_with("{\"QMP\": "));
        }
        Ok(())
    });
}

#[test]
fn a_bad_argument_is_explained_in_qemus_words() {
    each_qemu(|binary| {
        let error = Qemu::new(binary)
            .args(["-device", "no-such-device"])
            .start()
            .err();
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(
            text.contains("'no-such-device' is not a valid device"),
            "{text}"
        );
        Ok(())
    });
}

#[test]
fn nothing_is_left_behind() {
    each_qemu(|binary| {
        let machine = Qemu::new(binary).start()?;
        let (folder, group) = (machine.folder().to_owned(), machine.pid());
        let group = process_id(group);
        assert!(folder.exists());
        test_kill_process_group(group).expect("a living group");
        let panicked = std::thread::spawn(move || {
            let _machine = machine;
            std::panic::resume_unwind(Box::new("a failing test"));
        })
        .join();
        assert!(panicked.is_err() && !folder.exists());
        test_kill_process_group(group).expect_err("QEMU should be gone");
        Ok(())
    });
}

/// No destructor runs in a process that is killed.
#[test]
fn nothing_is_left_behind_by_a_test_that_is_killed() {
    let mut player = Command::new(env!("CARGO_BIN_EXE_qemu-lab-play"))
        .args(["POWERDOWN.linux", "7.2"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the player");
    let mut said = String::new();
    BufReader::new(player.stdout.take().expect("a pipe"))
        .read_line(&mut said)
        .expect("its first line");
    // As in "NAME on VERSION: process ID in FOLDER".
    let (_, place) = said.trim_end().split_once(": process ").expect(&said);
    let (id, folder) = place.split_once(" in ").expect(&said);
    let (group, folder) = (process_id(id.parse().expect(&said)), Path::new(folder));
    assert!(folder.exists());
    test_kill_process_group(group).expect("a living group");
    player.kill().expect("a living player");
    player.wait().expect("its end");
    let until = Instant::now() + Duration::from_secs(30);
    while folder.exists() || test_kill_process_group(group).is_ok() {
        assert!(Instant::now() < until, "{said} is left behind");
        std::thread::yield_now();
    }
}

#[test]
fn a_lab_is_made_of_what_is_named_or_required() {
    let all = installed().unwrap_or_else(|error| panic!("{error}"));
    let newest = all.last().expect("some QEMU");
    let lab = QemuLab::builder().qemu(&newest.path).build();
    let lab = lab.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(lab.binaries(), std::slice::from_ref(newest));
    let machines = lab.start_each(|qemu| qemu.monitor("qmp"));
    let machines = machines.unwrap_or_else(|error| panic!("{error}"));
    let [machine] = &machines[..] else {
        panic!("{machines:?}");
    };
    assert_eq!(machine.version(), newest.version);
    UnixStream::connect(machine.monitor_path("qmp")).expect("a monitor");
    let error = QemuLab::builder().require([Version::new(1, 0)]).build();
    if std::env::var_os(qemu_lab::QEMUS_VARIABLE).is_none() {
        let text = error.expect_err("no such QEMU").to_string();
        assert!(text.starts_with("QEMU 1.0 is not installed: run"), "{text}");
    }
}

/// A line of the guest's shell that fails is an error with all that is known.
#[test]
fn a_failing_line_in_the_guest_is_reported() {
    let binaries = installed().unwrap_or_else(|error| panic!("{error}"));
    let newest = binaries.last().expect("some QEMU");
    let machine = Qemu::new(newest).linux(Kernel::Unpacked).start();
    let mut machine = machine.unwrap_or_else(|error| panic!("{error}"));
    let said = machine.shell("echo one; echo two");
    assert_eq!(said.unwrap_or_else(|error| panic!("{error}")), "one\ntwo\n");
    let error = machine.shell("echo three; false").expect_err("a failure");
    let text = error.to_string();
    assert!(
        text.contains("`echo three; false` ended with 1: three"),
        "{text}"
    );
    assert!(text.contains("what its guest printed last:"), "{text}");
}

fn process_id(number: u32) -> Pid {
    Pid::from_raw(number.try_into().expect("a small number")).expect("a process id")
}
