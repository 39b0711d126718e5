//! Memory: balloon, devices of changing size, hardware errors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fact::Mark;
use super::queries::number;
use super::text::clipped;
use crate::limits::STATE_PORTS_MAX;

/// What is known of a machine's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Memory the balloon leaves to the guest, in bytes.
    pub balloon: Option<u64>,
    /// By the Hyper-V protocol: in use, and free, in bytes.
    pub hyper_v: Option<(u64, u64)>,
    /// Sizes of memory devices by id or path, in bytes.
    pub devices: BTreeMap<String, u64>,
    /// How many hardware errors were told.
    pub failures: u64,
    /// The last of them.
    pub failure: Option<Mark>,
}

impl Memory {
    pub(super) fn size(&mut self, device: &str, size: u64) {
        let device = clipped(device);
        if self.devices.len() < STATE_PORTS_MAX || self.devices.contains_key(&device) {
            self.devices.insert(device, size);
        }
    }

    pub(super) fn failed(&mut self, mark: &Mark) {
        self.failures = self.failures.saturating_add(1);
        self.failure = Some(mark.clone());
    }

    /// What `query-balloon` said.
    pub(super) fn found(&mut self, data: &Value) {
        let told = data.get("query-balloon");
        self.balloon = told
            .and_then(|told| number(told, "actual"))
            .or(self.balloon);
    }
}
