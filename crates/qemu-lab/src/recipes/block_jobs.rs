//! Block jobs, from a raw image to another, with a failing target where one is wanted.

use std::{io, path::Path};

use serde_json::json;

use super::Recipe;
use crate::{LabError, Machine, write_raw_image};

const NODES: &[&str] = &[
    "-blockdev",
    "driver=raw,node-name=source,file.driver=file,file.filename=source.img",
    "-blockdev",
    "driver=raw,node-name=target,file.driver=file,file.filename=target.img",
];
/// An image put on top of the source stays only if a device uses it.
const DISK: &[&str] = &[
    "-blockdev",
    "driver=raw,node-name=source,file.driver=file,file.filename=source.img",
    "-device",
    "ide-hd,bus=ide.0,drive=source,id=hd0",
];
/// The first write to the target fails for lack of space.
const FAILING_TARGET: &[&str] = &[
    "-blockdev",
    "driver=raw,node-name=source,file.driver=file,file.filename=source.img",
    "-blockdev",
    "driver=raw,node-name=target,file.driver=blkdebug,file.image.driver=file,\
     file.image.filename=target.img,file.inject-error.0.event=write_aio,\
     file.inject-error.0.errno=28,file.inject-error.0.once=on",
];

pub(super) const RECIPES: &[Recipe] = &[
    Recipe::new(
        "BLOCK_JOB_READY",
        NODES,
        |machine| mirror(machine, "report"),
        &["BLOCK_JOB_READY device=job0 type=mirror len=1048576 offset=1048576 speed=0"],
    )
    .files(small_images),
    Recipe::new(
        "JOB_STATUS_CHANGE",
        NODES,
        |machine| mirror(machine, "report"),
        &[
            "JOB_STATUS_CHANGE id=job0 status=created",
            "JOB_STATUS_CHANGE id=job0 status=running",
            "JOB_STATUS_CHANGE id=job0 status=ready",
        ],
    )
    .files(small_images),
    Recipe::new(
        "BLOCK_JOB_COMPLETED.backup",
        NODES,
        |machine| backup(machine, 0),
        &["BLOCK_JOB_COMPLETED device=job0 type=backup len=1048576 offset=1048576"],
    )
    .files(small_images),
    Recipe::new(
        "BLOCK_JOB_COMPLETED.mirror",
        NODES,
        |machine| {
            mirror(machine, "report")?;
            machine.event("BLOCK_JOB_READY")?;
            machine
                .execute("block-job-complete", json!({ "device": "job0" }))
                .map(drop)
        },
        &[
            "BLOCK_JOB_READY device=job0",
            "BLOCK_JOB_COMPLETED device=job0 type=mirror",
        ],
    )
    .files(small_images),
    Recipe::new(
        "BLOCK_JOB_PENDING",
        NODES,
        |machine| {
            let arguments = json!({
                "job-id": "job0", "device": "source", "target": "target", "sync": "full",
                "auto-finalize": false,
            });
            machine.execute("blockdev-backup", arguments)?;
            machine.event("BLOCK_JOB_PENDING")?;
            machine
                .execute("job-finalize", json!({ "id": "job0" }))
                .map(drop)
        },
        &[
            "BLOCK_JOB_PENDING id=job0 type=backup",
            "BLOCK_JOB_COMPLETED device=job0",
        ],
    )
    .files(small_images),
    // The first MiB ignores the speed, hence the larger source.
    Recipe::new(
        "BLOCK_JOB_CANCELLED",
        NODES,
        |machine| {
            backup(machine, 65536)?;
            machine
                .execute("block-job-cancel", json!({ "device": "job0" }))
                .map(drop)
        },
        &["BLOCK_JOB_CANCELLED device=job0 type=backup len=16777216 speed=65536"],
    )
    .files(large_images),
    Recipe::new(
        "BLOCK_JOB_ERROR.report",
        FAILING_TARGET,
        |machine| mirror(machine, "report"),
        &[
            "BLOCK_JOB_ERROR device=job0 operation=write action=report",
            "BLOCK_JOB_COMPLETED device=job0 type=mirror",
        ],
    )
    .files(small_images),
    Recipe::new(
        "BLOCK_JOB_ERROR.ignore",
        FAILING_TARGET,
        |machine| mirror(machine, "ignore"),
        &[
            "BLOCK_JOB_ERROR device=job0 operation=write action=ignore",
            "BLOCK_JOB_READY",
        ],
    )
    .files(small_images),
    Recipe::new(
        "BLOCK_JOB_ERROR.stop",
        FAILING_TARGET,
        |machine| {
            mirror(machine, "stop")?;
            machine.event_where("JOB_STATUS_CHANGE", |data| data["status"] == "paused")?;
            machine
                .execute("block-job-resume", json!({ "device": "job0" }))
                .map(drop)
        },
        &[
            "BLOCK_JOB_ERROR device=job0 operation=write action=stop",
            "BLOCK_JOB_READY",
        ],
    )
    .files(small_images),
    Recipe::new(
        "BLOCK_JOB_COMPLETED.stream",
        DISK,
        |machine| {
            overlay(machine)?;
            let arguments = json!({ "job-id": "job0", "device": "overlay" });
            machine.execute("block-stream", arguments).map(drop)
        },
        &["BLOCK_JOB_COMPLETED device=job0 type=stream len=1048576 offset=1048576"],
    )
    .files(small_images),
    Recipe::new(
        "BLOCK_JOB_COMPLETED.commit",
        DISK,
        |machine| {
            overlay(machine)?;
            let arguments = json!({ "job-id": "job0", "device": "overlay" });
            machine.execute("block-commit", arguments)?;
            machine.event("BLOCK_JOB_READY")?;
            machine
                .execute("block-job-complete", json!({ "device": "job0" }))
                .map(drop)
        },
        &[
            "BLOCK_JOB_READY device=job0 type=commit",
            "BLOCK_JOB_COMPLETED device=job0 type=commit",
        ],
    )
    .files(small_images),
    // Without a policy the first error ends the job.
    Recipe::new(
        "BLOCK_JOB_COMPLETED.failed",
        FAILING_TARGET,
        |machine| backup(machine, 0),
        &[
            "BLOCK_JOB_ERROR device=job0 operation=write action=report",
            "BLOCK_JOB_COMPLETED device=job0 type=backup len=1048576",
        ],
    )
    .files(small_images),
    Recipe::new(
        "BLOCK_JOB_CANCELLED.mirror",
        NODES,
        |machine| {
            mirror(machine, "report")?;
            machine.event("BLOCK_JOB_READY")?;
            let arguments = json!({ "device": "job0", "force": true });
            machine.execute("block-job-cancel", arguments).map(drop)
        },
        &[
            "BLOCK_JOB_READY device=job0",
            "BLOCK_JOB_CANCELLED device=job0 type=mirror",
        ],
    )
    .files(small_images),
];

