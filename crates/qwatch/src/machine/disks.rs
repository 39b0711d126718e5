//! Disks and drives: errors, io-status, trays.

use qmp_events::vocabulary::{BlockImageCorrupted, BlockIoError, BlockWriteThreshold};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fact::Mark;
use super::queries::{items, text, truth};
use super::text::{clipped, named};
use crate::limits::STATE_DISKS_MAX;

/// A disk or drive of the guest, as far as events and queries named it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Id or QOM path of the guest's device.
    pub qdev: Option<String>,
    /// Name of the legacy drive (`-drive id=`).
    pub drive: Option<String>,
    /// Name of the node it stands on.
    pub node: Option<String>,
    /// The file or other source it is read from.
    pub file: Option<String>,
    /// `ok`, `failed` or `nospace`, as `query-block` said last.
    pub io_status: Option<String>,
    /// Whether its tray is open.
    pub tray_open: Option<bool>,
    /// The last failed request that was told.
    pub error: Option<Mark>,
    /// How many were told.
    pub errors: u64,
    /// The image was found corrupt.
    pub corrupted: Option<Mark>,
    /// The mark set on it was passed.
    pub threshold: Option<Mark>,
}

impl Disk {
    /// What to call it.
    pub fn name(&self) -> &str {
        let names = [&self.drive, &self.qdev, &self.node];
        let name = names.into_iter().flatten().next();
        name.map_or("a disk", String::as_str)
    }

    /// Whether it goes by this name: that of its drive, its device or its node.
    pub fn is(&self, name: &str) -> bool {
        let device = |own: &str| own == name || id_of(own) == id_of(name);
        let equal = |own: &Option<String>| own.as_deref() == Some(name);
        self.qdev.as_deref().is_some_and(device) || equal(&self.drive) || equal(&self.node)
    }
}

/// The disks of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Disks(Vec<Disk>);

/// The names an event or a query gives a disk; "" is none.
#[derive(Clone, Copy, Default)]
struct Names<'n> {
    qdev: &'n str,
    drive: &'n str,
    node: &'n str,
}

impl Disks {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Disk> {
        self.0.iter()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Disk> {
        self.0.iter().find(|disk| disk.is(name))
    }

    pub(super) fn failed(&mut self, error: &BlockIoError<'_>, mark: &Mark) {
        let disk = self.disk(Names {
            qdev: error.qom_path.as_deref().unwrap_or_default(),
            drive: &error.device,
            node: error.node_name.as_deref().unwrap_or_default(),
        });
        disk.errors = disk.errors.saturating_add(1);
        disk.error = Some(mark.clone());
    }

    pub(super) fn corrupted(&mut self, found: &BlockImageCorrupted<'_>, mark: &Mark) {
        let disk = self.disk(Names {
            drive: &found.device,
            node: found.node_name.as_deref().unwrap_or_default(),
            ..Names::default()
        });
        disk.corrupted = Some(mark.clone());
    }

    pub(super) fn passed(&mut self, threshold: &BlockWriteThreshold<'_>, mark: &Mark) {
        let disk = self.disk(Names {
            node: &threshold.node_name,
            ..Names::default()
        });
        disk.threshold = Some(mark.clone());
    }

    pub(super) fn tray(&mut self, drive: &str, qdev: &str, open: bool) {
        let names = Names {
            qdev,
            drive,
            ..Names::default()
        };
        self.disk(names).tray_open = Some(open);
    }

    /// What `query-block` said.
    pub(super) fn found(&mut self, data: &Value) {
        let Some(listed) = data.get("query-block").filter(|list| list.is_array()) else {
            return;
        };
        for block in items(listed).take(STATE_DISKS_MAX) {
            let inserted = block.get("inserted");
            let of_node = |member| inserted.and_then(|inserted| text(inserted, member));
            let names = Names {
                qdev: text(block, "qdev").unwrap_or_default(),
                drive: text(block, "device").unwrap_or_default(),
                node: of_node("node-name").unwrap_or_default(),
            };
            if names.is_empty() {
                continue;
            }
            let disk = self.disk(names);
            disk.file = of_node("file").map(|file| clipped(&plain_file(file)));
            disk.io_status = text(block, "io-status").map(clipped);
            disk.tray_open = truth(block, "tray_open").or(disk.tray_open);
        }
    }

    /// `nospace`, `failed` or `ok`: the worst that `query-block` says, and whose it is; `None` without an
    /// answer.
    pub(super) fn worst(data: &Value) -> Option<(&str, Option<&str>)> {
        let listed = data.get("query-block").filter(|list| list.is_array())?;
        let bad = items(listed).filter_map(|block| {
            let status = text(block, "io-status").filter(|status| *status != "ok")?;
            let node = block
                .get("inserted")
                .and_then(|inserted| text(inserted, "node-name"));
            let name = text(block, "device")
                .or_else(|| text(block, "qdev"))
                .or(node);
            Some((status, name))
        });
        Some(
            bad.max_by_key(|(status, _)| *status == "nospace")
                .unwrap_or(("ok", None)),
        )
    }

    fn disk(&mut self, names: Names<'_>) -> &mut Disk {
        let known = self.0.iter().position(|disk| names.are_of(disk));
        let at = known.unwrap_or_else(|| {
            if self.0.len() >= STATE_DISKS_MAX {
                self.0.remove(0);
            }
            self.0.push(Disk::default());
            self.0.len() - 1
        });
        let disk = &mut self.0[at];
        let learn = |own: &mut Option<String>, name: &str| {
            if !name.is_empty() {
                *own = Some(clipped(name));
            }
        };
        // A query names the device shorter than the events do; the shorter one is for people.
        if disk.qdev.as_deref().is_none_or(|own| own.starts_with('/')) {
            disk.qdev = named(names.qdev).or_else(|| disk.qdev.take());
        }
        learn(&mut disk.drive, names.drive);
        learn(&mut disk.node, names.node);
        disk
    }
}

/// The file below the layers that QEMU writes out as `json:{…}`, where there is one.
fn plain_file(file: &str) -> String {
    fn below(value: &Value) -> Option<&str> {
        text(value, "filename").or_else(|| value.as_object()?.values().find_map(below))
    }
    let layers = file.strip_prefix("json:");
    let layers = layers.and_then(|json| serde_json::from_str::<Value>(json).ok());
    let found = layers.as_ref().and_then(below);
    found.unwrap_or(file).to_owned()
}

impl Names<'_> {
    fn is_empty(&self) -> bool {
        self.qdev.is_empty() && self.drive.is_empty() && self.node.is_empty()
    }

    /// The device decides where both have one; nodes change below a device.
    fn are_of(&self, disk: &Disk) -> bool {
        if let (false, Some(qdev)) = (self.qdev.is_empty(), &disk.qdev) {
            return id_of(qdev) == id_of(self.qdev);
        }
        let same =
            |own: &Option<String>, name: &str| !name.is_empty() && own.as_deref() == Some(name);
        same(&disk.drive, self.drive) || same(&disk.node, self.node)
    }
}

/// The id in a QOM path of a device that has one (`/machine/peripheral/ID`); anything else as it is.
fn id_of(qdev: &str) -> &str {
    match qdev.strip_prefix("/machine/peripheral/") {
        Some(rest) => rest.split('/').next().unwrap_or(rest),
        None => qdev,
    }
}
