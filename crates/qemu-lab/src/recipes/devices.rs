//! Devices that come, go and change.

use serde_json::json;

use super::Recipe;
use crate::{LabError, Machine, guest::pci::Function, write_raw_image};

const BALLOON: &[&str] = &[
    "-device",
    "virtio-balloon-pci,id=balloon0,addr=4,disable-modern=on,disable-legacy=off",
];
const TRAY: &[&str] = &[
    "-drive",
    "if=none,id=drive0,media=cdrom,format=raw,readonly=on,file=cd.img",
    "-device",
    "ide-cd,bus=ide.1,drive=drive0,id=cd0",
];
const MEMORY_SLOT: &[&str] = &[
    "-object",
    "memory-backend-ram,id=mem0,size=64M",
    "-device",
    "pc-dimm,id=dimm0,memdev=mem0",
];

pub(super) const RECIPES: &[Recipe] = &[
    Recipe::new(
        "DEVICE_DELETED",
        &["-device", "qemu-xhci,id=xhci", "-device", "usb-kbd,id=kbd0"],
        |machine| {
            machine
                .execute("device_del", json!({ "id": "kbd0" }))
                .map(drop)
        },
        &["DEVICE_DELETED device=kbd0 path=/machine/peripheral/kbd0"],
    ),
    // A PCI device goes only when the guest ejects it, here slot 4.
    Recipe::new(
        "DEVICE_DELETED.guest",
        BALLOON,
        |machine| {
            machine.execute("device_del", json!({ "id": "balloon0" }))?;
            machine.qtest().outl(0xAE10, 0)?;
            machine.qtest().outl(0xAE08, 1 << 4)
        },
        &[
            "DEVICE_DELETED path=/machine/peripheral/balloon0/virtio-backend",
            "DEVICE_DELETED device=balloon0 path=/machine/peripheral/balloon0",
        ],
    ),
    Recipe::new(
        "DEVICE_TRAY_MOVED",
        TRAY,
        |machine| {
            machine.execute("blockdev-open-tray", json!({ "id": "cd0" }))?;
            machine
                .execute("blockdev-close-tray", json!({ "id": "cd0" }))
                .map(drop)
        },
        &[
            "DEVICE_TRAY_MOVED device=drive0 id=cd0 tray-open=true",
            "DEVICE_TRAY_MOVED device=drive0 id=cd0 tray-open=false",
        ],
    )
    .files(|folder| write_raw_image(folder, "cd.img", 1, 0)),
    // 64 MiB less 4096 pages of 4 KiB.
    Recipe::new(
        "BALLOON_CHANGE",
        BALLOON,
        inflate,
        &["BALLOON_CHANGE actual=50331648"],
    ),
    Recipe::new(
        "ACPI_DEVICE_OST",
        MEMORY_SLOT,
        report_slot,
        &[
            "ACPI_DEVICE_OST info.device=dimm0 info.slot=0 info.slot-type=DIMM info.source=1 \
            info.status=0",
        ],
    )
    .memory("64M,slots=2,maxmem=1G"),
];

/// Tells the balloon's device configuration how many pages the guest gave up.
fn inflate(machine: &mut Machine) -> Result<(), LabError> {
    const BASE: u16 = 0xC000;
    const ACTUAL: u16 = BASE + 0x14 + 4;
    let balloon = Function {
        slot: 4,
        function: 0,
    };
    balloon.map_ports(machine.qtest(), BASE)?;
    machine.qtest().outl(ACTUAL, 4096)
}

/// What a guest's ACPI does when it has taken a memory module into use.
fn report_slot(machine: &mut Machine) -> Result<(), LabError> {
    let qtest = machine.qtest();
    qtest.outl(0xA00, 0)?;
    qtest.outl(0xA04, 1)?;
    qtest.outl(0xA08, 0)
}
