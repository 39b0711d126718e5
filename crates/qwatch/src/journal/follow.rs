//! Waiting for new records in a process that is not the recorder.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::{OpenError, ReadError, Reader};
use crate::limits::FOLLOW_POLL;

/// A reader that can wait for the journal to move.
///
/// The file system says when the log is written to. That is a moment before the commit is visible, so a
/// notice is followed by a few looks at growing distances; and since not every file system gives notice,
/// there is a look every [`FOLLOW_POLL`] without one.
#[derive(Debug)]
pub struct Follower {
    reader: Reader,
    notices: Option<OwnedFd>,
}

/// Pauses between looks after a notice, in milliseconds. The log is synced between notice and commit.
const LOOKS_MS: [u64; 7] = [0, 1, 2, 5, 10, 20, 50];

impl Follower {
    /// Opens a journal to be followed.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            reader: Reader::open(path)?,
            notices: watch_folder(path),
        })
    }

    /// The reader.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Waits until there is a record with a number above `seq`, at most for `limit`; false if there is none.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn wait_past(&self, seq: u64, limit: Duration) -> Result<bool, ReadError> {
        let until = Instant::now() + limit;
        loop {
            let noticed = {
                if self.reader.last_seq()? > seq {
                    return Ok(true);
                }
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(false);
                }
                self.wait_for_notice(left.min(FOLLOW_POLL))
            };
            if noticed {
                for pause in LOOKS_MS {
                    std::thread::sleep(Duration::from_millis(pause));
                    if self.reader.last_seq()? > seq {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// True if the file system gave notice within the time.
    fn wait_for_notice(&self, length: Duration) -> bool {
        let Some(notices) = &self.notices else {
            std::thread::sleep(length);
            return false;
        };
        let timeout = Timespec::try_from(length).ok();
        let mut fds = [PollFd::new(notices, PollFlags::IN)];
        if !matches!(poll(&mut fds, timeout.as_ref()), Ok(1..)) {
            return false;
        }
        // What they say is of no interest; they must only be taken away.
        let mut buffer = [0_u8; 4096];
        while matches!(rustix::io::read(notices, &mut buffer), Ok(1..)) {}
        true
    }
}

/// The folder, not the log: the log is taken away and made anew when its last user leaves.
fn watch_folder(journal: &Path) -> Option<OwnedFd> {
    let real = journal.canonicalize().ok()?;
    let notices = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
    inotify::add_watch(
        &notices,
        real.parent()?,
        WatchFlags::MODIFY | WatchFlags::CREATE,
    )
    .ok()?;
    Some(notices)
}
