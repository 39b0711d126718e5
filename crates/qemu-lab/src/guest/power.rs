//! The PC's ACPI power management block: PCI function 00:01.3.

use super::pci::Function;
use crate::{LabError, Qtest};

/// Sleep types of this chipset, as its ACPI tables tell a guest.
pub(crate) const SOFT_OFF: u16 = 0;
/// Suspend to RAM.
pub(crate) const SUSPEND_TO_RAM: u16 = 1;
/// Suspend to disk.
pub(crate) const SUSPEND_TO_DISK: u16 = 2;

/// Where firmware usually puts the block.
const BASE: u16 = 0x600;
const CONTROL: u16 = BASE + 4;
const SLEEP_NOW: u16 = 1 << 13;
const SLEEP_TYPE_SHIFT: u16 = 10;

/// Maps the block and enters a sleep state.
pub(crate) fn sleep(qtest: &mut Qtest, state: u16) -> Result<(), LabError> {
    let block = Function {
        slot: 1,
        function: 3,
    };
    block.write32(qtest, 0x40, u32::from(BASE) | 1)?;
    block.write8(qtest, 0x80, 1)?;
    qtest.outw(CONTROL, SLEEP_NOW | state << SLEEP_TYPE_SHIFT)
}
