//! A journal in numbers.

use std::fs;
use std::path::Path;

use rusqlite::OptionalExtension;
use serde::Serialize;

use super::open::log_path;
use super::{ReadError, Reader};
use crate::time;

/// A journal in numbers; the names are those of `--json`, a promise to programs.
#[derive(Clone, Debug, Serialize)]
pub struct Info {
    /// Random, made with the journal.
    pub id: String,
    /// Its layout.
    pub layout: i64,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Of those, bytes that are free for what comes.
    pub free_bytes: u64,
    /// Bytes of the write-ahead log beside it.
    pub log_bytes: u64,
    /// Machines with records.
    pub machines: u64,
    /// Runs with records.
    pub runs: u64,
    /// Records there are.
    pub records: u64,
    /// Number of the first one.
    pub first_seq: Option<u64>,
    /// Number of the last one.
    pub last_seq: Option<u64>,
    /// Time of the earliest record, to within a block of the time map.
    pub earliest: Option<String>,
    /// Time of the latest record.
    pub latest: Option<String>,
    /// Stretches in which nobody was listening.
    pub gaps: u64,
    /// Records that were removed.
    pub removed: u64,
    /// The latest time among them.
    pub removed_until: Option<String>,
}

impl Reader {
    /// The journal in numbers. It costs the same however long the journal is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn info(&self, path: &Path) -> Result<Info, ReadError> {
        let one = |sql: &str| -> rusqlite::Result<Option<i64>> {
            Ok(self
                .conn
                .query_row(sql, [], |row| row.get(0))
                .optional()?
                .flatten())
        };
        let count =
            |sql: &str| -> rusqlite::Result<u64> { Ok(one(sql)?.unwrap_or(0).unsigned_abs()) };
        let pragma = |name: &str| -> rusqlite::Result<u64> {
            self.conn
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
                .map(i64::unsigned_abs)
        };
        let (id, created_us) = self
            .conn
            .query_row("SELECT id, created FROM journal", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?
            .unwrap_or_default();
        let page_bytes = pragma("page_size")?;
        let removed = self.removed()?;
        let moment = |us: Option<i64>| us.map(time::rfc3339);
        Ok(Info {
            id,
            layout: self
                .conn
                .pragma_query_value(None, "user_version", |row| row.get(0))?,
            created: time::rfc3339(created_us),
            file_bytes: fs::metadata(path).map_or(0, |file| file.len()),
            free_bytes: pragma("freelist_count")? * page_bytes,
            log_bytes: fs::metadata(log_path(path)).map_or(0, |file| file.len()),
            machines: count("SELECT count(*) FROM machine")?,
            runs: count("SELECT count(*) FROM run")?,
            records: count(
                "SELECT (SELECT coalesce(sum(records), 0) FROM tally) + \
                    (SELECT count(*) FROM event WHERE seq > (SELECT placed FROM journal))",
            )?,
            first_seq: one("SELECT min(seq) FROM event")?.map(i64::unsigned_abs),
            last_seq: one("SELECT max(seq) FROM event")?.map(i64::unsigned_abs),
            earliest: moment(one(
                "SELECT min(earliest) FROM zone WHERE earliest <= latest",
            )?),
            latest: moment(one(
                "SELECT max(latest) FROM zone WHERE earliest <= latest",
            )?),
            gaps: count("SELECT count(*) FROM gaps")?,
            removed: removed.records,
            removed_until: moment(removed.until_us),
        })
    }

    /// The random name of the journal, made with it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn id(&self) -> Result<String, ReadError> {
        let mut statement = self.conn.prepare_cached("SELECT id FROM journal")?;
        Ok(statement
            .query_row([], |row| row.get(0))
            .optional()?
            .unwrap_or_default())
    }
}
