//! The two sides: a real QEMU, and our monitor with a small machine behind it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use qemu_lab::{LabError, Machine, Qemu, QemuBinary};
use qmp_monitor::Monitor;
use tempfile::TempDir;

use crate::machine::{Emulated, RELEASE, State};
use crate::play::{PATIENCE, Transcript, play};
use crate::script::{DOORS, Door, NEGOTIATE_OOB, Script};

/// One of the two.
pub(crate) trait Side {
    /// The socket of a door.
    fn path(&self, door: Door) -> PathBuf;

    /// Ends the slow command.
    fn let_go(&mut self);
}

pub(crate) struct Pair {
    pub(crate) real: Real,
    pub(crate) ours: Ours,
}

pub(crate) struct Real {
    pub(crate) machine: Machine,
}

pub(crate) struct Ours {
    state: State,
    /// Dropped before the folder its sockets are in.
    _monitors: [Monitor; 2],
    /// Negotiated, for commands out of band: others wait for the slow command.
    back: BufReader<UnixStream>,
    folder: TempDir,
}

/// The socket through which the test itself talks to our machine.
const BACK_DOOR: &str = "back";

/// A disk that answers after half a second: who reads it by a monitor command has a slow command.
const SLOW_DISK: &str = "driver=null-co,node-name=slow,read-zeroes=on,latency-ns=500000000";

impl Pair {
    /// Starts both, ours with the version the real one says it is.
    pub(crate) fn start(binary: &QemuBinary) -> Result<Self, LabError> {
        let mut qemu = Qemu::new(binary).args(["-blockdev", SLOW_DISK]);
        for (door, name) in DOORS {
            qemu = match door {
                Door::Pretty => qemu.pretty_monitor(name),
                _ => qemu.monitor(name),
            };
        }
        let mut machine = qemu.start()?;
        let version = machine.run("query-version")?;
        let number = |member: &str| version["qemu"][member].as_u64().unwrap_or_default();
        let numbers = [number("major"), number("minor"), number("micro")].map(|n| n.to_string());
        let package = version["package"].as_str().unwrap_or_default();
        let ours = Ours::start(&numbers.join("."), package);
        let real = Real { machine };
        Ok(Self { real, ours })
    }

    /// Plays a script to both and tells where they differ.
    pub(crate) fn compare(&mut self, script: &Script) -> Result<Transcript, String> {
        self.rewind();
        let real = play(script, &mut self.real).map_err(|problem| format!("QEMU: {problem}"))?;
        let ours = play(script, &mut self.ours).map_err(|problem| format!("ours: {problem}"))?;
        let (real, ours) = (real.timeless(), ours.timeless());
        match real.difference(&ours) {
            Some(difference) => Err(difference),
            None => Ok(ours),
        }
    }

    /// Stops both machines: where every script begins. Only one that ran is `paused` afterwards.
    fn rewind(&mut self) {
        for command in ["cont", "stop"] {
            let done = self.real.machine.run(command);
            done.unwrap_or_else(|error| panic!("{error}"));
        }
        self.ours.state.stop();
    }
}

impl Side for Real {
    fn path(&self, door: Door) -> PathBuf {
        self.machine.monitor_path(name(door))
    }

    fn let_go(&mut self) {
        // The slow disk answers by itself.
    }
}

impl Ours {
    fn start(version: &str, package: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = State::default();
        let build = |doors: &[&str], pretty: bool| {
            let machine = Emulated::new(version, state.clone());
            let builder = Monitor::builder().version(version).package(package);
            let mut builder = builder.commands(machine).pretty(pretty);
            for door in doors {
                builder = builder.listen_unix(folder.path().join(door));
            }
            builder.build().unwrap_or_else(|error| panic!("{error}"))
        };
        let plain = [name(Door::First), name(Door::Second), BACK_DOOR];
        let monitors = [build(&plain, false), build(&[name(Door::Pretty)], true)];
        let back = UnixStream::connect(folder.path().join(BACK_DOOR)).expect("a socket");
        back.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut back = BufReader::new(back);
        back.get_mut()
            .write_all(NEGOTIATE_OOB)
            .expect("a listening monitor");
        assert!(answer(&mut back).starts_with("{\"QMP\": "));
        assert_eq!(answer(&mut back), "{\"return\": {}}\r\n");
        Self {
            state,
            _monitors: monitors,
            back,
            folder,
        }
    }
}

impl Side for Ours {
    fn path(&self, door: Door) -> PathBuf {
        self.folder.path().join(name(door))
    }

    fn let_go(&mut self) {
        let release = format!("{{\"exec-oob\": \"{RELEASE}\", \"id\": 1}}");
        loop {
            // The thread that answers has, by then, read on behind the slow command as far as it may.
            self.back
                .get_mut()
                .write_all(release.as_bytes())
                .expect("a listening monitor");
            let answer = answer(&mut self.back);
            if answer.starts_with("{\"return\"") {
                return;
            }
        }
    }
}

/// The next line that is no event.
fn answer(stream: &mut BufReader<UnixStream>) -> String {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("an answer in time");
        if !line.contains("\"event\": ") {
            return line;
        }
    }
}

fn name(door: Door) -> &'static str {
    let found = DOORS.iter().find(|(known, _)| *known == door);
    found.expect("every door is listed").1
}
