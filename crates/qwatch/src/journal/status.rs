//! What the recorder says of itself, for other processes to read while the journal cannot be written.
//!
//! One small file of a fixed size beside the journal (`<journal>-status`), written over in place: that
//! works on a full disk, where nothing new can be made. Where it does not (a file system that has become
//! read-only) the same goes into a folder for things of the moment: `/run/qwatch`, `$XDG_RUNTIME_DIR/qwatch`,
//! or one of this user's in the folder for temporary files. The reader looks into all of them and believes
//! the newest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::Health;
use crate::limits::{STATUS_BYTES, STATUS_ERROR_MAX_BYTES, STATUS_FILE_PERIOD};
use crate::time;

/// What a recorder has said of itself last. Times are microseconds since 1970, UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecorderStatus {
    /// Its qwatch.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since when it has had the journal open.
    pub started_us: i64,
    /// When it said this.
    pub updated_us: i64,
    /// Since when it cannot write the journal; `None` if it can.
    pub failing_since_us: Option<i64>,
    /// Why it cannot.
    pub error: Option<String>,
    /// Machines that are being recorded.
    pub machines: usize,
    /// Number of the last record.
    pub last_seq: u64,
    /// When it was committed.
    pub last_commit_us: Option<i64>,
    /// It has ended in good order.
    pub stopped: bool,
}

impl RecorderStatus {
    /// What the recorder of this journal has said last; `None` if nothing is to be found.
    ///
    /// Whether it still runs is another question: [`super::is_being_written`].
    pub fn read(journal: &Path) -> Option<Self> {
        let owner = fs::metadata(journal).ok()?.uid();
        places(journal, owner)
            .iter()
            .filter_map(|path| read_file(path, owner))
            .max_by_key(|status| status.updated_us)
    }
}

/// The file, and what is in it.
#[derive(Debug)]
pub(super) struct StatusFile {
    journal: PathBuf,
    /// Where it is written now.
    file: Option<(PathBuf, File)>,
    status: RecorderStatus,
    written: Option<Instant>,
    stale: bool,
}

impl StatusFile {
    /// Makes the file. That it cannot be made is no reason not to record.
    pub(super) fn new(journal: &Path, last_seq: u64, machines: usize) -> Self {
        let now_us = time::now_us();
        let mut file = Self {
            journal: journal.to_path_buf(),
            file: None,
            status: RecorderStatus {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                started_us: now_us,
                last_seq,
                machines,
                ..RecorderStatus::default()
            },
            written: None,
            stale: false,
        };
        file.write();
        file
    }

    /// Something was committed.
    pub(super) fn committed(&mut self, last_seq: u64, machines: usize) {
        self.status.last_seq = last_seq;
        self.status.machines = machines;
        self.status.last_commit_us = Some(time::now_us());
        self.stale = true;
        self.refresh();
    }

    /// The journal can be written no more, or again.
    pub(super) fn health(&mut self, health: &Health) {
        (self.status.failing_since_us, self.status.error) = match health {
            Health::Good => (None, None),
            Health::Failing { since_us, error } => {
                let mut end = error.len().min(STATUS_ERROR_MAX_BYTES);
                while !error.is_char_boundary(end) {
                    end -= 1;
                }
                (Some(*since_us), Some(error[..end].to_owned()))
            }
        };
        self.write();
    }

    /// Writes what is new, not too often.
    pub(super) fn refresh(&mut self) {
        let recent = self
            .written
            .is_some_and(|written| written.elapsed() < STATUS_FILE_PERIOD);
        if self.stale && !recent {
            self.write();
        }
    }

    /// The recorder ends.
    pub(super) fn stopped(&mut self, machines: usize) {
        self.status.stopped = true;
        self.status.machines = machines;
        self.write();
        if let Some((path, _)) = self.file.take()
            && path != beside(&self.journal)
        {
            // What is beside the journal is older and says so.
            let _ = fs::remove_file(path);
        }
    }

    fn write(&mut self) {
        self.status.updated_us = time::now_us();
        self.written = Some(Instant::now());
        self.stale = false;
        let Ok(mut text) = serde_json::to_vec(&self.status) else {
            return;
        };
        text.resize(STATUS_BYTES - 1, b' ');
        text.push(b'\n');
        if let Some((_, file)) = &self.file
            && file.write_all_at(&text, 0).is_ok()
        {
            return;
        }
        let owner = rustix::process::geteuid().as_raw();
        self.file = places(&self.journal, owner)
            .into_iter()
            .find_map(|path| Some((path.clone(), make(&path, &text).ok()?)));
        if self.file.is_none() {
            tracing::debug!("there is no place for the recorder's status");
        }
    }
}

/// Makes the file with all its bytes, so that there is room for them later.
fn make(path: &Path, text: &[u8]) -> io::Result<File> {
    if let Some(folder) = path.parent()
        && !folder.exists()
    {
        fs::DirBuilder::new().mode(0o755).create(folder)?;
    }
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    file.write_all_at(text, 0)?;
    file.sync_data()?;
    Ok(file)
}

fn read_file(path: &Path, owner: u32) -> Option<RecorderStatus> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .ok()?;
    let uid = file.metadata().ok()?.uid();
    if uid != owner && uid != 0 {
        return None;
    }
    let mut text = String::new();
    file.take(STATUS_BYTES as u64)
        .read_to_string(&mut text)
        .ok()?;
    serde_json::from_str(&text).ok()
}

/// Where the status may be, best first.
fn places(journal: &Path, owner: u32) -> Vec<PathBuf> {
    let mut places = vec![beside(journal)];
    let Ok(identity) = fs::metadata(journal) else {
        return places;
    };
    let name = format!("{:x}-{:x}.status", identity.dev(), identity.ino());
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let folders = [
        Some(PathBuf::from("/run/qwatch")),
        runtime
            .filter(|path| path.is_absolute())
            .map(|path| path.join("qwatch")),
        Some(std::env::temp_dir().join(format!("qwatch-{owner}"))),
    ];
    places.extend(
        folders
            .into_iter()
            .flatten()
            .map(|folder| folder.join(&name)),
    );
    places
}

/// Beside the journal itself, wherever a symbolic link to it may lie.
fn beside(journal: &Path) -> PathBuf {
    let real = journal
        .canonicalize()
        .unwrap_or_else(|_| journal.to_path_buf());
    let mut name = real.into_os_string();
    name.push("-status");
    PathBuf::from(name)
}
