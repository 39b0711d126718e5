//! The recorder's own notes, as far as watching without a journal makes them.

use std::time::SystemTime;

use qmp_client::Address;
use serde_json::{Value, json};

use crate::record::{Origin, Record};
use crate::time;

/// From here on the machine is heard.
pub(super) fn attached(machine: &str, address: &Address, version: &str) -> Record {
    let data = json!({"address": address.to_string(), "version": version});
    note(machine, "attached", &data)
}

/// From here on the machine is not heard, and nobody tries to.
pub(super) fn detached(machine: &str, reason: &str) -> Record {
    note(machine, "detached", &json!({"reason": reason}))
}

/// Between two moments something may have been missed.
pub(super) fn gap(machine: &str, from: SystemTime, until: SystemTime, reason: &str) -> Record {
    let data = json!({
        "from": time::rfc3339(time::system_time_us(from)),
        "until": time::rfc3339(time::system_time_us(until)),
        "reason": reason,
    });
    note(machine, "gap", &data)
}

fn note(machine: &str, name: &str, data: &Value) -> Record {
    Record {
        seq: None,
        machine: machine.to_owned(),
        run: None,
        origin: Origin::Qwatch,
        name: name.to_owned(),
        timestamp: None,
        received_us: time::now_us(),
        data: Some(data.to_string()),
    }
}
