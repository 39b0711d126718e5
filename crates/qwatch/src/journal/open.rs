//! Opening the file: what it is, whose it is, and how to read it where nothing may be written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::log::Log;
use super::schema::{self, APPLICATION_ID};
use super::{OpenError, Settings};
use crate::limits::{BUSY_TIMEOUT, PAGE_BYTES, WAL_MAX_BYTES};
use crate::time;

/// The writing connection, migrated and set up. The caller holds the lock.
pub(super) fn for_writing(path: &Path, settings: &Settings) -> Result<Connection, OpenError> {
    let sqlite = |source| sqlite_error(path, source);
    keep_torn_log(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    let fresh = check_identity(&conn, path)? == 0;
    let setup = |conn: &mut Connection| -> rusqlite::Result<()> {
        if fresh {
            conn.pragma_update(None, "page_size", PAGE_BYTES as i64)?;
        }
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        conn.pragma_update(None, "journal_size_limit", WAL_MAX_BYTES as i64)?;
        if let Some(pages) = settings.pages_max {
            conn.pragma_update(None, "max_page_count", pages)?;
        }
        schema::migrate(conn, &schema::steps())
    };
    setup(&mut conn).map_err(sqlite)?;
    Ok(conn)
}

/// SQLite passes over what is behind a tear in the log, and writes over it: what may be salvaged from it is
/// put aside first.
fn keep_torn_log(path: &Path) {
    let log = log_path(path);
    match Log::look(&log) {
        Ok(Some(found)) if found.is_torn() => {}
        _ => return,
    }
    let mut name = log.clone().into_os_string();
    name.push(format!("-torn-{}", time::now_us() / 1_000_000));
    let kept = PathBuf::from(name);
    match fs::copy(&log, &kept) {
        Ok(_) => tracing::error!(
            kept = %kept.display(),
            "the journal's log is torn: what is behind the tear is passed over. To look for it, put this copy \
             beside a copy of the journal under the name it had, and use qwatch journal salvage"
        ),
        Err(error) => tracing::error!(%error, "the journal's log is torn, and cannot be put aside"),
    }
}

/// A reading connection, and what must live as long as it.
pub(super) struct ReadConnection {
    pub(super) conn: Connection,
    /// Where the journal was copied to, if it could not be read in place.
    pub(super) copy: Option<TempDir>,
}

/// A reading connection on a journal in use, at rest, copied, or in a folder where nothing may be written.
pub(super) fn for_reading(path: &Path) -> Result<ReadConnection, OpenError> {
    match fs::metadata(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::Missing(path.to_path_buf()));
        }
        Err(source) => {
            return Err(OpenError::Io {
                path: path.to_path_buf(),
                source,
            });
        }
    }
    let (conn, copy) = match connect(path, "mode=ro") {
        Ok(conn) => (conn, None),
        Err(error) if !needs_shared_memory(&error) => return Err(sqlite_error(path, error)),
        // SQLite wants to put its index of the log beside the file and may not.
        Err(_) if !has_log(path) => {
            let conn = connect(path, "mode=ro&immutable=1").map_err(|e| sqlite_error(path, e))?;
            (conn, None)
        }
        Err(_) => {
            let (conn, dir) = connect_copy(path)?;
            (conn, Some(dir))
        }
    };
    let known = schema::version();
    match check_identity(&conn, path)? {
        0 => Err(OpenError::Foreign(path.to_path_buf())),
        found if found < known => Err(OpenError::Older {
            path: path.to_path_buf(),
            found,
            known,
        }),
        _ => Ok(ReadConnection { conn, copy }),
    }
}

/// The layout of the file, 0 if it is empty; an error if it is no journal or a newer one.
fn check_identity(conn: &Connection, path: &Path) -> Result<i64, OpenError> {
    let sqlite = |source| sqlite_error(path, source);
    let application = schema::application_id(conn).map_err(sqlite)?;
    let found = schema::user_version(conn).map_err(sqlite)?;
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sqlite)?;
    if application != APPLICATION_ID {
        let empty = application == 0 && found == 0 && tables == 0;
        return if empty {
            Ok(0)
        } else {
            Err(OpenError::Foreign(path.to_path_buf()))
        };
    }
    if found > schema::version() {
        return Err(OpenError::Newer {
            path: path.to_path_buf(),
            found,
            known: schema::version(),
        });
    }
    if found < 1 {
        return Err(OpenError::Foreign(path.to_path_buf()));
    }
    Ok(found)
}

