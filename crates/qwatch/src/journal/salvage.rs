//! Copying what can be read out of a damaged journal into a new one.
//!
//! The damaged files are never written to: a copy of them is made beside the new journal, and what is wrong
//! with the whole of it is put right there: a first page that is gone is taken from an empty journal (tables
//! lie at the same places in all of them), a file that was cut off is given its length back, a torn log is
//! joined. Then each table is read in the order of its keys, around pages that cannot be read.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use tempfile::TempDir;
use thiserror::Error;

use super::entry::{Name, Stamp};
use super::log;
use super::open::log_path;
use super::reader::run_of;
use super::retention::Reason;
use super::schema::{self, APPLICATION_ID, FIRST_QEMU_NAME, STEPS};
use super::{Entry, LoadError, Loader, Note, OpenError, Run};
use crate::limits::{PAGE_BYTES, SALVAGE_LEAP_MAX};

/// Why nothing could be salvaged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SalvageError {
    /// The new journal is there already.
    #[error("{} is there already; name a file that is not", .0.display())]
    Exists(PathBuf),
    /// The file system said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The new journal cannot be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new journal cannot be written.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What is left is not enough to find a table in.
    #[error("{}: nothing in it can be read: {source}", path.display())]
    Hopeless {
        /// The damaged journal.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Salvaged {
    /// Records that are in the new journal.
    pub records: u64,
    /// Numbers that should be there and could not be read, first and last of each stretch.
    pub lost: Vec<(u64, u64)>,
    /// What was found and put right, in words.
    pub mended: Vec<String>,
}

/// Copies what can be read out of `old` into `new`. `progress` is told of the records so far.
///
/// # Errors
/// When the new journal cannot be made or written, or nothing can be read.
pub fn salvage(
    old: &Path,
    new: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Salvaged, SalvageError> {
    if new.exists() {
        return Err(SalvageError::Exists(new.to_path_buf()));
    }
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |source| SalvageError::Io { path, source }
    };
    let folder = new
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let dir = TempDir::with_prefix_in(".qwatch-salvage-", folder).map_err(at(folder))?;
    let copy = dir.path().join("damaged.db");
    fs::copy(old, &copy).map_err(at(old))?;
    let mut salvaged = Salvaged::default();
    if fs::exists(log_path(old)).unwrap_or(false) {
        fs::copy(log_path(old), log_path(&copy)).map_err(at(old))?;
        mend_log(&log_path(&copy), &mut salvaged).map_err(at(old))?;
    }
    mend_file(&copy, &mut salvaged).map_err(at(old))?;
    let hopeless = |source| SalvageError::Hopeless {
        path: old.to_path_buf(),
        source,
    };
    let source = Source::open(&copy).map_err(hopeless)?;
    let mut loader = Loader::with_reason(new, Reason::Damage)?;
    source.copy(&mut loader, &mut salvaged, progress)?;
    salvaged.records = loader.finish()?.records;
    Ok(salvaged)
}

fn mend_log(path: &Path, salvaged: &mut Salvaged) -> io::Result<()> {
    let found = log::join(path)?;
    if found.headless {
        salvaged
            .mended
            .push("the header of the log is damaged: what is only in the log is lost".to_owned());
        fs::remove_file(path)?;
    } else if found.is_torn() {
        salvaged.mended.push(format!(
            "the log is torn: {} pages behind the tear are read all the same",
            found.frames_behind_tear
        ));
    }
    Ok(())
}

/// Puts right what would keep SQLite from opening the file at all.
fn mend_file(path: &Path, salvaged: &mut Salvaged) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut header = [0; 100];
    let length = file.metadata()?.len();
    let whole = length >= 100 && file.read_exact_at(&mut header, 0).is_ok();
    let number = |at: usize| {
        let mut word = [0; 4];
        word.copy_from_slice(&header[at..at + 4]);
        u32::from_be_bytes(word)
    };
    let page = PAGE_BYTES as u64;
    // A journal is told by its first page: SQLite's words, our page size, our letters.
    let recognised = whole
        && header.starts_with(b"SQLite format 3\0")
        && (number(16) >> 16) as usize == PAGE_BYTES
        && number(68).cast_signed() == APPLICATION_ID;
    if !recognised {
        file.write_all_at(&first_page()?, 0)?;
        salvaged.mended.push(
            "the first page is gone: that of an empty journal was put in its place".to_owned(),
        );
    }
    let pages_told = if recognised { u64::from(number(28)) } else { 0 };
    let wanted = (pages_told * page).max(length.next_multiple_of(page));
    if wanted > length {
        salvaged.mended.push(format!(
            "the file was cut off: {length} of {wanted} bytes are there"
        ));
        file.set_len(wanted)?;
    }
    if !recognised {
        let pages = u32::try_from(wanted / page).unwrap_or(u32::MAX);
        file.write_all_at(&pages.to_be_bytes(), 28)?;
    }
    Ok(())
}

