//! The writing side of the file: one transaction at a time, all or nothing.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{
    CachedStatement, Connection, OptionalExtension, Transaction, TransactionBehavior, params,
};

use super::entry::{Entry, Name, Note};
use super::places::Places;
use super::schema::FIRST_QEMU_NAME;
use super::{
    KeptConnection, Mark, OpenError, OpenedRun, RunEnd, RunId, RunInfo, Settings, Snapshot,
    connection, open,
};
use crate::limits::{NAME_CACHE_MAX_ENTRIES, SAME_START_US, ZONE_RECORDS};
use crate::time;

/// The only writing connection, and what it remembers between transactions.
pub(super) struct Store {
    conn: Connection,
    last_seq: i64,
    names: HashMap<String, i64>,
    zone: Option<Zone>,
    places: Places,
    /// Connections that were handed over by an earlier process.
    kept: Vec<KeptConnection>,
}

/// What one request does to the file.
pub(super) enum Change<'r> {
    /// Open a run.
    Open(&'r RunInfo),
    /// Append records to a run and perhaps end its attachment.
    Append {
        run: RunId,
        entries: &'r [Entry],
        end: Option<&'r RunEnd>,
        mark: Option<&'r Mark>,
    },
    /// Keep a snapshot of a state.
    Keep(&'r Snapshot),
}

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The run was opened.
    Opened(OpenedRun),
    /// The records have the numbers `after + 1 ..= last`.
    Appended { after: u64, last: u64 },
    /// It is kept.
    Kept,
}

/// Earliest and latest time of a block of records, while it grows.
#[derive(Clone, Copy, Debug)]
struct Zone {
    block: i64,
    earliest: i64,
    latest: i64,
}

impl Store {
    /// Opens or makes the file; runs that an earlier process left open are closed, but for those whose
    /// connections were handed over.
    pub(super) fn open(path: &Path, settings: &Settings, now_us: i64) -> Result<Self, OpenError> {
        let conn = open::for_writing(path, settings)?;
        let sqlite = |source| OpenError::Sqlite {
            path: path.to_path_buf(),
            source,
        };
        let mut store = Self {
            conn,
            last_seq: 0,
            names: HashMap::new(),
            zone: None,
            places: Places::default(),
            kept: Vec::new(),
        };
        store.load(now_us).map_err(sqlite)?;
        store.kept = connection::load(&mut store.conn, &settings.handed_over).map_err(sqlite)?;
        store.close_left_open(now_us).map_err(sqlite)?;
        Ok(store)
    }

    /// The connections to go on with; given once.
    pub(super) fn take_kept(&mut self) -> Vec<KeptConnection> {
        std::mem::take(&mut self.kept)
    }

    /// Number of the last record, 0 if there is none.
    pub(super) fn last_seq(&self) -> u64 {
        self.last_seq.unsigned_abs()
    }

