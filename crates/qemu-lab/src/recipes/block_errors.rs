//! A disk whose image fails under the guest's hands.
//!
//! The failing sector is not the first: QEMU itself reads that one when the disk is made.

use std::{io, path::Path};

use super::{BURST, Recipe};
use crate::{LabError, Machine, guest::ide, write_corrupt_qcow2, write_raw_image};

const FAILING_SECTOR: u8 = 8;

const READ_REPORT: &[&str] = &[
    "-blockdev",
    "driver=raw,node-name=disk0,file.driver=blkdebug,file.image.driver=file,\
     file.image.filename=disk.img,file.inject-error.0.event=read_aio,\
     file.inject-error.0.errno=5,file.inject-error.0.sector=8",
    "-device",
    "ide-hd,bus=ide.0,drive=disk0,id=hd0,rerror=report",
];
const READ_STOP: &[&str] = &[
    "-blockdev",
    "driver=raw,node-name=disk0,file.driver=blkdebug,file.image.driver=file,\
     file.image.filename=disk.img,file.inject-error.0.event=read_aio,\
     file.inject-error.0.errno=5,file.inject-error.0.sector=8",
    "-device",
    "ide-hd,bus=ide.0,drive=disk0,id=hd0,rerror=stop",
];
const WRITE_FULL: &[&str] = &[
    "-blockdev",
    "driver=raw,node-name=disk0,file.driver=blkdebug,file.image.driver=file,\
     file.image.filename=disk.img,file.inject-error.0.event=write_aio,\
     file.inject-error.0.errno=28,file.inject-error.0.sector=8",
    "-device",
    "ide-hd,bus=ide.0,drive=disk0,id=hd0",
];
const WRITE_IGNORE: &[&str] = &[
    "-blockdev",
    "driver=raw,node-name=disk0,file.driver=blkdebug,file.image.driver=file,\
     file.image.filename=disk.img,file.inject-error.0.event=write_aio,\
     file.inject-error.0.errno=5,file.inject-error.0.sector=8",
    "-device",
    "ide-hd,bus=ide.0,drive=disk0,id=hd0,werror=ignore",
];
const FLUSH_REPORT: &[&str] = &[
    "-blockdev",
    "driver=raw,node-name=disk0,file.driver=blkdebug,file.image.driver=file,\
     file.image.filename=disk.img,file.inject-error.0.event=flush_to_disk,\
     file.inject-error.0.errno=5",
    "-device",
    "ide-hd,bus=ide.0,drive=disk0,id=hd0,werror=report",
];
const CORRUPT: &[&str] = &[
    "-drive",
    "if=none,id=drive0,node-name=node0,format=qcow2,file=corrupt.img",
    "-device",
    "ide-hd,bus=ide.0,drive=drive0,id=hd0",
];

pub(super) const RECIPES: &[Recipe] = &[
    Recipe::new(
        "BLOCK_IO_ERROR.read-report",
        READ_REPORT,
        |machine| ide::read(machine.qtest(), FAILING_SECTOR),
        &["BLOCK_IO_ERROR node-name=disk0 operation=read action=report"],
    )
    .files(disk),
    Recipe::new(
        "BLOCK_IO_ERROR.read-stop",
        READ_STOP,
        |machine| ide::read(machine.qtest(), FAILING_SECTOR),
        &[
            "BLOCK_IO_ERROR node-name=disk0 operation=read action=stop nospace=false",
            "STOP",
        ],
    )
    .files(disk),
    // Writes that find no space stop the machine unless told otherwise.
    Recipe::new(
        "BLOCK_IO_ERROR.no-space",
        WRITE_FULL,
        |machine| ide::write(machine.qtest(), FAILING_SECTOR),
        &[
            "BLOCK_IO_ERROR node-name=disk0 operation=write action=stop nospace=true",
            "STOP",
        ],
    )
    .files(disk),
    Recipe::new(
        "BLOCK_IO_ERROR.write-ignore",
        WRITE_IGNORE,
        |machine| ide::write(machine.qtest(), FAILING_SECTOR),
        &["BLOCK_IO_ERROR node-name=disk0 operation=write action=ignore"],
    )
    .files(disk),
    // Without something to flush the disk does not bother its image.
    Recipe::new(
        "BLOCK_IO_ERROR.flush",
        FLUSH_REPORT,
        write_then_flush,
        &["BLOCK_IO_ERROR node-name=disk0 operation=write action=report"],
    )
    .files(disk),
    Recipe::new(
        "BLOCK_IMAGE_CORRUPTED",
        CORRUPT,
        |machine| ide::write(machine.qtest(), 0),
        &[
            "BLOCK_IMAGE_CORRUPTED device=drive0 node-name=node0 offset=196608 size=512 \
            fatal=true",
        ],
    )
    .files(|folder| write_corrupt_qcow2(folder, "corrupt.img")),
    // Up to 9.1 each is told, later the first and the last.
    Recipe::new(
        "BLOCK_IO_ERROR.burst",
        READ_REPORT,
        |machine| {
            for _ in 0..BURST {
                ide::read(machine.qtest(), FAILING_SECTOR)?;
                ide::settle(machine.qtest())?;
            }
            // Whatever was sent before this reply has come.
            machine.status().map(drop)
        },
        &[
            "BLOCK_IO_ERROR action=report",
            "BLOCK_IO_ERROR action=report",
        ],
    )
    .files(disk),
    // The guest's request is tried again and fails again. QEMU 10.0 tells the second failure a
    // second later, after the STOP it led to.
    Recipe::new(
        "BLOCK_IO_ERROR.again",
        READ_STOP,
        |machine| {
            ide::read(machine.qtest(), FAILING_SECTOR)?;
            machine.event("STOP")?;
            machine.run("cont")?;
            machine.event("STOP")?;
            machine.events_where("both errors", |events| {
                let errors = events.iter().filter(|event| event.name == "BLOCK_IO_ERROR");
                errors.count() == 2
            })
        },
        &["BLOCK_IO_ERROR action=stop", "STOP", "RESUME", "STOP"],
    )
    .files(disk),
];

fn write_then_flush(machine: &mut Machine) -> Result<(), LabError> {
    ide::write(machine.qtest(), FAILING_SECTOR)?;
    ide::settle(machine.qtest())?;
    ide::flush(machine.qtest())
}

fn disk(folder: &Path) -> io::Result<()> {
    write_raw_image(folder, "disk.img", 1, 0)
}