fn mirror(machine: &mut Machine, on_target_error: &str) -> Result<(), LabError> {
    let arguments = json!({
        "job-id": "job0", "device": "source", "target": "target", "sync": "full",
        "on-target-error": on_target_error,
    });
    machine.execute("blockdev-mirror", arguments).map(drop)
}

/// `speed` in bytes a second, 0 for no limit.
fn backup(machine: &mut Machine, speed: u64) -> Result<(), LabError> {
    let arguments = json!({
        "job-id": "job0", "device": "source", "target": "target", "sync": "full", "speed": speed,
    });
    machine.execute("blockdev-backup", arguments).map(drop)
}

fn small_images(folder: &Path) -> io::Result<()> {
    write_raw_image(folder, "source.img", 1, 0x5A)?;
    write_raw_image(folder, "target.img", 1, 0)
}

fn large_images(folder: &Path) -> io::Result<()> {
    write_raw_image(folder, "source.img", 16, 0x5A)?;
    write_raw_image(folder, "target.img", 16, 0)
}

/// Puts an empty image on top of the source: new writes would go there.
fn overlay(machine: &mut Machine) -> Result<(), LabError> {
    let arguments = json!({
        "node-name": "source", "snapshot-file": "overlay.img", "snapshot-node-name": "overlay",
    });
    machine
        .execute("blockdev-snapshot-sync", arguments)
        .map(drop)
}
