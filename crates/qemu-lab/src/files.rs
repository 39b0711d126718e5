//! The files machines start from. All are written by us: no firmware, no image tool.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// One cluster of a qcow2 image with default settings.
const QCOW2_CLUSTER_BYTES: usize = 64 * 1024;

/// Writes `halt.rom`, a firmware that does nothing: the processor halts at its first two
/// instructions and never wakes. Devices stay as their reset left them, and no time is spent.
pub(crate) fn write_halt_rom(folder: &Path) -> io::Result<()> {
    const ROM_SIZE_BYTES: usize = 64 * 1024;
    const HLT: u8 = 0xF4;
    // cli; hlt; jump to the hlt: at the address where the processor starts.
    const RESET_VECTOR: [u8; 4] = [0xFA, HLT, 0xEB, 0xFD];
    let mut rom = vec![HLT; ROM_SIZE_BYTES - 16];
    rom.extend(RESET_VECTOR);
    rom.resize(ROM_SIZE_BYTES, HLT);
    fs::write(folder.join("halt.rom"), rom)
}

/// Writes a raw image of `size_mib` MiB with `pattern` in every byte.
///
/// # Errors
///
/// Those of the file system.
pub fn write_raw_image(folder: &Path, name: &str, size_mib: usize, pattern: u8) -> io::Result<()> {
    let mebibyte = vec![pattern; 1024 * 1024];
    let mut file = File::create(folder.join(name))?;
    (0..size_mib).try_for_each(|_| file.write_all(&mebibyte))
}

/// Writes a qcow2 image of 1 MiB whose first guest cluster is mapped onto the image's own
/// level-1 table: reading it works, the first write to it is the corruption QEMU looks for.
///
/// # Errors
///
/// Those of the file system.
pub fn write_corrupt_qcow2(folder: &Path, name: &str) -> io::Result<()> {
    const REFCOUNT_TABLE: u64 = 0x1_0000;
    const REFCOUNT_BLOCK: u64 = 0x2_0000;
    const L1_TABLE: u64 = 0x3_0000;
    const L2_TABLE: u64 = 0x4_0000;
    // Set in table entries whose cluster has one reference only.
    const COPIED: u64 = 1 << 63;
    const IMAGE_SIZE_BYTES: u64 = 1024 * 1024;
    let mut header = Vec::from(*b"QFI\xFB");
    header.extend(2_u32.to_be_bytes()); // format version
    header.extend(0_u64.to_be_bytes()); // no backing file: its name's offset
    header.extend(0_u32.to_be_bytes()); // and length
    header.extend(QCOW2_CLUSTER_BYTES.trailing_zeros().to_be_bytes());
    header.extend(IMAGE_SIZE_BYTES.to_be_bytes());
    header.extend(0_u32.to_be_bytes()); // not encrypted
    header.extend(1_u32.to_be_bytes()); // entries of the level-1 table
    header.extend(L1_TABLE.to_be_bytes());
    header.extend(REFCOUNT_TABLE.to_be_bytes());
    header.extend(1_u32.to_be_bytes()); // clusters of the refcount table
    header.extend([0; 12]); // no snapshots
    let refcounts = [1_u16; 5].map(u16::to_be_bytes).concat();
    let mut file = File::create(folder.join(name))?;
    for cluster in [
        header,
        REFCOUNT_BLOCK.to_be_bytes().to_vec(),
        refcounts,
        (COPIED | L2_TABLE).to_be_bytes().to_vec(),
        (COPIED | L1_TABLE).to_be_bytes().to_vec(),
    ] {
        let mut cluster = cluster;
        cluster.resize(QCOW2_CLUSTER_BYTES, 0);
        file.write_all(&cluster)?;
    }
    Ok(())
}
