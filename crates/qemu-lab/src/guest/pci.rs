//! PCI configuration space by the PC's two ports.

use crate::{LabError, Qtest};

const COMMAND: u8 = 4;
/// Command bits: answer port accesses, answer memory accesses, access memory itself.
const PORTS: u16 = 1;
const MEMORY: u16 = 2;
const MASTER: u16 = 4;
/// The first and the fifth address register; the latter takes 64 bits in virtio devices.
const BAR0: u8 = 0x10;
const BAR4: u8 = 0x20;

/// A function on bus 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Function {
    pub(crate) slot: u8,
    pub(crate) function: u8,
}

impl Function {
    /// Gives the function's first, port-mapped region an address and switches it on.
    pub(crate) fn map_ports(self, qtest: &mut Qtest, base: u16) -> Result<(), LabError> {
        self.write32(qtest, BAR0, base.into())?;
        self.write16(qtest, COMMAND, PORTS | MEMORY | MASTER)
    }

    /// Gives the function's fifth region, which is mapped into memory, an address below 4 GiB
    /// and switches it on.
    pub(crate) fn map_memory(self, qtest: &mut Qtest, base: u64) -> Result<(), LabError> {
        let base = u32::try_from(base)
            .map_err(|_| LabError::Unexpected(format!("registers at {base:#x}")))?;
        self.write32(qtest, BAR4, base)?;
        self.write32(qtest, BAR4 + 4, 0)?;
        self.write16(qtest, COMMAND, MEMORY | MASTER)
    }

    pub(crate) fn write8(self, qtest: &mut Qtest, register: u8, v: u8) -> Result<(), LabError> {
        self.select(qtest, register)?;
        qtest.outb(0xCFC + u16::from(register & 3), v)
    }

    pub(crate) fn write16(self, qtest: &mut Qtest, register: u8, v: u16) -> Result<(), LabError> {
        self.select(qtest, register)?;
        qtest.outw(0xCFC + u16::from(register & 2), v)
    }

    pub(crate) fn write32(self, qtest: &mut Qtest, register: u8, v: u32) -> Result<(), LabError> {
        self.select(qtest, register)?;
        qtest.outl(0xCFC, v)
    }

    fn select(self, qtest: &mut Qtest, register: u8) -> Result<(), LabError> {
        let device = u32::from(self.slot) << 11 | u32::from(self.function) << 8;
        qtest.outl(0xCF8, 0x8000_0000 | device | u32::from(register & !3))
    }
}
