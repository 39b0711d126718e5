//! Migration into a program that throws everything away, or keeps it for another machine.

use serde_json::json;

use super::Recipe;
use crate::{LabError, Machine};

pub(super) const RECIPES: &[Recipe] = &[
    Recipe::new(
        "MIGRATION",
        &[],
        |machine| migrate(machine, "exec:cat > /dev/null"),
        &[
            "MIGRATION status=setup",
            "MIGRATION status=active",
            "STOP",
            "MIGRATION status=completed",
        ],
    ),
    // QEMU 11.1 goes from `active` over `failing`, older ones do not.
    Recipe::new(
        "MIGRATION.failed",
        &[],
        |machine| migrate(machine, "exec:false"),
        &["MIGRATION status=setup", "MIGRATION status=failed"],
    ),
    Recipe::new(
        "MIGRATION.cancelled",
        &[],
        |machine| {
            slow_down(machine)?;
            migrate(machine, "exec:cat > /dev/null")?;
            machine.event_where("MIGRATION", |data| data["status"] == "active")?;
            machine.run("migrate_cancel").map(drop)
        },
        &[
            "MIGRATION status=active",
            "MIGRATION status=cancelling",
            "MIGRATION status=cancelled",
        ],
    ),
    // QEMU 11.1 does not announce the first pass; there are two at least.
    Recipe::new(
        "MIGRATION_PASS",
        &[],
        |machine| migrate(machine, "exec:cat > /dev/null"),
        &["MIGRATION_PASS pass=2"],
    ),
    // The destination goes on by itself: RESUME before the end is told.
    Recipe::new(
        "MIGRATION.incoming",
        &["-incoming", "defer"],
        |machine| {
            let mut source = machine.another().start()?;
            let file = machine.folder().join("state.bin");
            migrate(&mut source, &format!("exec:cat > {}", file.display()))?;
            source.event_where("MIGRATION", |data| data["status"] == "completed")?;
            announce(machine)?;
            let arguments = json!({ "uri": "exec:cat state.bin" });
            machine.execute("migrate-incoming", arguments).map(drop)
        },
        &[
            "MIGRATION status=setup",
            "MIGRATION status=active",
            "RESUME",
            "MIGRATION status=completed",
        ],
    ),
];

pub(super) fn migrate(machine: &mut Machine, uri: &str) -> Result<(), LabError> {
    announce(machine)?;
    machine.execute("migrate", json!({ "uri": uri })).map(drop)
}

/// Without this capability a migration is silent.
fn announce(machine: &mut Machine) -> Result<(), LabError> {
    let events = json!({ "capabilities": [{ "capability": "events", "state": true }] });
    machine
        .execute("migrate-set-capabilities", events)
        .map(drop)
}

/// Makes the migration last longer than any test: 1 KiB a second for memory that is not empty.
fn slow_down(machine: &mut Machine) -> Result<(), LabError> {
    const DIRTY_BYTES: u64 = 8 * 1024 * 1024;
    machine.qtest().memset(0x10_0000, DIRTY_BYTES, 0xA5)?;
    machine
        .execute("migrate-set-parameters", json!({ "max-bandwidth": 1024 }))
        .map(drop)
}
