//! Reading a journal: by its recorder, by other processes, from a copy.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use qmp_events::{Envelope, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use tempfile::TempDir;

use super::entry::{NO_CLOCK, qemus_line};
use super::query::{Query, Records};
use super::removed::{self, Removed};
use super::schema::FIRST_QEMU_NAME;
use super::{OpenError, ReadError, open};
use crate::record::{Origin, Record};

/// A journal open for reading. It never blocks the writer and is never blocked by it.
#[derive(Debug)]
pub struct Reader {
    pub(super) conn: Connection,
    directory: RefCell<Directory>,
    copy: Option<TempDir>,
}

/// A machine, as far as its runs tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Its runs, oldest first; at least one.
    pub runs: Vec<Run>,
}

/// One QEMU process of a machine. Times are microseconds since 1970, UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The journal's number of it.
    pub run: u64,
    /// From `query-uuid`.
    pub uuid: Option<String>,
    /// Process at the other end of the socket.
    pub pid: Option<u32>,
    /// When that process started.
    pub started_us: Option<i64>,
    /// QEMU's version, `7.2.22`.
    pub version: String,
    /// The distribution's mark on it; may be empty.
    pub package: String,
    /// Where it was heard.
    pub address: String,
    /// When it was first attached to.
    pub attached_us: i64,
    /// When it was last detached from; `None` while it is attached.
    pub detached_us: Option<i64>,
    /// How the process ended, in words.
    pub ended: Option<String>,
    /// How many of its records were removed because they were not to be kept longer.
    pub removed: u64,
    /// The latest time among those.
    pub removed_until_us: Option<i64>,
}

/// A stretch of time in which something may have been missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The record that says so.
    pub record: Record,
    /// Last moment that was heard, RFC 3339; `None` if not known.
    pub from: Option<String>,
    /// First moment that was heard again, RFC 3339.
    pub until: Option<String>,
    /// Why nobody was listening.
    pub reason: String,
}

