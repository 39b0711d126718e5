//! Devices and ports: what was removed, what the guest would not let go, who opened a port.

use std::collections::BTreeMap;

use qmp_events::vocabulary::AcpiOstInfo;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fact::Mark;
use super::queries::{items, text, truth};
use super::run::push_bounded;
use super::text::{clipped, named};
use crate::limits::{STATE_PORTS_MAX, STATE_REMOVED_MAX};

/// A device that was removed, or that the guest would not let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its id, if it had one.
    pub id: Option<String>,
    /// Its QOM path, or what the event called it.
    pub path: String,
    /// The record that told.
    pub mark: Mark,
}

/// A port between the guest and its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Whether the guest has it open.
    pub open: bool,
    /// The record that told.
    pub mark: Mark,
}

/// Devices and ports of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Devices {
    /// The last ones, oldest first.
    pub(super) removed: Vec<Device>,
    /// The last refusals, oldest first.
    pub(super) refused: Vec<Device>,
    pub(super) ports: BTreeMap<String, Port>,
    /// Network back ends and whether their other end is there.
    pub(super) netdevs: BTreeMap<String, Port>,
}

impl Devices {
    pub(super) fn removed(&mut self, id: Option<&str>, path: &str, mark: &Mark) {
        let device = Device::new(id, path, mark);
        // It went after all.
        self.refused.retain(|refused| !refused.is_same(&device));
        push_bounded(&mut self.removed, device, STATE_REMOVED_MAX);
    }

    pub(super) fn refused(&mut self, id: Option<&str>, path: &str, mark: &Mark) {
        let device = Device::new(id, path, mark);
        self.refused.retain(|refused| !refused.is_same(&device));
        push_bounded(&mut self.refused, device, STATE_REMOVED_MAX);
    }

    /// ACPI_DEVICE_OST: a refusal is an answer to an eject request that is neither success nor "in progress".
    pub(super) fn reported(&mut self, info: &AcpiOstInfo<'_>, mark: &Mark) {
        const EJECT: [i64; 2] = [3, 0x103];
        const SUCCESS: i64 = 0;
        const IN_PROGRESS: i64 = 132;
        if EJECT.contains(&info.source) && ![SUCCESS, IN_PROGRESS].contains(&info.status) {
            let slot = format!("{} slot {}", info.slot_type, info.slot);
            self.refused(info.device.as_deref(), &slot, mark);
        }
    }

    pub(super) fn port(&mut self, id: &str, open: bool, mark: &Mark) {
        set(&mut self.ports, id, open, mark);
    }

    pub(super) fn netdev(&mut self, id: &str, connected: bool, mark: &Mark) {
        set(&mut self.netdevs, id, connected, mark);
    }

    /// What `query-chardev` said of ports whose character device has their name.
    pub(super) fn found(&mut self, data: &Value, mark: &Mark) {
        let Some(listed) = data.get("query-chardev") else {
            return;
        };
        for chardev in items(listed) {
            let known = text(chardev, "label").and_then(|label| self.ports.get_mut(label));
            if let (Some(port), Some(open)) = (known, truth(chardev, "frontend-open"))
                && port.open != open
            {
                *port = Port {
                    open,
                    mark: mark.clone(),
                };
            }
        }
    }
}

impl Device {
    fn new(id: Option<&str>, path: &str, mark: &Mark) -> Self {
        Self {
            id: id.and_then(named),
            path: clipped(path),
            mark: mark.clone(),
        }
    }

    /// What to call it.
    pub fn name(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.path)
    }

    fn is_same(&self, other: &Self) -> bool {
        match (&self.id, &other.id) {
            (Some(own), Some(other)) => own == other,
            _ => self.path == other.path,
        }
    }
}

fn set(ports: &mut BTreeMap<String, Port>, id: &str, open: bool, mark: &Mark) {
    let id = clipped(id);
    if ports.len() >= STATE_PORTS_MAX && !ports.contains_key(&id) {
        let oldest = ports.iter().min_by_key(|(_, port)| port.mark.received_us);
        if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
            ports.remove(&oldest);
        }
    }
    let port = Port {
        open,
        mark: mark.clone(),
    };
    ports.insert(id, port);
}