    /// Carries the changes out in one transaction; nothing is remembered of one that fails.
    pub(super) fn commit(&mut self, changes: &[Change<'_>]) -> rusqlite::Result<Vec<Outcome>> {
        let before = (self.last_seq, self.zone);
        let result = self.transact(changes);
        if result.is_err() {
            (self.last_seq, self.zone) = before;
            self.names.clear();
            self.places.forget_after(self.last_seq);
        }
        result
    }

    /// Writes the index by run if it lags by more than `above` records.
    pub(super) fn settle(&mut self, above: usize) -> rusqlite::Result<()> {
        if self.places.len() <= above {
            return Ok(());
        }
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.places.write(&tx, self.last_seq)?;
        tx.commit()?;
        self.places.clear();
        Ok(())
    }

    /// Moves the log into the file as far as readers allow; true if all of it was moved.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<bool> {
        self.conn
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
                let (log, moved): (i64, i64) = (row.get(1)?, row.get(2)?);
                Ok(log == moved)
            })
    }

    /// Runs SQL on the writing connection, to bring about failures.
    #[cfg(test)]
    pub(super) fn execute(&self, sql: &str) {
        self.conn.execute_batch(sql).expect("a statement of a test");
    }

    fn transact(&mut self, changes: &[Change<'_>]) -> rusqlite::Result<Vec<Outcome>> {
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut outcomes = Vec::with_capacity(changes.len());
        {
            let mut appender = Appender {
                insert: tx.prepare_cached(
                    "INSERT INTO event(seq, run, name, stamp, lag, data, raw) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?,
                tx: &tx,
                last_seq: &mut self.last_seq,
                names: &mut self.names,
                zone: &mut self.zone,
                places: &mut self.places,
            };
            for change in changes {
                outcomes.push(match change {
                    Change::Open(info) => Outcome::Opened(open_run(&tx, info, appender.places)?),
                    Change::Keep(snapshot) => {
                        snapshot.write(&tx)?;
                        Outcome::Kept
                    }
                    Change::Append {
                        run,
                        entries,
                        end,
                        mark,
                    } => {
                        let after = appender.last_seq.unsigned_abs();
                        appender.append(*run, entries)?;
                        if let Some(end) = end {
                            end_run(&tx, *run, end)?;
                        }
                        if let Some(mark) = mark {
                            connection::mark(&tx, *run, mark)?;
                        }
                        let last = appender.last_seq.unsigned_abs();
                        assert_eq!(
                            last - after,
                            entries.len() as u64,
                            "one number for each record"
                        );
                        Outcome::Appended { after, last }
                    }
                });
            }
            appender.finish()?;
        }
        let settle = self.places.are_due();
        if settle {
            self.places.write(&tx, self.last_seq)?;
        }
        tx.commit()?;
        if settle {
            self.places.clear();
        }
        Ok(outcomes)
    }

    fn load(&mut self, now_us: i64) -> rusqlite::Result<()> {
        self.conn.execute(
            "INSERT INTO journal(id, created, placed) SELECT lower(hex(randomblob(16))), ?1, 0 \
             WHERE NOT EXISTS (SELECT 1 FROM journal)",
            [now_us],
        )?;
        self.last_seq =
            self.conn
                .query_row("SELECT coalesce(max(seq), 0) FROM event", [], |row| {
                    row.get(0)
                })?;
        self.places = Places::load(&self.conn)?;
        self.zone = self
            .conn
            .query_row(
                "SELECT block, earliest, latest FROM zone ORDER BY block DESC LIMIT 1",
                [],
                |row| {
                    Ok(Zone {
                        block: row.get(0)?,
                        earliest: row.get(1)?,
                        latest: row.get(2)?,
                    })
                },
            )
            .optional()?;
        Ok(())
    }

    /// A run without an end was being recorded when its recorder was killed.
    fn close_left_open(&mut self, now_us: i64) -> rusqlite::Result<()> {
        let open: Vec<(RunId, i64)> = self
            .conn
            .prepare("SELECT id, attached FROM run WHERE detached IS NULL ORDER BY id")?
            .query_map([], |row| Ok((RunId(row.get(0)?), row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let kept: Vec<RunId> = self.kept.iter().map(|kept| kept.run).collect();
        for (run, attached_us) in open.into_iter().filter(|(run, _)| !kept.contains(run)) {
            let last = last_record(&self.conn, &self.places, run)?;
            match last {
                // Opened, and killed before the first record: nothing was read off the socket.
                None => self.forget_run(run)?,
                Some(last) if last.is_detached => {
                    let end = RunEnd {
                        detached_us: last.received_us,
                        ended: None,
                    };
                    self.commit(&[Change::Append {
                        run,
                        entries: &[],
                        end: Some(&end),
                        mark: None,
                    }])?;
                }
                Some(_) => self.close_run(run, attached_us, now_us)?,
            }
        }
        Ok(())
    }

    fn close_run(&mut self, run: RunId, attached_us: i64, now_us: i64) -> rusqlite::Result<()> {
        let heard = heard_until(&self.conn, &self.places, run)?.unwrap_or(attached_us);
        let data = serde_json::json!({
            "reason": LEFT_OPEN,
            "heard_until": time::rfc3339(heard),
        });
        let end = RunEnd {
            detached_us: heard,
            ended: None,
        };
        self.commit(&[Change::Append {
            run,
            entries: &[Entry::note(Note::Detached, data.to_string(), now_us)],
            end: Some(&end),
            mark: None,
        }])?;
        Ok(())
    }

    fn forget_run(&mut self, run: RunId) -> rusqlite::Result<()> {
        let tx = self.conn.transaction()?;
        tx.execute("DELETE FROM run WHERE id = ?1", [run.0])?;
        tx.execute(
            "DELETE FROM machine WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.machine = machine.id)",
            [],
        )?;
        tx.commit()
    }
}

/// Why the end of a run is not known.
const LEFT_OPEN: &str = "the recorder ended without a word (killed, crashed, or the host went down; \
    or stopped by a service manager that has not kept the connection)";

/// The rows of one transaction.
struct Appender<'t> {
    insert: CachedStatement<'t>,
    tx: &'t Transaction<'t>,
    last_seq: &'t mut i64,
    names: &'t mut HashMap<String, i64>,
    zone: &'t mut Option<Zone>,
    places: &'t mut Places,
}

impl Appender<'_> {
    fn append(&mut self, run: RunId, entries: &[Entry]) -> rusqlite::Result<()> {
        for entry in entries {
            let name = match &entry.name {
                Name::Note(note) => note.number(),
                Name::Qemu(name) => self.name_number(name)?,
            };
            let seq = *self.last_seq + 1;
            self.note_time(seq, entry.time_us())?;
            let (stamp, lag) = entry.clock();
            self.insert
                .execute(params![seq, run.0, name, stamp, lag, entry.data, entry.raw])?;
            self.places.add(run.0, seq);
            *self.last_seq = seq;
        }
        Ok(())
    }

    fn name_number(&mut self, name: &str) -> rusqlite::Result<i64> {
        if let Some(&number) = self.names.get(name) {
            return Ok(number);
        }
        let known = self
            .tx
            .prepare_cached("SELECT id FROM name WHERE id >= ?1 AND name = ?2")?
            .query_row(params![FIRST_QEMU_NAME, name], |row| row.get(0))
            .optional()?;
        let number = match known {
            Some(number) => number,
            None => self
                .tx
                .prepare_cached(
                    "INSERT INTO name(id, name) SELECT max(max(id) + 1, ?1), ?2 FROM name RETURNING id",
                )?
                .query_row(params![FIRST_QEMU_NAME, name], |row| row.get(0))?,
        };
        if self.names.len() >= NAME_CACHE_MAX_ENTRIES {
            self.names.clear();
        }
        self.names.insert(name.to_owned(), number);
        Ok(number)
    }

    fn note_time(&mut self, seq: i64, time_us: i64) -> rusqlite::Result<()> {
        let block = seq / ZONE_RECORDS.cast_signed();
        match self.zone {
            Some(zone) if zone.block == block => {
                zone.earliest = zone.earliest.min(time_us);
                zone.latest = zone.latest.max(time_us);
            }
            _ => {
                self.finish()?;
                *self.zone = Some(Zone {
                    block,
                    earliest: time_us,
                    latest: time_us,
                });
            }
        }
        Ok(())
    }

    /// Writes the block that is growing.
    fn finish(&mut self) -> rusqlite::Result<()> {
        if let Some(zone) = self.zone {
            self.tx
                .prepare_cached(
                    "INSERT OR REPLACE INTO zone(block, earliest, latest) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![zone.block, zone.earliest, zone.latest])?;
        }
        Ok(())
    }
}

struct LastRun {
    id: i64,
    pid: Option<u32>,
    started_us: Option<i64>,
    detached_us: Option<i64>,
}

/// Goes on with the machine's last run if it is the same process, else begins one.
fn open_run(tx: &Transaction<'_>, info: &RunInfo, places: &Places) -> rusqlite::Result<OpenedRun> {
    tx.prepare_cached("INSERT OR IGNORE INTO machine(name) VALUES (?1)")?
        .execute([&info.machine])?;
    let machine: i64 = tx
        .prepare_cached("SELECT id FROM machine WHERE name = ?1")?
        .query_row([&info.machine], |row| row.get(0))?;
    let last = tx
        .prepare_cached(
            "SELECT id, pid, started, detached FROM run WHERE machine = ?1 ORDER BY id DESC LIMIT 1",
        )?
        .query_row([machine], |row| {
            Ok(LastRun {
                id: row.get(0)?,
                pid: row.get(1)?,
                started_us: row.get(2)?,
                detached_us: row.get(3)?,
            })
        })
        .optional()?;
    let heard_until_us = match &last {
        None => None,
        Some(run) => match run.detached_us {
            Some(us) => Some(us),
            None => heard_until(tx, places, RunId(run.id))?,
        },
    };
    let same = last.filter(|run| match (run.started_us, info.started_us) {
        (Some(then), Some(now)) => {
            run.pid == info.pid && then.abs_diff(now) < SAME_START_US.unsigned_abs()
        }
        _ => false,
    });
    let run = match &same {
        Some(run) => {
            tx.prepare_cached(
                "UPDATE run SET detached = NULL, ended = NULL, address = ?2 WHERE id = ?1",
            )?
            .execute(params![run.id, info.address])?;
            run.id
        }
        None => insert_run(tx, machine, info)?,
    };
    Ok(OpenedRun {
        run: RunId(run),
        continued: same.is_some(),
        heard_until_us,
    })
}

fn insert_run(tx: &Transaction<'_>, machine: i64, info: &RunInfo) -> rusqlite::Result<i64> {
    tx.prepare_cached(
        "INSERT INTO run(machine, uuid, pid, started, version, package, address, attached) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .insert(params![
        machine,
        info.uuid,
        info.pid,
        info.started_us,
        info.version,
        info.package,
        info.address,
        info.attached_us
    ])
}

fn end_run(tx: &Transaction<'_>, run: RunId, end: &RunEnd) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE run SET detached = ?2, ended = ?3 WHERE id = ?1")?
        .execute(params![run.0, end.detached_us, end.ended])?;
    Ok(())
}

/// The last record of a run.
struct LastRecord {
    received_us: i64,
    is_detached: bool,
}

fn last_record(
    conn: &Connection,
    places: &Places,
    run: RunId,
) -> rusqlite::Result<Option<LastRecord>> {
    let seq = last_seq_of(conn, places, run)?;
    conn.prepare_cached(
        "SELECT lag + iif(stamp = -1, 0, coalesce(stamp, 0)), name FROM event WHERE seq = ?1",
    )?
    .query_row([seq], |row| {
        Ok(LastRecord {
            received_us: row.get(0)?,
            is_detached: row.get::<_, i64>(1)? == Note::Detached.number(),
        })
    })
    .optional()
}

/// From when on something of a run that has no end may be missing, microseconds since 1970: when the last
/// event that was recorded happened, or before any was, when it was attached to. When they were received is
/// too late: others that happened before that were still in the socket.
fn heard_until(conn: &Connection, places: &Places, run: RunId) -> rusqlite::Result<Option<i64>> {
    let seq = last_seq_of(conn, places, run)?;
    conn.prepare_cached(
        "SELECT min(lag + iif(stamp = -1, 0, coalesce(stamp, 0)), \
             iif(stamp = -1, lag, coalesce(stamp, lag))) \
         FROM event WHERE run = ?1 AND seq <= ?2 AND name <> ?3 ORDER BY seq DESC LIMIT 1",
    )?
    .query_row(params![run.0, seq, Note::State.number()], |row| row.get(0))
    .optional()
}

fn last_seq_of(conn: &Connection, places: &Places, run: RunId) -> rusqlite::Result<Option<i64>> {
    match places.last_of(run.0) {
        Some(seq) => Ok(Some(seq)),
        None => conn
            .prepare_cached("SELECT max(seq) FROM place WHERE run = ?1")?
            .query_row([run.0], |row| row.get(0)),
    }
}
