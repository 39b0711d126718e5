//! Memory, processors and cards that come and go while Linux runs.

use serde_json::{Value, json};

use super::Recipe;
use crate::{LabError, Machine};

/// What the guest reports about a slot: a device was added, or the user asked to eject it.
const ADDED: u64 = 1;
const EJECT: u64 = 3;
/// How it went, as the ACPI standard numbers it.
const REFUSED: u64 = 130;
const STARTED: u64 = 132;

pub(in crate::recipes) const RECIPES: &[Recipe] = &[Recipe::new(
    "ACPI_DEVICE_OST.linux-hotplug",
    &[
        "-smp",
        "1,sockets=2,maxcpus=2",
        "-cpu",
        "qemu64",
        "-device",
        "pcie-root-port,id=root0,chassis=1,slot=1",
        "-device",
        "virtio-balloon-pci,id=balloon0,bus=root0",
        "-object",
        "memory-backend-ram,id=mem0,size=256M",
        "-device",
        "virtio-mem-pci,id=vmem0,memdev=mem0,requested-size=0,block-size=2M",
    ],
    |machine| {
        machine.shell("load virtio_pci virtio_balloon virtio_mem")?;
        processor_comes(machine)?;
        module_comes_and_goes(machine)?;
        module_is_in_use(machine)?;
        card_goes(machine)?;
        memory_grows(machine)
    },
    &[
        "ACPI_DEVICE_OST info.device=cpu1 info.slot-type=CPU info.source=1 info.status=0",
        "ACPI_DEVICE_OST info.device=dimm0 info.slot=0 info.slot-type=DIMM info.source=1 \
         info.status=0",
        "ACPI_DEVICE_OST info.device=dimm0 info.source=3 info.status=132",
        "DEVICE_DELETED device=dimm0 path=/machine/peripheral/dimm0",
        "ACPI_DEVICE_OST info.slot=0 info.source=3 info.status=0",
        "ACPI_DEVICE_OST info.device=dimm1 info.source=3 info.status=130",
        "DEVICE_DELETED path=/machine/peripheral/balloon0/virtio-backend",
        "DEVICE_DELETED device=balloon0",
        "MEMORY_DEVICE_SIZE_CHANGE id=vmem0 size=134217728",
    ],
)
.in_linux()
.memory("256M,slots=2,maxmem=2G")];

fn processor_comes(machine: &mut Machine) -> Result<(), LabError> {
    let processor = json!({
        "driver": "qemu64-x86_64-cpu", "id": "cpu1",
        "socket-id": 1, "core-id": 0, "thread-id": 0,
    });
    machine.execute("device_add", processor)?;
    reported(machine, "cpu1", ADDED, 0)
}

/// Memory that the guest does not use goes at once; the last report is of an empty slot.
fn module_comes_and_goes(machine: &mut Machine) -> Result<(), LabError> {
    add_module(machine, 0)?;
    machine.execute("device_del", json!({ "id": "dimm0" }))?;
    reported(machine, "dimm0", EJECT, STARTED)?;
    machine.event_where("DEVICE_DELETED", |data| data["device"] == "dimm0")?;
    machine
        .event_where("ACPI_DEVICE_OST", |data| {
            data["info"]["device"].is_null() && data["info"]["status"] == 0
        })
        .map(drop)
}

/// Memory that the kernel keeps its own things in cannot be given back.
fn module_is_in_use(machine: &mut Machine) -> Result<(), LabError> {
    machine.shell("echo online_kernel > /sys/devices/system/memory/auto_online_blocks")?;
    add_module(machine, 1)?;
    machine.shell("mkdir /ram && mount -t ramfs ram /ram")?;
    machine.shell("dd if=/dev/zero of=/ram/full bs=1M count=180")?;
    machine.execute("device_del", json!({ "id": "dimm1" }))?;
    reported(machine, "dimm1", EJECT, STARTED)?;
    reported(machine, "dimm1", EJECT, REFUSED)?;
    machine.shell("rm /ram/full").map(drop)
}

fn card_goes(machine: &mut Machine) -> Result<(), LabError> {
    machine.execute("device_del", json!({ "id": "balloon0" }))?;
    machine
        .event_where("DEVICE_DELETED", |data| data["device"] == "balloon0")
        .map(drop)
}

/// The guest takes block by block of the memory it is offered.
fn memory_grows(machine: &mut Machine) -> Result<(), LabError> {
    const OFFERED_BYTES: u64 = 128 * 1024 * 1024;
    let offer = json!({ "path": "vmem0", "property": "requested-size", "value": OFFERED_BYTES });
    machine.execute("qom-set", offer).map(drop)
}

/// Adds a memory module of 128 MiB and waits until the guest has it.
fn add_module(machine: &mut Machine, number: u64) -> Result<(), LabError> {
    const MODULE_SIZE_BYTES: u64 = 128 * 1024 * 1024;
    let (memory, module) = (format!("module{number}"), format!("dimm{number}"));
    let backend =
        json!({ "qom-type": "memory-backend-ram", "id": memory, "size": MODULE_SIZE_BYTES });
    machine.execute("object-add", backend)?;
    let device = json!({ "driver": "pc-dimm", "id": module, "memdev": memory });
    machine.execute("device_add", device)?;
    reported(machine, &module, ADDED, 0)
}

/// Waits for the guest's report about a device.
fn reported(machine: &mut Machine, device: &str, source: u64, status: u64) -> Result<(), LabError> {
    let wanted = |data: &Value| {
        let info = &data["info"];
        info["device"] == device && info["source"] == source && info["status"] == status
    };
    machine.event_where("ACPI_DEVICE_OST", wanted).map(drop)
}
