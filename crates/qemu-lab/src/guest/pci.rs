//! PCI configuration space by the PC's two ports.

use crate::{LabError, Qtest};

/// Command register: answer port and memory accesses, and access memory itself.
const ENABLE_ALL: u16 = 7;
const COMMAND: u8 = 4;
const BAR0: u8 = 0x10;

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
        self.write16(qtest, COMMAND, ENABLE_ALL)
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
