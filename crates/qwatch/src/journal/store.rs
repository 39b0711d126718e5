//! The writing side of the file: one transaction at a time, all or nothing.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{
    CachedStatement, Connection, OptionalExtension, Transaction, TransactionBehavior, params,
};

use super::entry::{Entry, Name, Note};
use super::places::Places;
use super::retention::{self, Access, Reason, Retainer};
use super::schema::FIRST_QEMU_NAME;
use super::{
    KeptConnection, Mark, OpenError, OpenedRun, Run, RunEnd, RunId, RunInfo, Settings, Snapshot,
    connection, open,
};
use crate::limits::{
    NAME_CACHE_MAX_ENTRIES, PAGE_BYTES, PLACES_QUIET, SAME_START_US, ZONE_RECORDS,
};
use crate::time;

/// The only writing connection, and what it remembers between transactions.
pub(super) struct Store {
    conn: Connection,
    last_seq: i64,
    names: HashMap<String, i64>,
    zone: Option<Zone>,
    places: Places,
    /// Number of the last record that the index by run has.
    placed: i64,
    /// Connections that were handed over by an earlier process.
    kept: Vec<KeptConnection>,
}

/// What one request does to the file.
pub(super) enum Change<'r> {
    /// Open a run.
    Open(&'r RunInfo),
    /// Leave out the numbers up to this one: their records are not to be had.
    Skip { to: i64, reason: Reason },
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
    /// Numbers of it that were left out, and are not written down yet.
    skipped: i64,
}