/// Opens read-only and reads once, because SQLite opens lazily.
fn connect(path: &Path, parameters: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(uri(path, parameters), flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    schema::user_version(&conn)?;
    Ok(conn)
}

/// Copies the journal and its log to where they may be read, so that what is only in the log is seen too.
fn connect_copy(path: &Path) -> Result<(Connection, TempDir), OpenError> {
    let io = |source| OpenError::Io {
        path: path.to_path_buf(),
        source,
    };
    tracing::info!(
        journal = %path.display(),
        "copying the journal to a temporary folder: its own folder cannot be written"
    );
    let dir = TempDir::with_prefix("qwatch-").map_err(io)?;
    let copy = dir.path().join("journal.db");
    fs::copy(path, &copy).map_err(io)?;
    fs::copy(log_path(path), log_path(&copy)).map_err(io)?;
    let conn = connect(&copy, "mode=ro").map_err(|e| sqlite_error(path, e))?;
    Ok((conn, dir))
}

fn has_log(path: &Path) -> bool {
    fs::metadata(log_path(path)).is_ok_and(|log| log.len() > 0)
}

/// The write-ahead log lies beside the file itself, not beside a symbolic link to it.
pub(super) fn log_path(path: &Path) -> PathBuf {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let mut name = real.into_os_string();
    name.push("-wal");
    PathBuf::from(name)
}

fn needs_shared_memory(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | ReadOnly))
}

fn sqlite_error(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_path_buf();
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => OpenError::Foreign(path),
        _ => OpenError::Sqlite { path, source },
    }
}

/// `file:` with everything escaped that a URI would read as its own.
fn uri(path: &Path, parameters: &str) -> std::ffi::OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut uri = b"file:".to_vec();
    for &byte in absolute.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend(format!("%{byte:02X}").into_bytes()),
            _ => uri.push(byte),
        }
    }
    uri.push(b'?');
    uri.extend(parameters.bytes());
    std::ffi::OsString::from_vec(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A journal with a row that is only in the log, as after `kill -9`.
    fn journal_with_log(dir: &Path) -> PathBuf {
        let path = dir.join("live?#%.db");
        let conn = for_writing(&path, &Settings::default()).expect("a journal");
        conn.execute("INSERT INTO machine(name) VALUES ('web')", [])
            .expect("a row");
        let kept = dir.join("kept?#%.db");
        fs::copy(&path, &kept).expect("copied");
        fs::copy(log_path(&path), log_path(&kept)).expect("copied");
        kept
    }

    fn machines(conn: &Connection) -> i64 {
        conn.query_row("SELECT count(*) FROM machine", [], |row| row.get(0))
            .expect("a count")
    }

    #[test]
    fn what_is_only_in_the_log_is_seen_in_place_and_in_a_copy() {
        let dir = TempDir::new().expect("a folder");
        let path = journal_with_log(dir.path());
        let (copy, _dir) = connect_copy(&path).expect("copied and opened");
        assert_eq!(machines(&copy), 1);
        let in_place = for_reading(&path).expect("opened");
        assert!(in_place.copy.is_none());
        assert_eq!(machines(&in_place.conn), 1);
    }

    #[test]
    fn without_a_log_it_can_be_read_as_immutable() {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("j.db");
        drop(for_writing(&path, &Settings::default()).expect("a journal"));
        assert!(!has_log(&path));
        let conn = connect(&path, "mode=ro&immutable=1").expect("opened");
        assert_eq!(machines(&conn), 0);
    }

    #[test]
    fn what_is_no_journal_is_said_so() {
        let dir = TempDir::new().expect("a folder");
        let text = dir.path().join("notes.txt");
        fs::write(
            &text,
            "milk, bread, and a long enough line to be no header of SQLite\n".repeat(20),
        )
        .expect("written");
        let empty = dir.path().join("empty");
        fs::write(&empty, "").expect("written");
        let other = dir.path().join("other.db");
        Connection::open(&other)
            .and_then(|conn| conn.execute_batch("CREATE TABLE t(x)"))
            .expect("a database");
        for path in [&text, &other] {
            assert!(
                matches!(for_reading(path), Err(OpenError::Foreign(_))),
                "{path:?}"
            );
            assert!(matches!(
                for_writing(path, &Settings::default()),
                Err(OpenError::Foreign(_))
            ));
        }
        assert!(matches!(for_reading(&empty), Err(OpenError::Foreign(_))));
        assert!(matches!(
            for_reading(&dir.path().join("none")),
            Err(OpenError::Missing(_))
        ));
    }

    #[test]
    fn a_newer_layout_is_refused_by_name() {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("j.db");
        let conn = for_writing(&path, &Settings::default()).expect("a journal");
        conn.pragma_update(None, "user_version", schema::VERSION + 1)
            .expect("set");
        drop(conn);
        let error = for_reading(&path).err().expect("refused").to_string();
        assert!(
            error.contains("newer qwatch") && error.contains("update qwatch"),
            "{error}"
        );
        assert!(matches!(
            for_writing(&path, &Settings::default()),
            Err(OpenError::Newer { .. })
        ));
    }
}
