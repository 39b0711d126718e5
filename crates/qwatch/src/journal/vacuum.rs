//! Rewriting the file without its free pages.

use std::fs;
use std::path::Path;

use super::lock::WriterLock;
use super::{OpenError, Settings, open};

/// Makes the file as small as it can be; gives its bytes before and after.
///
/// # Errors
/// When somebody writes it, when it is no journal, or the disk refuses: then it is as it was.
pub fn vacuum(path: &Path) -> Result<(u64, u64), OpenError> {
    let io = |source| OpenError::Io {
        path: path.to_path_buf(),
        source,
    };
    if !fs::exists(path).map_err(io)? {
        return Err(OpenError::Missing(path.to_path_buf()));
    }
    let _lock = WriterLock::take(path)?;
    let conn = open::for_writing(path, &Settings::default())?;
    let sqlite = |source| OpenError::Sqlite {
        path: path.to_path_buf(),
        source,
    };
    let length = || Ok(fs::metadata(path).map_err(io)?.len());
    let before = length()?;
    let work = || -> rusqlite::Result<()> {
        let to_file = || conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        to_file()?;
        conn.execute_batch("VACUUM")?;
        to_file()
    };
    work().map_err(sqlite)?;
    Ok((before, length()?))
}