/// The first page of an empty journal of today's layout, in which SQLite keeps where the tables are.
fn first_page() -> io::Result<Vec<u8>> {
    let dir = TempDir::with_prefix("qwatch-")?;
    let path = dir.path().join("empty.db");
    let made = || -> rusqlite::Result<()> {
        let mut conn = Connection::open(&path)?;
        conn.pragma_update(None, "page_size", PAGE_BYTES as i64)?;
        schema::migrate(&mut conn, STEPS)
    };
    made().map_err(io::Error::other)?;
    let mut page = vec![0; PAGE_BYTES];
    File::open(&path)?.read_exact_at(&mut page, 0)?;
    Ok(page)
}

/// The mended copy.
struct Source {
    conn: Connection,
}

impl Source {
    fn open(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        // A file that is not as long as it says is read as far as it goes.
        conn.pragma_update(None, "writable_schema", "ON")?;
        conn.pragma_update(None, "cell_size_check", "ON")?;
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(Self { conn })
    }

    fn copy(
        &self,
        loader: &mut Loader,
        salvaged: &mut Salvaged,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), SalvageError> {
        let names = self.names();
        let machines: BTreeMap<i64, String> = self.dictionary("machine");
        self.walk(
            "SELECT id, machine, uuid, pid, started, version, package, address, attached, detached, ended \
             FROM run WHERE id > ?1 ORDER BY id",
            &mut |row| {
                let machine: i64 = row.get(1)?;
                let unknown = format!("lost-machine-{machine}");
                let run = read_run(row)?;
                let machine = machines.get(&machine).unwrap_or(&unknown);
                Ok(loader.run(machine, &run).is_ok())
            },
        );
        let thinned = self
            .conn
            .query_row("SELECT thinned FROM journal", [], |row| {
                row.get::<_, i64>(0)
            })
            .unwrap_or(0);
        let mut last = 0;
        let mut failed = None;
        let mut holes = Vec::new();
        self.walk(
            "SELECT seq, run, name, stamp, lag, data, raw FROM event WHERE seq > ?1 ORDER BY seq",
            &mut |row| {
                let seq: i64 = row.get(0)?;
                let (run, entry) = read_entry(row, &names)?;
                let result = note_hole(loader, (last, seq, thinned), &mut holes)
                    .and_then(|()| loader.entry(run.unsigned_abs(), seq, entry));
                last = seq;
                if last % 4096 == 0 {
                    progress(last.unsigned_abs());
                }
                failed = result.err();
                Ok(failed.is_none())
            },
        );
        if let Some(error) = failed {
            return Err(error.into());
        }
        salvaged.lost = holes;
        if let Some(end) = self.last_known()
            && end > last
        {
            salvaged
                .lost
                .push((last.unsigned_abs() + 1, end.unsigned_abs()));
        }
        Ok(())
    }

    /// The highest number that any table knows of.
    fn last_known(&self) -> Option<i64> {
        let ask = |sql: &str| {
            self.conn
                .query_row(sql, [], |row| row.get::<_, Option<i64>>(0))
                .optional()
                .ok()??
        };
        ask("SELECT placed FROM journal").max(ask("SELECT max(seq) FROM event"))
    }

    /// Names by number; those of the notes are known in any case.
    fn names(&self) -> BTreeMap<i64, Name> {
        let mut names: BTreeMap<i64, Name> = self
            .dictionary("name")
            .into_iter()
            .filter(|(id, _)| *id >= FIRST_QEMU_NAME)
            .map(|(id, name)| (id, Name::Qemu(name)))
            .collect();
        names.extend(Note::ALL.map(|note| (note.number(), Name::Note(note))));
        names
    }

