//! `qwatch watch`, following the journal while the machines run.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use qemu_lab::{LabError, Qemu, QemuBinary};

use super::PATIENCE;
use crate::command::start_piped;
use crate::recorder::Place;

/// A running `qwatch watch --json`.
pub(super) struct Live {
    child: Child,
    lines: Receiver<String>,
}

impl Live {
    /// Starts it; returns once it follows, which shows when it tells of a first machine.
    pub(super) fn start(place: &Place, binary: &QemuBinary) -> Result<Live, LabError> {
        let journal = place.journal().display().to_string();
        let mut child = start_piped(&["watch", "--json", "--journal", &journal]);
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let live = Live { child, lines };
        let qemu = Qemu::new(binary).dial_out(place.socket());
        let mut machine = qemu.args(["-name", "first"]).start()?;
        let until = Instant::now() + PATIENCE;
        loop {
            machine.run("stop")?;
            machine.run("cont")?;
            match live.lines.recv_timeout(Duration::from_millis(50)) {
                Ok(_) => return Ok(live),
                Err(_) if Instant::now() < until => {}
                Err(_) => {
                    let what = "the first line of qwatch watch".to_owned();
                    let within = PATIENCE;
                    return Err(LabError::TimedOut { what, within });
                }
            }
        }
    }

    /// Whether it told of all QEMU events since it followed, in the words of `qwatch history`.
    pub(super) fn same_as(self, history: &[&str]) -> Result<(), String> {
        let from_qemu = |line: &&str| line.contains(r#""origin":"qemu""#);
        let expected: Vec<&str> = history.iter().copied().filter(from_qemu).collect();
        let last = *expected.last().expect("some events");
        let mut told = Vec::new();
        while told.last().is_none_or(|line| line != last) {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if from_qemu(&line.as_str()) => told.push(line),
                Ok(_) => {}
                Err(_) => return Err(format!("qwatch watch did not tell of {last}")),
            }
        }
        let of_recipes = |line: &&&str| !line.contains(r#""machine":"first""#);
        let complete = told.len() >= expected.iter().filter(of_recipes).count();
        let same = expected.ends_with(&told.iter().map(String::as_str).collect::<Vec<_>>());
        match complete && same {
            true => Ok(()),
            false => Err(format!(
                "qwatch watch told\n{told:#?}\nbut there was\n{expected:#?}"
            )),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Nothing to do about one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
