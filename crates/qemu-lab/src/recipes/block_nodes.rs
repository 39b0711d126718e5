//! What block nodes report that is no error; and a dump of the memory into a file.

use std::{io, path::Path};

use serde_json::json;

use super::Recipe;
use crate::{LabError, Machine, guest::ide, write_raw_image};

const DISK: &[&str] = &[
    "-blockdev",
    "driver=raw,node-name=disk0,file.driver=file,file.filename=disk.img",
    "-device",
    "ide-hd,bus=ide.0,drive=disk0,id=hd0",
];

pub(super) const RECIPES: &[Recipe] = &[
    Recipe::new(
        "BLOCK_EXPORT_DELETED",
        DISK,
        export,
        &["BLOCK_EXPORT_DELETED id=export0"],
    )
    .files(disk),
    // Sector 8 ends at byte 4608.
    Recipe::new(
        "BLOCK_WRITE_THRESHOLD",
        DISK,
        |machine| {
            let threshold = json!({ "node-name": "disk0", "write-threshold": 4096 });
            machine.execute("block-set-write-threshold", threshold)?;
            ide::write(machine.qtest(), 8)
        },
        &["BLOCK_WRITE_THRESHOLD node-name=disk0 write-threshold=4096 amount-exceeded=512"],
    )
    .files(disk),
    Recipe::new(
        "DUMP_COMPLETED",
        &[],
        |machine| {
            let dump = json!({ "paging": false, "protocol": "file:dump.elf", "detach": true });
            machine.execute("dump-guest-memory", dump).map(drop)
        },
        &["DUMP_COMPLETED result.status=completed"],
    ),
];

fn export(machine: &mut Machine) -> Result<(), LabError> {
    let address = json!({ "addr": { "type": "unix", "data": { "path": "nbd.sock" } } });
    machine.execute("nbd-server-start", address)?;
    let export = json!({ "type": "nbd", "id": "export0", "node-name": "disk0" });
    machine.execute("block-export-add", export)?;
    machine
        .execute("block-export-del", json!({ "id": "export0" }))
        .map(drop)
}

fn disk(folder: &Path) -> io::Result<()> {
    write_raw_image(folder, "disk.img", 1, 0)
}
