//! Devices that come, go and change.

use serde_json::json;

use super::{Recipe, virtio::BALLOON};
use crate::{LabError, Machine, write_raw_image};

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
    Recipe::new(
        "ACPI_DEVICE_OST.processor",
        &["-smp", "1,maxcpus=2"],
        |machine| {
            let qtest = machine.qtest();
            // The first write switches to the registers of QEMU 2.7 and later.
            qtest.outb(0xAF00, 0)?;
            qtest.outl(0xAF00, 0)?;
            qtest.outb(0xAF05, 1)?;
            qtest.outl(0xAF08, 3)?;
            qtest.outb(0xAF05, 2)?;
            qtest.outl(0xAF08, 132)
        },
        &["ACPI_DEVICE_OST info.slot=0 info.slot-type=CPU info.source=3 info.status=132"],
    ),
];

/// What a guest's ACPI does when it has taken a memory module into use.
fn report_slot(machine: &mut Machine) -> Result<(), LabError> {
    let qtest = machine.qtest();
    qtest.outl(0xA00, 0)?;
    qtest.outl(0xA04, 1)?;
    qtest.outl(0xA08, 0)
}
