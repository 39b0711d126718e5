//! What only a mainframe says. Its guests are programs of a few instructions, which QEMU loads at
//! address 0; `-S` keeps them from running before anybody listens.

use std::{fs, io, path::Path};

use super::Recipe;
use crate::{Board, KERNEL_FILE, LabError, Machine};

pub(super) const RECIPES: &[Recipe] = &[
    // Waiting for an interrupt that cannot come is how guests of this kind give up.
    Recipe::new(
        "GUEST_PANICKED.s390",
        &["-S", "-action", "panic=pause"],
        begin,
        &[
            "GUEST_PANICKED action=pause info.type=s390 info.core=0 info.reason=disabled-wait \
             info.psw-mask=562956395872256 info.psw-addr=2989",
            "STOP",
        ],
    )
    .board(Board::S390)
    .files(|folder| program(folder, &[(CODE, &[LOAD_WAIT]), (WAIT, &DISABLED_WAIT)]))
    .since(10, 0),
    // The guest tells the firmware what it is: first that it will, then that.
    Recipe::new(
        "SCLP_CPI_INFO_AVAILABLE",
        &["-S"],
        begin,
        &["SCLP_CPI_INFO_AVAILABLE"],
    )
    .board(Board::S390)
    .files(|folder| {
        program(
            folder,
            &[
                (CODE, &CALL_TWICE),
                (WAIT, &ENABLED_WAIT),
                (OPERANDS, &[WRITE_MASK, MASK_BLOCK, WRITE_DATA, DATA_BLOCK]),
                (MASK_BLOCK, &WANTS_TO_SEND),
                (DATA_BLOCK, &IDENTIFICATION),
            ],
        )
    })
    .since(10, 2),
];

/// Where the parts of a program are; each fits before the next.
const CODE: u32 = 0x10;
const WAIT: u32 = 0x30;
const OPERANDS: u32 = 0x100;
const MASK_BLOCK: u32 = 0x2000;
const DATA_BLOCK: u32 = 0x3000;

/// `lpswe 0x30`: goes on with the processor's state at `WAIT`.
const LOAD_WAIT: u32 = 0xB2B2_0030;
/// States of the processor: mask and address. All that differs is whether it can be interrupted.
const DISABLED_WAIT: [u32; 4] = [0x0002_0001, 0x8000_0000, 0, 0xBAD];
const ENABLED_WAIT: [u32; 4] = [0x0302_0001, 0x8000_0000, 0, 0xBAD];

/// Twice: load a command and its block's address into registers 1 and 2, and call the firmware.
const CALL_TWICE: [u32; 7] = [
    0x5810_0100,
    0x5820_0104,
    0xB220_0012,
    0x5810_0108,
    0x5820_010C,
    0xB220_0012,
    LOAD_WAIT,
];

/// Commands to the firmware: what events the guest takes and sends, and an event itself.
const WRITE_MASK: u32 = 0x0078_0005;
const WRITE_DATA: u32 = 0x0076_0005;

/// A block of 28 bytes, masks of 4 bytes; the second one is of what the guest sends: an event of
/// kind 11, its identification.
const WANTS_TO_SEND: [u32; 7] = [0x001C_0000, 0, 4, 0, 1 << (32 - 11), 0, 0];

/// A block of 88 bytes with an event of 80 bytes of kind 11. What it says is blank.
const IDENTIFICATION: [u32; 4] = [0x0058_0000, 0, 0x0050_0B00, 0];

fn begin(machine: &mut Machine) -> Result<(), LabError> {
    machine.run("cont").map(drop)
}

/// Writes a program: big-endian words by their address.
fn program(folder: &Path, parts: &[(u32, &[u32])]) -> io::Result<()> {
    const PROGRAM_SIZE_BYTES: usize = 16 * 1024;
    // How the processor begins: in 31 bit mode, at `CODE`.
    const START: &[u32] = &[0x0008_0000, 0x8000_0000 | CODE];
    let mut memory = vec![0; PROGRAM_SIZE_BYTES];
    for (address, words) in parts.iter().copied().chain([(0, START)]) {
        let address = usize::try_from(address).map_err(io::Error::other)?;
        let bytes = words.iter().flat_map(|word| word.to_be_bytes());
        for (to, from) in memory.iter_mut().skip(address).zip(bytes) {
            *to = from;
        }
    }
    fs::write(folder.join(KERNEL_FILE), memory)
}
