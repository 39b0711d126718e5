//! A real Linux as guest, for what only a guest can show: a distribution's kernel and drivers that
//! `scripts/setup` fetched, a static shell, and a first process of ours that runs what it is told.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{LabError, cached};

mod cpio;
mod shell;

pub(crate) use shell::Shell;

use cpio::Archive;

/// The sockets and files of the guest's two serial ports, in the machine's folder.
pub(crate) const SHELL_SOCKET: &str = "shell.sock";
/// What the kernel printed.
pub(crate) const CONSOLE_FILE: &str = "console.log";
const ARCHIVE_FILE: &str = "initrd";

/// Keeps the kernel from measuring what an emulated machine does not have, which takes seconds,
/// and from spending time on mitigations.
const COMMAND_LINE: &str = "console=ttyS0 quiet mitigations=off tsc=reliable no_timer_check \
     random.trust_cpu=on nokaslr";

/// The memory it needs.
pub(crate) const MEMORY: &str = "256M";

/// How the kernel gets into the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Unpacked beforehand, straight into memory: up in some two seconds.
    Unpacked,
    /// As the distribution ships it, through the firmware: some four seconds more, but only this
    /// one comes back from suspend to RAM.
    Packed,
}

/// The arguments that boot it. Writes what they name into the machine's folder.
pub(crate) fn prepare(kernel: Kernel, folder: &Path) -> Result<Vec<String>, LabError> {
    let linux = cached("linux")?;
    let archive = archive(&linux).map_err(LabError::io("read the guest's Linux"))?;
    fs::write(folder.join(ARCHIVE_FILE), archive).map_err(LabError::io("write the initrd"))?;
    let kernel = match kernel {
        Kernel::Unpacked => linux.join("vmlinux"),
        Kernel::Packed => linux.join("vmlinuz"),
    };
    let words = [
        "-kernel",
        &kernel.display().to_string().replace(',', ",,"),
        "-initrd",
        ARCHIVE_FILE,
        "-append",
        COMMAND_LINE,
        "-serial",
        &format!("file:{CONSOLE_FILE}"),
        "-serial",
        &format!("unix:{SHELL_SOCKET}"),
    ];
    Ok(words.map(str::to_owned).to_vec())
}

/// What the kernel printed last, for a report.
pub(crate) fn console(folder: &Path) -> Option<String> {
    let bytes = fs::read(folder.join(CONSOLE_FILE)).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(crate::limits::REPORT_LINES_MAX);
    Some(lines.get(from..).unwrap_or_default().join("\n"))
}

/// The guest's first files: shell, drivers, and the first process.
fn archive(linux: &Path) -> io::Result<Vec<u8>> {
    let mut drivers: Vec<PathBuf> = fs::read_dir(linux.join("modules"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    drivers.sort();
    // Without a terminal of that name the kernel cannot start the first process properly.
    let mut archive = Archive::default()
        .folder("bin")
        .file("bin/busybox", &fs::read(linux.join("busybox"))?)
        .folder("dev")
        .terminal("dev/console", (5, 1))
        .folder("modules")
        .file("depends", &fs::read(linux.join("depends"))?)
        .file("init", include_bytes!("init.sh"));
    for driver in drivers {
        let name = driver.file_name().unwrap_or_default().display();
        archive = archive.file(&format!("modules/{name}"), &fs::read(&driver)?);
    }
    Ok(archive.finish())
}
