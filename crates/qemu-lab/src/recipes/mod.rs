//! How to make a QEMU emit each event, by qtest where that will do and by a Linux where it will
//! not.
//!
//! A [`Recipe`] names its arguments and files, does what makes the event come, and says what has
//! to be seen. All were worked out on QEMU 7.2, 10.0 and 11.1 (TCG, no KVM); where these differ,
//! the recipe says so. `-blockdev` machines have no drive ids: `device` is empty in their events.

use std::{io, path::Path};

use serde_json::Value;

use crate::{Board, Kernel, LabError, LabEvent, Machine, Qemu, QemuBinary, Version};

mod block_errors;
mod block_jobs;
mod block_nodes;
mod connections;
mod devices;
mod guest;
mod linux;
mod migration;
mod power;
mod pseries;
mod quorum;
mod run_state;
mod s390x;
mod spice;
mod virtio;
mod vnc;
mod watchdog;

/// How often a recipe named `.burst` causes its event, as fast as it can.
const BURST: u32 = 20;

/// One way to an event.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// The event it is for, and after a dot the variant if there are several.
    pub name: &'static str,
    /// Arguments beside those of every lab machine.
    pub arguments: &'static [&'static str],
    /// The machine it is for.
    pub board: Board,
    /// The Linux its guest is, if it has one: such a recipe takes seconds.
    pub linux: Option<Kernel>,
    /// Memory as `-m` takes it, if 64 MiB without slots will not do.
    pub memory: Option<&'static str>,
    /// Makes the files the arguments name.
    pub files: fn(&Path) -> io::Result<()>,
    /// Does what makes the event come. Waits only for what its own next step needs.
    pub run: fn(&mut Machine) -> Result<(), LabError>,
    /// What has to come, in this order, other events between allowed: the event's name, then
    /// members of its data as `name=value`, nested ones as `info.name=value`.
    pub expects: &'static [&'static str],
    /// Whether QEMU ends by it.
    pub exits: bool,
    /// What this host lacks for it, if anything: a test must not pass over that in silence.
    pub host_lacks: fn() -> Option<String>,
    /// The first version it works on.
    pub since: Version,
    /// The first version it no longer works on, if there is one.
    pub before: Option<Version>,
}

impl Recipe {
    /// A recipe without files on a machine that goes on living.
    pub(crate) const fn new(
        name: &'static str,
        arguments: &'static [&'static str],
        run: fn(&mut Machine) -> Result<(), LabError>,
        expects: &'static [&'static str],
    ) -> Recipe {
        Recipe {
            name,
            arguments,
            board: Board::Pc,
            linux: None,
            memory: None,
            files: |_| Ok(()),
            run,
            expects,
            exits: false,
            host_lacks: || None,
            since: Version::new(7, 2),
            before: None,
        }
    }

    /// QEMU ends by it.
    pub(crate) const fn exits(self) -> Recipe {
        Recipe {
            exits: true,
            ..self
        }
    }

    /// It needs files.
    pub(crate) const fn files(self, files: fn(&Path) -> io::Result<()>) -> Recipe {
        Recipe { files, ..self }
    }

    /// It needs other memory.
    pub(crate) const fn memory(self, memory: &'static str) -> Recipe {
        Recipe {
            memory: Some(memory),
            ..self
        }
    }

    /// It needs another machine.
    pub(crate) const fn board(self, board: Board) -> Recipe {
        Recipe { board, ..self }
    }

    /// It needs a Linux in the machine.
    pub(crate) const fn linux(self, kernel: Kernel) -> Recipe {
        Recipe {
            linux: Some(kernel),
            ..self
        }
    }

    /// It needs something of this host.
    pub(crate) const fn host(self, host_lacks: fn() -> Option<String>) -> Recipe {
        Recipe { host_lacks, ..self }
    }

    /// It needs an older QEMU.
    pub(crate) const fn before(self, major: u16, minor: u16) -> Recipe {
        Recipe {
            before: Some(Version::new(major, minor)),
            ..self
        }
    }

    /// It needs a newer QEMU.
    pub(crate) const fn since(self, major: u16, minor: u16) -> Recipe {
        Recipe {
            since: Version::new(major, minor),
            ..self
        }
    }

    /// The event it is for.
    #[must_use]
    pub fn event(&self) -> &'static str {
        self.name
            .split_once('.')
            .map_or(self.name, |(event, _)| event)
    }

    /// Whether this QEMU can do it.
    #[must_use]
    pub fn works_on(&self, version: Version) -> bool {
        version >= self.since && self.before.is_none_or(|before| version < before)
    }

    /// The machine for it, not started yet: a test may add monitors of its own.
    pub fn machine(&self, binary: &QemuBinary) -> Qemu {
        let machine = Qemu::new(binary)
            .board(self.board)
            .args(self.arguments.iter().copied())
            .files(self.files);
        let machine = match self.linux {
            Some(kernel) => machine.linux(kernel),
            None => machine,
        };
        match self.memory {
            Some(memory) => machine.memory(memory),
            None => machine,
        }
    }

    /// Runs it on its machine and waits until everything expected came, and for QEMU's end if
    /// it ends.
    ///
    /// # Errors
    ///
    /// If a step fails, or something does not come in time: with the machine's report.
    pub fn perform(&self, machine: &mut Machine) -> Result<(), LabError> {
        (self.run)(machine).map_err(|error| error.with_report(|| machine.report()))?;
        let what = format!("{}: {:?} in this order", self.name, self.expects);
        machine.events_where(&what, |events| in_order(self.expects, events))?;
        if self.exits {
            machine.wait_exit()?;
        }
        Ok(())
    }
}

