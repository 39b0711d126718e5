//! A real QEMU that is stopped and continued as fast as it goes.

use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use qemu_lab::{LabError, Machine};

use super::check::printed;

/// What a hammered QEMU emits.
pub(crate) const NAMES: [&str; 2] = ["STOP", "RESUME"];

/// Sends commands from a thread of its own, through a monitor of its own.
pub(crate) struct Hammer {
    orders: Sender<u64>,
    thread: JoinHandle<(Machine, Result<(), LabError>)>,
}

impl Hammer {
    pub(crate) fn new(mut machine: Machine) -> Self {
        let (orders, ordered) = mpsc::channel();
        let thread = thread::spawn(move || {
            let beat = |machine: &mut Machine, count: u64| {
                for _ in 0..count {
                    machine.run("stop")?;
                    machine.run("cont")?;
                }
                Ok(())
            };
            let mut result = Ok(());
            for count in ordered {
                result = beat(&mut machine, count);
                if result.is_err() {
                    break;
                }
            }
            (machine, result)
        });
        Self { orders, thread }
    }

    /// So many more times.
    pub(crate) fn beat(&self, count: u64) {
        // One that has ended says why at the end.
        let _ = self.orders.send(count);
    }

    /// Waits for the last beat; gives the machine back, and how its last command went.
    pub(crate) fn rest(self) -> (Machine, Result<(), LabError>) {
        drop(self.orders);
        self.thread.join().expect("no panic")
    }
}

/// What QEMU said to the lab of it: name and stamp.
pub(crate) fn beats(machine: &Machine) -> Vec<(String, i64)> {
    let events = machine.events();
    let beats = events
        .iter()
        .filter(|event| NAMES.contains(&event.name.as_str()));
    beats.map(|event| printed(&event.line)).collect()
}
