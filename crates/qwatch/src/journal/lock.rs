//! The lock that makes a journal have one writer.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::OpenError;
use crate::limits::{LOCK_PAUSE, LOCK_TRIES};

/// Held as long as the value lives; the kernel lets go of it however the process ends.
///
/// A file of its own (`<journal>-lock`): SQLite's locks on the journal itself belong to the process, and
/// closing any other descriptor of that file would drop them.
#[derive(Debug)]
pub(super) struct WriterLock {
    _file: File,
}

impl WriterLock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(journal: &Path) -> Result<Self, OpenError> {
        let path = lock_path(journal);
        let io = |source| OpenError::Io {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        match try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Locked {
                    path: journal.to_path_buf(),
                    pid: holder(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        // The number is only for the message of the one who comes second.
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(io)?;
        Ok(Self { _file: file })
    }
}

/// Whether a recorder has the journal open right now.
pub fn is_being_written(journal: &Path) -> bool {
    let Ok(file) = File::open(lock_path(journal)) else {
        return false;
    };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Takes the lock; one who only looks whether it is held holds it for a moment.
fn try_lock(file: &File) -> Result<(), TryLockError> {
    let mut tries = LOCK_TRIES;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if tries > 0 => {
                tries -= 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            other => return other,
        }
    }
}

/// Beside the journal itself, wherever a symbolic link to it may lie.
fn lock_path(journal: &Path) -> PathBuf {
    let real = journal
        .canonicalize()
        .unwrap_or_else(|_| journal.to_path_buf());
    let mut name = real.into_os_string();
    name.push("-lock");
    PathBuf::from(name)
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