/// All recipes.
pub fn all() -> impl Iterator<Item = &'static Recipe> {
    [
        run_state::RECIPES,
        power::RECIPES,
        guest::RECIPES,
        watchdog::RECIPES,
        devices::RECIPES,
        pseries::RECIPES,
        s390x::RECIPES,
        virtio::RECIPES,
        connections::RECIPES,
        vnc::RECIPES,
        spice::RECIPES,
        block_jobs::RECIPES,
        block_errors::RECIPES,
        block_nodes::RECIPES,
        quorum::RECIPES,
        migration::RECIPES,
        linux::devices::RECIPES,
        linux::hotplug::RECIPES,
        linux::disks::RECIPES,
        linux::power::RECIPES,
        linux::failures::RECIPES,
    ]
    .into_iter()
    .flatten()
}

/// The recipe of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Recipe> {
    all().find(|recipe| recipe.name == name)
}

/// Whether `events` has all of `expected`, in its order.
fn in_order(expected: &[&str], events: &[&LabEvent]) -> bool {
    let mut events = events.iter();
    expected
        .iter()
        .all(|wanted| events.any(|event| is(wanted, event)))
}

/// Whether an event is as such a line says: `WATCHDOG action=pause`.
fn is(wanted: &str, event: &LabEvent) -> bool {
    let mut words = wanted.split(' ');
    words.next() == Some(&event.name)
        && words.all(|word| {
            word.split_once('=').is_some_and(|(member, value)| {
                let found = member
                    .split('.')
                    .try_fold(&event.data, |data, name| data.get(name));
                match found {
                    Some(Value::String(text)) => text == value,
                    // Numbers and booleans as JSON writes them.
                    Some(other) => format!("{other}") == value,
                    None => false,
                }
            })
        })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;

    fn event(name: &str, data: Value) -> LabEvent {
        LabEvent {
            name: name.to_owned(),
            data,
            line: String::new(),
        }
    }

    #[test]
    fn expectations_compare_name_members_and_order() {
        let ost = event(
            "ACPI_DEVICE_OST",
            json!({"info": {"slot": "0", "source": 1}}),
        );
        for yes in [
            "ACPI_DEVICE_OST",
            "ACPI_DEVICE_OST info.slot=0 info.source=1",
        ] {
            assert!(is(yes, &ost), "{yes}");
        }
        for no in [
            "STOP",
            "ACPI_DEVICE_OST info.source=2",
            "ACPI_DEVICE_OST source=1",
        ] {
            assert!(!is(no, &ost), "{no}");
        }
        let stop = event("STOP", Value::Null);
        assert!(in_order(
            &["ACPI_DEVICE_OST", "STOP"],
            &[&stop, &ost, &stop]
        ));
        assert!(!in_order(&["STOP", "STOP", "STOP"], &[&stop, &ost, &stop]));
        assert!(!in_order(&["ACPI_DEVICE_OST", "STOP"], &[&stop, &ost]));
    }

    #[test]
    fn every_recipe_expects_its_event_under_a_name_of_its_own() {
        let mut names = HashSet::new();
        for recipe in all() {
            assert!(names.insert(recipe.name), "{} is there twice", recipe.name);
            let expected = |line: &&str| line.split(' ').next() == Some(recipe.event());
            assert!(
                recipe.expects.iter().any(expected),
                "{} expects another event",
                recipe.name
            );
        }
        assert!(named("STOP").is_some() && named("NO_SUCH_EVENT").is_none());
    }
}
