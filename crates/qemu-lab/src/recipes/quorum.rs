//! Three copies of a disk that do not agree.

use std::{io, path::Path};

use super::{BURST, Recipe};
use crate::{LabError, Machine, write_raw_image};

const QUORUM: &[&str] = &[
    "-blockdev",
    "driver=raw,node-name=copy0,file.driver=file,file.filename=copy0.img",
    "-blockdev",
    "driver=raw,node-name=copy1,file.driver=file,file.filename=copy1.img",
    "-blockdev",
    "driver=raw,node-name=copy2,file.driver=file,file.filename=copy2.img",
    "-blockdev",
    "driver=quorum,node-name=quorum0,vote-threshold=2,children.0=copy0,children.1=copy1,\
     children.2=copy2",
];

pub(super) const RECIPES: &[Recipe] = &[
    // In sectors of 512 bytes.
    Recipe::new(
        "QUORUM_FAILURE",
        QUORUM,
        read,
        &["QUORUM_FAILURE reference=quorum0 sector-num=128 sectors-count=8"],
    )
    .files(|folder| copies(folder, [1, 2, 3])),
    Recipe::new(
        "QUORUM_REPORT_BAD",
        QUORUM,
        read,
        &["QUORUM_REPORT_BAD node-name=copy2 type=read sector-num=128 sectors-count=8"],
    )
    .files(|folder| copies(folder, [1, 1, 3])),
    Recipe::new(
        "QUORUM_FAILURE.burst",
        QUORUM,
        |machine| (0..BURST).try_for_each(|_| read(machine)),
        &["QUORUM_FAILURE", "QUORUM_FAILURE"],
    )
    .files(|folder| copies(folder, [1, 2, 3])),
    Recipe::new(
        "QUORUM_REPORT_BAD.burst",
        QUORUM,
        |machine| (0..BURST).try_for_each(|_| read(machine)),
        &[
            "QUORUM_REPORT_BAD node-name=copy2",
            "QUORUM_REPORT_BAD node-name=copy2",
        ],
    )
    .files(|folder| copies(folder, [1, 1, 3])),
];

/// QEMU's own exerciser; it refuses nodes that a device uses.
fn read(machine: &mut Machine) -> Result<(), LabError> {
    machine.human("qemu-io quorum0 \"read 64k 4k\"").map(drop)
}

fn copies(folder: &Path, patterns: [u8; 3]) -> io::Result<()> {
    for (number, pattern) in patterns.into_iter().enumerate() {
        write_raw_image(folder, &format!("copy{number}.img"), 1, pattern)?;
    }
    Ok(())
}