    fn dictionary(&self, table: &str) -> BTreeMap<i64, String> {
        let mut found = BTreeMap::new();
        let sql = format!("SELECT id, name FROM {table} WHERE id > ?1 ORDER BY id");
        self.walk(&sql, &mut |row| {
            found.insert(row.get(0)?, row.get(1)?);
            Ok(true)
        });
        found
    }

    /// Reads rows in the order of their keys, leaping over what cannot be read. The first column is the key,
    /// the parameter the key behind which to go on. `take` says whether to.
    fn walk(&self, sql: &str, take: &mut dyn FnMut(&Row<'_>) -> rusqlite::Result<bool>) {
        let mut above = i64::MIN;
        loop {
            match self.walk_on(sql, &mut above, take) {
                Ok(()) => return,
                Err(_) => match self.leap(sql, above) {
                    Some(further) => above = further,
                    None => return,
                },
            }
        }
    }

    /// Reads until the end, or until something cannot be read.
    fn walk_on(
        &self,
        sql: &str,
        above: &mut i64,
        take: &mut dyn FnMut(&Row<'_>) -> rusqlite::Result<bool>,
    ) -> rusqlite::Result<()> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([*above])?;
        while let Some(row) = rows.next()? {
            let key: i64 = row.get(0)?;
            match take(row) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                // This row is broken, not what follows it.
                Err(_) => {}
            }
            *above = key;
        }
        Ok(())
    }

    /// The nearest key above this one from which on something can be read.
    fn leap(&self, sql: &str, above: i64) -> Option<i64> {
        let readable = |key: i64| -> Option<bool> {
            let mut statement = self.conn.prepare_cached(sql).ok()?;
            let mut rows = statement.query([key]).ok()?;
            rows.next().ok().map(|row| row.is_some())
        };
        let base = above.max(0);
        let mut bad = base;
        let mut length = 1;
        let good = loop {
            let key = base.checked_add(length)?;
            match readable(key) {
                Some(true) => break key,
                Some(false) => return None,
                None if length > SALVAGE_LEAP_MAX => return None,
                None => bad = key,
            }
            length *= 2;
        };
        let (mut bad, mut good) = (bad, good);
        while good - bad > 1 {
            let middle = bad + (good - bad) / 2;
            match readable(middle) {
                Some(true) => good = middle,
                _ => bad = middle,
            }
        }
        Some(good)
    }
}

/// Takes note of numbers that are missing before a record: removed once, or lost now.
fn note_hole(
    loader: &mut Loader,
    (last, seq, thinned): (i64, i64, i64),
    lost: &mut Vec<(u64, u64)>,
) -> Result<(), LoadError> {
    if seq <= last + 1 {
        return Ok(());
    }
    if seq <= thinned {
        // Which of them were removed and which are lost cannot be told any more.
        return loader.missing(Reason::Age);
    }
    lost.push((last.unsigned_abs() + 1, seq.unsigned_abs() - 1));
    loader.missing(Reason::Damage)
}

fn read_run(row: &Row<'_>) -> rusqlite::Result<Run> {
    // Older layouts count nothing that was removed.
    run_of(row, row.get(0)?)
}

fn read_entry(row: &Row<'_>, names: &BTreeMap<i64, Name>) -> rusqlite::Result<(i64, Entry)> {
    let name: i64 = row.get(2)?;
    let lag: i64 = row.get(4)?;
    let (stamp, received_us) = match row.get::<_, Option<i64>>(3)? {
        Some(super::entry::NO_CLOCK) => (Stamp::NoClock, lag),
        Some(us) => (Stamp::At(us), us.wrapping_add(lag)),
        None => (Stamp::None, lag),
    };
    let (data, raw): (Option<String>, Option<String>) = (row.get(5)?, row.get(6)?);
    // A row may be whole and its text not, where a part of a page is gone.
    let whole = |text: &String| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if !data.as_ref().is_none_or(whole) || !raw.as_ref().is_none_or(whole) {
        return Err(rusqlite::Error::InvalidQuery);
    }
    let entry = Entry {
        received_us,
        stamp,
        name: match names.get(&name) {
            Some(name) => name.clone(),
            None => Name::Qemu(format!("LOST_NAME_{name}")),
        },
        data,
        raw,
    };
    Ok((row.get(1)?, entry))
}
