//! A guest that refuses to give up a memory module: only the pSeries machine hears of it.

use serde_json::json;

use super::Recipe;
use crate::{Board, LabError, Machine};

/// The guest's part is played while its processor is stopped.
const MODULE: &[&str] = &[
    "-S",
    "-vga",
    "none",
    "-object",
    "memory-backend-ram,id=mem0,size=256M",
    "-device",
    "pc-dimm,id=dimm0,memdev=mem0",
];

pub(super) const RECIPES: &[Recipe] = &[
    // Twice: QEMU sends it for the refusal and again for the module's blocks.
    Recipe::new(
        "DEVICE_UNPLUG_GUEST_ERROR",
        MODULE,
        refuse_unplug,
        &[
            "DEVICE_UNPLUG_GUEST_ERROR device=dimm0 path=/machine/peripheral/dimm0",
            "DEVICE_UNPLUG_GUEST_ERROR device=dimm0 path=/machine/peripheral/dimm0",
        ],
    )
    .board(Board::Pseries)
    .memory("256M,slots=2,maxmem=2G"),
    Recipe::new(
        "MEM_UNPLUG_ERROR",
        MODULE,
        refuse_unplug,
        &[
            "MEM_UNPLUG_ERROR device=dimm0",
            "DEVICE_UNPLUG_GUEST_ERROR device=dimm0",
        ],
    )
    .board(Board::Pseries)
    .memory("256M,slots=2,maxmem=2G")
    .before(9, 1),
];

/// Asked for the module, the guest says that it keeps the module's first block.
fn refuse_unplug(machine: &mut Machine) -> Result<(), LabError> {
    const ARGUMENTS: u64 = 0x1_0000;
    const RESULTS: u64 = 0x1_0100;
    const ISOLATION_STATE: u32 = 9001;
    const UNISOLATE: u32 = 1;
    const MEMORY_CONNECTOR: u32 = 0x8000_0000;
    const BLOCK_BYTES: u64 = 256 * 1024 * 1024;
    let devices = machine.run("query-memory-devices")?;
    let address = devices[0]["data"]["addr"].as_u64();
    let block = address.and_then(|address| u32::try_from(address / BLOCK_BYTES).ok());
    let block = block
        .ok_or_else(|| LabError::Unexpected(format!("query-memory-devices said {devices}")))?;
    machine.execute("device_del", json!({ "id": "dimm0" }))?;
    let words = [ISOLATION_STATE, MEMORY_CONNECTOR | block, UNISOLATE];
    let qtest = machine.qtest();
    qtest.write(ARGUMENTS, &words.map(u32::to_be_bytes).concat())?;
    qtest.rtas("set-indicator", (3, ARGUMENTS), (1, RESULTS))
}