impl Reader {
    /// Opens a journal read-only: one that is being written, one at rest, a copy with or without its log.
    ///
    /// Where the folder cannot be written and a log is left over, the journal is read from a temporary
    /// copy, so that what is only in the log is seen too.
    ///
    /// # Errors
    /// When there is no journal, or not one this qwatch can read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let open::ReadConnection { conn, copy } = open::for_reading(path)?;
        Ok(Self {
            conn,
            directory: RefCell::default(),
            copy,
        })
    }

    /// Whether the journal itself is read, so that new records will be seen.
    pub fn is_live(&self) -> bool {
        self.copy.is_none()
    }

    /// Number of the last record, 0 if there is none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn last_seq(&self) -> Result<u64, ReadError> {
        let last: i64 = self
            .conn
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM event")?
            .query_row([], |row| row.get(0))?;
        Ok(last.max(0).unsigned_abs())
    }

    /// Number of the last record that the index by run has.
    pub(super) fn last_placed(&self) -> Result<i64, ReadError> {
        let mut statement = self.conn.prepare_cached("SELECT placed FROM journal")?;
        Ok(statement
            .query_row([], |row| row.get(0))
            .optional()?
            .unwrap_or(0))
    }

    /// The records a query wants, a few at a time.
    ///
    /// It ends with the last record there is now; ask again with [`Query::after`] for what came since.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn records(&self, query: &Query<'_>) -> Result<Records<'_>, ReadError> {
        Records::new(self, query)
    }

    /// All machines with their runs, by name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn machines(&self) -> Result<Vec<Machine>, ReadError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT m.name, r.id, r.uuid, r.pid, r.started, r.version, r.package, r.address, \
                r.attached, r.detached, r.ended, coalesce(t.removed, 0), t.removed_until \
             FROM machine m JOIN run r ON r.machine = m.id LEFT JOIN tally t ON t.run = r.id \
             ORDER BY m.name, r.id",
        )?;
        let mut rows = statement.query([])?;
        let mut machines: Vec<Machine> = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let run = read_run(row)?;
            match machines.last_mut() {
                Some(machine) if machine.name == name => machine.runs.push(run),
                _ => machines.push(Machine {
                    name,
                    runs: vec![run],
                }),
            }
        }
        Ok(machines)
    }

    /// How many records a run has.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn count(&self, run: u64) -> Result<u64, ReadError> {
        let count: i64 = self
            .conn
            .prepare_cached("SELECT events FROM runs WHERE run = ?1")?
            .query_row([run.cast_signed()], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// All gaps, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn gaps(&self) -> Result<Vec<Gap>, ReadError> {
        let gap = |name: &str| name == super::Note::Gap.name();
        let query = Query::default().events(&gap);
        self.records(&query)?
            .filter(|record| record.as_ref().map_or(true, |r| r.origin == Origin::Qwatch))
            .map(|record| record.map(Gap::new))
            .collect()
    }

    /// The line as QEMU sent it; `None` if there is no such record or it is a note of the recorder.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn line(&self, seq: u64) -> Result<Option<String>, ReadError> {
        let raw = self
            .conn
            .prepare_cached("SELECT raw FROM event WHERE seq = ?1")?
            .query_row([seq.cast_signed()], |row| row.get::<_, Option<String>>(0))
            .optional()?;
        match raw {
            None => Ok(None),
            Some(Some(raw)) => Ok(Some(raw)),
            Some(None) => Ok(self.record(seq.cast_signed())?.and_then(|record| {
                let stamp = record.timestamp?;
                Some(qemus_line(stamp, &record.name, record.data.as_deref()))
            })),
        }
    }

    /// Records that are next to each other in the file have numbers next to each other, but for those
    /// that were removed on purpose: each block of numbers knows how many it has lost.
    ///
    /// While a statement of the caller is under way this sees the same state of the file.
    pub(super) fn check_neighbours(&self, before: Option<i64>, seq: i64) -> Result<(), ReadError> {
        let Some(before) = before else {
            return Ok(());
        };
        let (first, last) = (before.min(seq) + 1, before.max(seq) - 1);
        if first > last {
            return Ok(());
        }
        let missing = removed::unexplained(&self.conn, first, last)?;
        match missing {
            None => Ok(()),
            Some(expected) => Err(ReadError::Hole {
                expected: expected.max(0).unsigned_abs(),
                found: seq,
            }),
        }
    }

    /// What was removed on purpose, all in all.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn removed(&self) -> Result<Removed, ReadError> {
        Ok(removed::total(&self.conn)?)
    }

    /// What was kept of a record besides what [`Record`] says: the whole line, if it is not what QEMU would
    /// print for stamp, name and data.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn raw(&self, seq: u64) -> Result<Option<String>, ReadError> {
        let raw = self
            .conn
            .prepare_cached("SELECT raw FROM event WHERE seq = ?1")?
            .query_row([seq.cast_signed()], |row| row.get::<_, Option<String>>(0))
            .optional()?;
        Ok(raw.flatten())
    }

    /// One record by number.
    pub(super) fn record(&self, seq: i64) -> Result<Option<Record>, ReadError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT seq, run, name, stamp, lag, data, raw FROM event WHERE seq = ?1",
        )?;
        let mut rows = statement.query(params![seq])?;
        match rows.next()? {
            Some(row) => self.read_record(row).map(Some),
            None => Ok(None),
        }
    }

    /// A record from the columns `seq, run, name, stamp, lag, data, raw`.
    pub(super) fn read_record(&self, row: &Row<'_>) -> Result<Record, ReadError> {
        let seq: i64 = row.get(0)?;
        let damaged = |what| ReadError::Damaged { seq, what };
        let run: i64 = row.get(1)?;
        let name: i64 = row.get(2)?;
        let stamp: Option<i64> = row.get(3)?;
        let lag: i64 = row.get(4)?;
        let machine = self.machine_of(run)?.ok_or(damaged("an unknown run"))?;
        let origin = origin_of(name);
        let (timestamp, received_us) = match stamp {
            Some(NO_CLOCK) => (Some(Timestamp::UNKNOWN), lag),
            Some(us) => (Some(Timestamp::from_unix_micros(us)), us.wrapping_add(lag)),
            None => {
                let raw: Option<String> = row.get(6)?;
                let stamp = raw.and_then(|raw| Envelope::read(&raw).ok()?.timestamp);
                (stamp, lag)
            }
        };
        Ok(Record {
            seq: Some(u64::try_from(seq).map_err(|_| damaged("a negative number"))?),
            machine,
            run: Some(u64::try_from(run).map_err(|_| damaged("a negative run"))?),
            origin,
            name: self.name_of(name)?.ok_or(damaged("an unknown name"))?,
            timestamp,
            received_us,
            data: row.get(5)?,
        })
    }

    /// Numbers of the runs of the machines that pass, and whether those are all runs.
    pub(super) fn runs_where(
        &self,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<(Vec<i64>, bool), ReadError> {
        self.refresh()?;
        let directory = self.directory.borrow();
        let runs = directory.runs.iter();
        let some: Vec<i64> = runs
            .filter(|(_, m)| wanted(m))
            .map(|(&run, _)| run)
            .collect();
        let all = some.len() == directory.runs.len();
        Ok((some, all))
    }

    /// Numbers of the names that pass.
    pub(super) fn names_where(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<i64>, ReadError> {
        self.refresh()?;
        let directory = self.directory.borrow();
        let names = directory.names.iter();
        Ok(names
            .filter(|(_, n)| wanted(n))
            .map(|(&name, _)| name)
            .collect())
    }

    fn machine_of(&self, run: i64) -> Result<Option<String>, ReadError> {
        if !self.directory.borrow().runs.contains_key(&run) {
            self.refresh()?;
        }
        Ok(self.directory.borrow().runs.get(&run).cloned())
    }

    fn name_of(&self, name: i64) -> Result<Option<String>, ReadError> {
        if !self.directory.borrow().names.contains_key(&name) {
            self.refresh()?;
        }
        Ok(self.directory.borrow().names.get(&name).cloned())
    }

    /// Reads the runs and names that were added since the last time.
    fn refresh(&self) -> Result<(), ReadError> {
        let mut directory = self.directory.borrow_mut();
        let Directory {
            runs,
            names,
            last_run,
            last_name,
        } = &mut *directory;
        let added =
            "SELECT r.id, m.name FROM run r JOIN machine m ON m.id = r.machine WHERE r.id > ?1";
        read_added(&self.conn, added, last_run, runs)?;
        read_added(
            &self.conn,
            "SELECT id, name FROM name WHERE id > ?1",
            last_name,
            names,
        )?;
        Ok(())
    }
}

/// What the numbers in the rows of `event` stand for. Runs and names are only ever added.
#[derive(Debug, Default)]
struct Directory {
    runs: HashMap<i64, String>,
    names: HashMap<i64, String>,
    last_run: i64,
    last_name: i64,
}

impl Gap {
    /// Reads the gap out of its record.
    pub fn new(record: Record) -> Self {
        let data: serde_json::Value = record
            .data
            .as_deref()
            .and_then(|data| serde_json::from_str(data).ok())
            .unwrap_or_default();
        let text = |member: &str| data.get(member)?.as_str().map(str::to_owned);
        Self {
            from: text("from"),
            until: text("until"),
            reason: text("reason").unwrap_or_default(),
            record,
        }
    }
}

fn origin_of(name: i64) -> Origin {
    if name < FIRST_QEMU_NAME {
        Origin::Qwatch
    } else {
        Origin::Qemu
    }
}

fn read_added(
    conn: &Connection,
    sql: &str,
    last: &mut i64,
    into: &mut HashMap<i64, String>,
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([*last])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        into.insert(id, row.get(1)?);
        *last = id.max(*last);
    }
    Ok(())
}

fn read_run(row: &Row<'_>) -> rusqlite::Result<Run> {
    Ok(Run {
        removed: row.get::<_, i64>(11)?.unsigned_abs(),
        removed_until_us: row.get(12)?,
        ..run_of(row, row.get(1)?)?
    })
}

/// The run of this number, out of the columns from `uuid` to `ended` of its table, which are the third to
/// the eleventh of the row.
pub(super) fn run_of(row: &Row<'_>, run: i64) -> rusqlite::Result<Run> {
    Ok(Run {
        run: run.unsigned_abs(),
        uuid: row.get(2)?,
        pid: row.get(3)?,
        started_us: row.get(4)?,
        version: row.get(5)?,
        package: row.get(6)?,
        address: row.get(7)?,
        attached_us: row.get(8)?,
        detached_us: row.get(9)?,
        ended: row.get(10)?,
        ..Run::default()
    })
}
