//! The first disk of the PC's first IDE channel, by programmed I/O.

use std::time::Instant;

use crate::{LabError, Qtest, limits::REPLY_TIMEOUT};

const DATA: u16 = 0x1F0;
const SECTOR_COUNT: u16 = 0x1F2;
const SECTOR_LOW: u16 = 0x1F3;
const SECTOR_MIDDLE: u16 = 0x1F4;
const SECTOR_HIGH: u16 = 0x1F5;
const DRIVE: u16 = 0x1F6;
/// Read, it is the status.
const COMMAND: u16 = 0x1F7;
/// First drive, sector numbers rather than cylinders.
const FIRST_BY_SECTOR: u8 = 0xE0;
const WORDS_PER_SECTOR: usize = 256;

/// Starts reading one sector.
pub fn read(qtest: &mut Qtest, sector: u8) -> Result<(), LabError> {
    command(qtest, sector, 0x20)
}

/// Writes one sector of zeros.
pub fn write(qtest: &mut Qtest, sector: u8) -> Result<(), LabError> {
    command(qtest, sector, 0x30)?;
    (0..WORDS_PER_SECTOR).try_for_each(|_| qtest.outw(DATA, 0))
}

/// Starts flushing the disk's cache.
pub fn flush(qtest: &mut Qtest) -> Result<(), LabError> {
    qtest.outb(DRIVE, FIRST_BY_SECTOR)?;
    qtest.outb(COMMAND, 0xE7)
}

/// Waits until the disk has done what it was told: it ignores commands while it is busy.
pub fn settle(qtest: &mut Qtest) -> Result<(), LabError> {
    const BUSY_OR_WANTS_DATA: u8 = 0x88;
    let deadline = Instant::now() + REPLY_TIMEOUT;
    while qtest.inb(COMMAND)? & BUSY_OR_WANTS_DATA != 0 {
        if Instant::now() >= deadline {
            let what = "the disk's readiness".to_owned();
            return Err(LabError::TimedOut {
                what,
                within: REPLY_TIMEOUT,
            });
        }
    }
    Ok(())
}

fn command(qtest: &mut Qtest, sector: u8, command: u8) -> Result<(), LabError> {
    qtest.outb(DRIVE, FIRST_BY_SECTOR)?;
    qtest.outb(SECTOR_COUNT, 1)?;
    qtest.outb(SECTOR_LOW, sector)?;
    qtest.outb(SECTOR_MIDDLE, 0)?;
    qtest.outb(SECTOR_HIGH, 0)?;
    qtest.outb(COMMAND, command)
}
