//! Disks that fail under Linux, and a disc it throws out.

use serde_json::json;

use super::Recipe;
use crate::{LabError, Machine};

pub(in crate::recipes) const RECIPES: &[Recipe] = &[Recipe::new(
    "BLOCK_IO_ERROR.linux-disks",
    &[
        // Each fails where the guest writes or reads on purpose, at 4 MiB, and nowhere else: its
        // looking for partitions does not trip over it.
        "-blockdev",
        "driver=blkdebug,node-name=node0,image.driver=null-co,image.size=16777216,\
         image.read-zeroes=on,inject-error.0.event=none,inject-error.0.iotype=write,\
         inject-error.0.errno=5,inject-error.0.sector=8192",
        "-device",
        "virtio-blk-pci,drive=node0,id=disk0,serial=report",
        "-blockdev",
        "driver=blkdebug,node-name=node1,image.driver=null-co,image.size=16777216,\
         image.read-zeroes=on,inject-error.0.event=none,inject-error.0.iotype=write,\
         inject-error.0.errno=5,inject-error.0.sector=8192",
        "-device",
        "virtio-blk-pci,drive=node1,id=disk1,serial=ignore,werror=ignore",
        "-blockdev",
        "driver=blkdebug,node-name=node2,image.driver=null-co,image.size=16777216,\
         image.read-zeroes=on,inject-error.0.event=none,inject-error.0.iotype=write,\
         inject-error.0.errno=28,inject-error.0.sector=8192,inject-error.0.once=on",
        "-device",
        "virtio-blk-pci,drive=node2,id=disk2,serial=full",
        "-blockdev",
        "driver=blkdebug,node-name=node3,image.driver=null-co,image.size=16777216,\
         image.read-zeroes=on,inject-error.0.event=none,inject-error.0.iotype=read,\
         inject-error.0.errno=5,inject-error.0.sector=8192,inject-error.0.once=on",
        "-device",
        "virtio-blk-pci,drive=node3,id=disk3,serial=read,rerror=stop",
        "-blockdev",
        "driver=null-co,node-name=disc,size=4194304,read-zeroes=on,read-only=on",
        "-device",
        "ide-cd,drive=disc,id=cd0",
    ],
    |machine| {
        machine.shell("load virtio_pci virtio_blk ahci sr_mod")?;
        report(machine)?;
        ignore(machine)?;
        full_disk(machine)?;
        read_error(machine)?;
        threshold(machine)?;
        disc(machine)
    },
    &[
        "BLOCK_IO_ERROR node-name=node0 operation=write action=report nospace=false",
        "BLOCK_IO_ERROR node-name=node1 operation=write action=ignore",
        "BLOCK_IO_ERROR node-name=node2 operation=write action=stop nospace=true",
        "STOP",
        "RESUME",
        "BLOCK_IO_ERROR node-name=node3 operation=read action=stop nospace=false",
        "STOP",
        "RESUME",
        "BLOCK_WRITE_THRESHOLD node-name=node1 write-threshold=1048576",
        "DEVICE_TRAY_MOVED device= id=cd0 tray-open=true",
        "DEVICE_TRAY_MOVED device= id=cd0 tray-open=false",
    ],
)
.in_linux()];

/// The guest's program learns of the error.
fn report(machine: &mut Machine) -> Result<(), LabError> {
    let disk = disk(machine, "report")?;
    machine.shell(&format!("! {}", write(&disk)))?;
    machine.event("BLOCK_IO_ERROR").map(drop)
}

/// The guest's program believes that all is well.
fn ignore(machine: &mut Machine) -> Result<(), LabError> {
    let disk = disk(machine, "ignore")?;
    machine.shell(&write(&disk))?;
    machine.event("BLOCK_IO_ERROR").map(drop)
}

/// The machine stops until there is room, then the write is done again.
fn full_disk(machine: &mut Machine) -> Result<(), LabError> {
    let disk = disk(machine, "full")?;
    stopped_and_again(machine, &write(&disk), "BLOCK_IO_ERROR")
}

/// The same with a read.
fn read_error(machine: &mut Machine) -> Result<(), LabError> {
    let disk = disk(machine, "read")?;
    let line = format!("dd if=/dev/{disk} of=/dev/null bs=4k skip=1024 count=1");
    stopped_and_again(machine, &line, "BLOCK_IO_ERROR")
}

fn stopped_and_again(machine: &mut Machine, line: &str, event: &str) -> Result<(), LabError> {
    machine.shell_start(line)?;
    machine.event(event)?;
    machine.event("STOP")?;
    let status = machine.status()?;
    if status != "io-error" {
        return Err(LabError::Unexpected(format!("the machine is {status}")));
    }
    machine.run("cont")?;
    machine.shell_end(line).map(drop)
}

/// Somebody wants to know when a disk is written beyond its first MiB.
fn threshold(machine: &mut Machine) -> Result<(), LabError> {
    let threshold = json!({ "node-name": "node1", "write-threshold": 1_048_576 });
    machine.execute("block-set-write-threshold", threshold)?;
    let disk = disk(machine, "ignore")?;
    let line = format!("dd if=/dev/zero of=/dev/{disk} bs=4k seek=2048 count=1 conv=fsync");
    machine.shell(&line).map(drop)
}

/// Linux throws a disc out after its use, and takes it in again to read it.
fn disc(machine: &mut Machine) -> Result<(), LabError> {
    const READ: &str = "dd if=/dev/sr0 of=/dev/null bs=2k count=1";
    machine.shell("until_ok '[ -e /dev/sr0 ]' && cd /proc/sys/dev/cdrom")?;
    machine.shell(&format!(
        "echo 1 > autoeject && echo 1 > autoclose && {READ}"
    ))?;
    machine.event_where("DEVICE_TRAY_MOVED", |data| data["tray-open"] == true)?;
    machine.shell(&format!("echo 0 > autoeject && {READ}"))?;
    machine
        .event_where("DEVICE_TRAY_MOVED", |data| data["tray-open"] == false)
        .map(drop)
}

/// The name Linux gave to the disk with this serial number.
fn disk(machine: &mut Machine, serial: &str) -> Result<String, LabError> {
    let found = machine.shell(&format!(
        "until_ok 'grep -lx {serial} /sys/block/vd*/serial >/tmp/disk' && cut -d / -f 4 /tmp/disk"
    ))?;
    Ok(found.trim().to_owned())
}

/// Writes one page where the disk fails.
fn write(disk: &str) -> String {
    format!("dd if=/dev/zero of=/dev/{disk} bs=4k seek=1024 count=1 conv=fsync")
}
