//! Migration into a program that throws everything away, or keeps it for another machine.

use serde_json::{Value, json};

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
    // Two machines in step, until somebody says that one of them is lost. Whether the reason is
    // that request or an error depends on what the machines tell each other at that moment. With
    // QEMU 10.0 the migration ends before they are in step.
    Recipe::new(
        "COLO_EXIT",
        &[],
        |machine| lose_step(machine, &["x-colo"]),
        &["MIGRATION status=colo", "RESUME", "COLO_EXIT mode=primary"],
    )
    .before(10, 0),
    // Newer ones want the way back to be there beforehand, with which older ones fail.
    Recipe::new(
        "COLO_EXIT.return-path",
        &[],
        |machine| lose_step(machine, &["x-colo", "return-path"]),
        &["MIGRATION status=colo", "RESUME", "COLO_EXIT mode=primary"],
    )
    .since(11, 1),
];

pub(super) fn migrate(machine: &mut Machine, uri: &str) -> Result<(), LabError> {
    announce(machine)?;
    machine.execute("migrate", json!({ "uri": uri })).map(drop)
}

/// Has another machine follow this one step by step, then says that it is lost.
fn lose_step(machine: &mut Machine, capabilities: &[&str]) -> Result<(), LabError> {
    let mut second = machine.another().args(["-incoming", "defer"]).start()?;
    let address = format!("unix:{}", second.folder().join("in.sock").display());
    switch_on(&mut second, capabilities)?;
    second.execute("migrate-incoming", json!({ "uri": address }))?;
    switch_on(machine, capabilities)?;
    migrate(machine, &address)?;
    machine.event_where("MIGRATION", |data| data["status"] == "colo")?;
    // Both run now. A QEMU that is told earlier may fail, as it is not ready for it.
    machine.event("RESUME")?;
    machine.run("x-colo-lost-heartbeat")?;
    machine.event("COLO_EXIT").map(drop)
}

/// Without this capability a migration is silent.
fn announce(machine: &mut Machine) -> Result<(), LabError> {
    switch_on(machine, &["events"])
}

fn switch_on(machine: &mut Machine, capabilities: &[&str]) -> Result<(), LabError> {
    let on = |capability: &&str| json!({ "capability": capability, "state": true });
    let list: Vec<Value> = capabilities.iter().map(on).collect();
    machine
        .execute("migrate-set-capabilities", json!({ "capabilities": list }))
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