impl Zone {
    fn new(block: i64) -> Self {
        Self {
            block,
            earliest: i64::MAX,
            latest: i64::MIN,
            skipped: 0,
        }
    }
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
            placed: 0,
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
        self.placed = self.last_seq;
        self.places.clear();
        Ok(())
    }

    /// One step of removing what is no longer to be kept.
    pub(super) fn retain(
        &mut self,
        retainer: &mut Retainer,
        rows: usize,
        now_us: i64,
    ) -> rusqlite::Result<()> {
        if retainer.begins() {
            let due = self.is_unplaced_due(retainer, now_us)?;
            self.settle(if due { 0 } else { PLACES_QUIET })?;
        }
        let access = Access {
            conn: &mut self.conn,
            places: &self.places,
            last_seq: self.last_seq,
            placed: self.placed,
            now_us,
        };
        retainer.step(access, rows)
    }

    /// Makes a run as another journal had it.
    pub(super) fn load_run(&mut self, machine: &str, run: &Run) -> rusqlite::Result<RunId> {
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let info = RunInfo {
            machine: machine.to_owned(),
            uuid: run.uuid.clone(),
            pid: run.pid,
            started_us: run.started_us,
            version: run.version.clone(),
            package: run.package.clone(),
            address: run.address.clone(),
            attached_us: run.attached_us,
        };
        let machine = machine_number(&tx, machine)?;
        let id = RunId(insert_run(&tx, machine, &info)?);
        if let Some(detached_us) = run.detached_us {
            let ended = run.ended.clone();
            end_run(&tx, id, &RunEnd { detached_us, ended })?;
        }
        tx.commit()?;
        Ok(id)
    }

    /// Runs that were being recorded where they came from are not being recorded here.
    pub(super) fn end_loaded_runs(&mut self) -> rusqlite::Result<()> {
        let open: Vec<(RunId, i64)> = open_runs(&self.conn)?;
        for (run, attached_us) in open {
            let last = last_record(&self.conn, &self.places, run)?;
            let detached_us = last.map_or(attached_us, |last| last.received_us);
            self.conn.execute(
                "UPDATE run SET detached = ?2, attached = min(attached, ?2) WHERE id = ?1",
                params![run.0, detached_us],
            )?;
        }
        Ok(())
    }

    /// Moves the log into the file as far as readers allow.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<()> {
        self.conn
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }

    /// Bytes of the log that are not in the file yet; 0 if nobody knows.
    pub(super) fn log_bytes(&self) -> usize {
        let pages = self
            .conn
            .prepare_cached("PRAGMA wal_checkpoint(NOOP)")
            .and_then(|mut ask| {
                ask.query_row([], |row| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?))
            });
        usize::try_from(pages.unwrap_or(0)).unwrap_or(0) * PAGE_BYTES
    }

    /// Runs SQL on the writing connection, to bring about failures.
    #[cfg(test)]
    pub(super) fn execute(&self, sql: &str) {
        self.conn.execute_batch(sql).expect("a statement of a test");
    }

    /// Whether records that the index does not have yet are so old that they are to be removed.
    fn is_unplaced_due(&self, retainer: &Retainer, now_us: i64) -> rusqlite::Result<bool> {
        let Some(age_us) = retainer.shortest_age_us() else {
            return Ok(false);
        };
        let oldest: Option<i64> = self
            .conn
            .prepare_cached(
                "SELECT iif(stamp = -1, lag, coalesce(stamp, lag)) FROM event WHERE seq > ?1 \
                 ORDER BY seq LIMIT 1",
            )?
            .query_row([self.placed], |row| row.get(0))
            .optional()?;
        Ok(oldest.is_some_and(|oldest| oldest.saturating_add(age_us) <= now_us))
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
                    Change::Skip { to, reason } => {
                        let after = appender.last_seq.unsigned_abs();
                        appender.skip(*to, *reason)?;
                        Outcome::Appended { after, last: after }
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
            self.placed = self.last_seq;
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
        retention::mend(&mut self.conn)?;
        self.placed = self
            .conn
            .query_row("SELECT placed FROM journal", [], |row| row.get(0))?;
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
                        skipped: 0,
                    })
                },
            )
            .optional()?;
        Ok(())
    }

    /// A run without an end was being recorded when its recorder was killed.
    fn close_left_open(&mut self, now_us: i64) -> rusqlite::Result<()> {
        let open = open_runs(&self.conn)?;
        let kept: Vec<RunId> = self.kept.iter().map(|kept| kept.run).collect();
        for (run, attached_us) in open.into_iter().filter(|(run, _)| !kept.contains(run)) {
            match last_record(&self.conn, &self.places, run)? {
                // Opened, and killed before the first record: nothing was read off the socket.
                None => self.end_silently(run, attached_us)?,
                Some(last) if last.is_detached => self.end_silently(run, last.received_us)?,
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

    /// Nothing was heard since the last goodbye. (The number of a run is never given again: whoever reads
    /// the journal meanwhile remembers whose it is.)
    fn end_silently(&mut self, run: RunId, detached_us: i64) -> rusqlite::Result<()> {
        let end = RunEnd {
            detached_us,
            ended: None,
        };
        self.commit(&[Change::Append {
            run,
            entries: &[],
            end: Some(&end),
            mark: None,
        }])?;
        Ok(())
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
            self.places.add(run.0, seq, entry.file_bytes());
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
                    earliest: time_us,
                    latest: time_us,
                    ..Zone::new(block)
                });
            }
        }
        Ok(())
    }

    /// Leaves numbers out, up to this one. A block that is left out whole has no row.
    fn skip(&mut self, to: i64, reason: Reason) -> rusqlite::Result<()> {
        let size = ZONE_RECORDS.cast_signed();
        let first = *self.last_seq + 1;
        for block in [first / size, to / size] {
            let (low, high) = (first.max(block * size), to.min((block + 1) * size - 1));
            if high - low + 1 < size && self.zone.is_none_or(|zone| zone.block < block) {
                self.finish()?;
                *self.zone = Some(Zone::new(block));
            }
            if let Some(zone) = self.zone
                && zone.block == block
                && *self.last_seq < high
            {
                zone.skipped += high - low + 1;
                // Both ends may lie in one block.
                *self.last_seq = high;
            }
        }
        *self.last_seq = to;
        let now_us = time::now_us();
        retention::note_removal(self.tx, reason, to - first + 1, (first, to), (None, now_us))
    }

    /// Writes the block that is growing.
    fn finish(&mut self) -> rusqlite::Result<()> {
        if let Some(zone) = self.zone {
            self.tx
                .prepare_cached(
                    "INSERT INTO zone(block, earliest, latest, removed) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT(block) DO UPDATE SET earliest = excluded.earliest, \
                        latest = excluded.latest, removed = removed + excluded.removed",
                )?
                .execute(params![
                    zone.block,
                    zone.earliest,
                    zone.latest,
                    zone.skipped
                ])?;
            zone.skipped = 0;
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
    let machine = machine_number(tx, &info.machine)?;
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
        // It was opened and never heard.
        Some(run) if last_seq_of(tx, places, RunId(run.id))?.is_none() => None,
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

fn machine_number(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<i64> {
    tx.prepare_cached("INSERT OR IGNORE INTO machine(name) VALUES (?1)")?
        .execute([name])?;
    tx.prepare_cached("SELECT id FROM machine WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
}

/// Runs without an end, and since when they are heard.
fn open_runs(conn: &Connection) -> rusqlite::Result<Vec<(RunId, i64)>> {
    conn.prepare("SELECT id, attached FROM run WHERE detached IS NULL ORDER BY id")?
        .query_map([], |row| Ok((RunId(row.get(0)?), row.get(1)?)))?
        .collect()
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
