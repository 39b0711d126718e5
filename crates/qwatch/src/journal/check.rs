//! Looking a journal over: is everything there, and does it fit together?

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::entry::NO_CLOCK;
use super::log::Log;
use super::open::{self, log_path};
use super::schema::{self, FIRST_QEMU_NAME, STEPS};
use super::{OpenError, ReadError};
use crate::limits::{CHECK_FINDINGS_MAX, READ_SPAN_RECORDS, ZONE_RECORDS};

const BLOCK: i64 = ZONE_RECORDS.cast_signed();

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// What is wrong with it; nothing if all is well.
    pub damage: Vec<String>,
}

/// Looks a journal over, a piece at a time. It never writes, and the recorder may go on.
pub struct Check {
    path: PathBuf,
    conn: Connection,
    /// Everything is looked at as it was at one moment.
    _copy: Option<tempfile::TempDir>,
}

/// The pieces, in the order in which they are looked at.
const PIECES: [(&str, Piece); 8] = [
    ("log", Check::log),
    ("file", Check::file),
    ("layout", Check::layout),
    ("views", Check::views),
    ("records", Check::records),
    ("index by run", Check::places),
    ("tallies", Check::tallies),
    ("references", Check::references),
];

type Piece = fn(&Check, &mut Damage, &mut dyn FnMut(u64, u64)) -> Result<(), ReadError>;

/// What is wrong with one thing; the first few are enough.
#[derive(Default)]
struct Damage {
    list: Vec<String>,
    more: u64,
}

impl Damage {
    fn add(&mut self, text: String) {
        if self.list.len() < CHECK_FINDINGS_MAX {
            self.list.push(text);
        } else {
            self.more += 1;
        }
    }

    fn done(mut self) -> Vec<String> {
        if self.more > 0 {
            self.list
                .push(format!("and {} more of the kind", self.more));
        }
        self.list
    }
}

impl Check {
    /// Opens the journal for looking only.
    ///
    /// # Errors
    /// As [`super::Reader::open`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let open::ReadConnection { conn, copy } = open::for_reading(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            conn,
            _copy: copy,
        })
    }

    /// Looks at everything. `found` is told of each thing as it is done, `progress` of the records looked
    /// at and how many there are. True if all is well.
    pub fn run(
        &self,
        found: &mut dyn FnMut(Finding),
        progress: &mut dyn FnMut(&'static str, u64, u64),
    ) -> bool {
        let mut all_well = true;
        // One state of the file for all of it, however much is recorded meanwhile.
        let begun = self.conn.execute_batch("BEGIN");
        for (what, look) in PIECES {
            let mut damage = Damage::default();
            progress(what, 0, 0);
            let looked = look(self, &mut damage, &mut |done, all| {
                progress(what, done, all);
            });
            if let Err(error) = looked {
                damage.add(error.to_string());
            }
            let damage = damage.done();
            all_well &= damage.is_empty();
            found(Finding { what, damage });
        }
        if begun.is_ok() {
            // A transaction that has only read has nothing to lose.
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        all_well
    }

    /// Whether SQLite passes over a part of the log.
    fn log(&self, damage: &mut Damage, _: &mut dyn FnMut(u64, u64)) -> Result<(), ReadError> {
        match Log::look(&log_path(&self.path)) {
            Err(error) => damage.add(format!("the log cannot be read: {error}")),
            Ok(Some(log)) if log.headless => {
                damage
                    .add("the header of the log is damaged: nothing in the log is read".to_owned());
            }
            Ok(Some(log)) if log.is_torn() => damage.add(format!(
                "the log is torn after {} pages: {} pages behind that are not read",
                log.frames, log.frames_behind_tear
            )),
            Ok(_) => {}
        }
        Ok(())
    }

    /// SQLite's own check of every page.
    fn file(&self, damage: &mut Damage, _: &mut dyn FnMut(u64, u64)) -> Result<(), ReadError> {
        let mut statement = self
            .conn
            .prepare(&format!("PRAGMA integrity_check({CHECK_FINDINGS_MAX})"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let line: String = row.get(0)?;
            if line != "ok" {
                line.lines().for_each(|line| damage.add(line.to_owned()));
            }
        }
        Ok(())
    }

    /// Tables, indexes and views are those of this layout, to the letter.
    fn layout(&self, damage: &mut Damage, _: &mut dyn FnMut(u64, u64)) -> Result<(), ReadError> {
        let mut model = Connection::open_in_memory()?;
        schema::migrate(&mut model, STEPS)?;
        let (expected, found) = (schema_of(&model)?, schema_of(&self.conn)?);
        for (name, sql) in &expected {
            match found.get(name) {
                None => damage.add(format!("{name} is missing")),
                Some(other) if other != sql => damage.add(format!("{name} has been changed")),
                Some(_) => {}
            }
        }
        // Whoever has added a table or an index of their own has damaged nothing.
        Ok(())
    }

    fn views(&self, damage: &mut Damage, _: &mut dyn FnMut(u64, u64)) -> Result<(), ReadError> {
        for view in ["events", "machines", "runs", "gaps", "removals"] {
            let read = self
                .conn
                .query_row(&format!("SELECT * FROM {view} LIMIT 1"), [], |_| Ok(()))
                .optional();
            if let Err(error) = read {
                damage.add(format!("{view}: {error}"));
            }
        }
        Ok(())
    }

    /// Every number from the first to the last is a record or was removed, every record can be read, and
    /// the time map says what the records say.
    fn records(
        &self,
        damage: &mut Damage,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), ReadError> {
        let mut look = RecordsLook::new(&self.conn)?;
        let last = look.last;
        let mut above = 0;
        while above < last {
            let mut statement = self.conn.prepare_cached(
                "SELECT seq, run, name, stamp, lag, data, raw FROM event \
                 WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            )?;
            let mut rows = statement.query(params![above, READ_SPAN_RECORDS])?;
            let mut any = false;
            while let Some(row) = rows.next()? {
                any = true;
                above = row.get(0)?;
                look.record(row, damage)?;
            }
            if !any {
                break;
            }
            progress(above.unsigned_abs(), last.unsigned_abs());
        }
        look.end(damage);
        Ok(())
    }

    fn places(&self, damage: &mut Damage, _: &mut dyn FnMut(u64, u64)) -> Result<(), ReadError> {
        self.list(
            damage,
            "SELECT 'record ' || p.seq || ' is in the index under run ' || p.run || ', and is not there' \
             FROM place p LEFT JOIN event e ON e.seq = p.seq AND e.run = p.run WHERE e.seq IS NULL",
        )?;
        self.list(
            damage,
            "SELECT 'record ' || e.seq || ' of run ' || e.run || ' is not in the index' FROM event e \
             WHERE e.seq <= (SELECT placed FROM journal) \
                AND NOT EXISTS (SELECT 1 FROM place p WHERE p.run = e.run AND p.seq = e.seq) \
                AND e.seq NOT BETWEEN coalesce((SELECT removing_above + 1 FROM journal), 0) \
                    AND coalesce((SELECT removing_last FROM journal), -1)",
        )
    }

    fn tallies(&self, damage: &mut Damage, _: &mut dyn FnMut(u64, u64)) -> Result<(), ReadError> {
        self.list(
            damage,
            "SELECT 'run ' || coalesce(t.run, p.run) || ' has ' || coalesce(p.records, 0) || \
                ' records in the index and ' || coalesce(t.records, 0) || ' in its tally' \
             FROM tally t FULL JOIN (SELECT run, count(*) AS records FROM place GROUP BY run) p \
                ON p.run = t.run WHERE coalesce(t.records, 0) <> coalesce(p.records, 0)",
        )?;
        self.list(
            damage,
            "SELECT 'run ' || run || ' is tallied at less than nothing' FROM tally \
             WHERE bytes < 0 OR records < 0 OR removed < 0",
        )
    }

    fn references(
        &self,
        damage: &mut Damage,
        _: &mut dyn FnMut(u64, u64),
    ) -> Result<(), ReadError> {
        for sql in [
            "SELECT 'run ' || r.id || ' is of machine ' || r.machine || ', which is not there' \
             FROM run r LEFT JOIN machine m ON m.id = r.machine WHERE m.id IS NULL",
            "SELECT 'connection ' || c.id || ' is of run ' || c.run || ', which is not there' \
             FROM connection c LEFT JOIN run r ON r.id = c.run WHERE r.id IS NULL",
            "SELECT DISTINCT 'a snapshot is of run ' || s.run || ', which is not there' \
             FROM snapshot s LEFT JOIN run r ON r.id = s.run WHERE r.id IS NULL",
            "SELECT 'the follower ' || follower || ' is at ' || seq || ', behind the last record' \
             FROM cursor WHERE seq > (SELECT coalesce(max(seq), 0) FROM event)",
            "SELECT 'there are ' || count(*) || ' rows in the table journal, not one' \
             FROM journal HAVING count(*) <> 1",
            "SELECT 'the index by run is said to go to record ' || placed || ', behind the last one' \
             FROM journal WHERE placed > (SELECT coalesce(max(seq), 0) FROM event)",
        ] {
            self.list(damage, sql)?;
        }
        Ok(())
    }

    /// Each row of the query is one damage.
    fn list(&self, damage: &mut Damage, sql: &str) -> Result<(), ReadError> {
        let mut statement = self.conn.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            damage.add(row.get(0)?);
        }
        Ok(())
    }
}

/// What is compared while the records go by.
struct RecordsLook {
    last: i64,
    thinned: i64,
    runs: HashSet<i64>,
    names: HashSet<i64>,
    zones: HashMap<i64, (i64, i64, i64)>,
    block: i64,
    count: i64,
    times: (i64, i64),
}

impl RecordsLook {
    fn new(conn: &Connection) -> Result<Self, ReadError> {
        let keys = |sql: &str| -> rusqlite::Result<HashSet<i64>> {
            conn.prepare(sql)?
                .query_map([], |row| row.get(0))?
                .collect()
        };
        let zones = conn
            .prepare("SELECT block, earliest, latest, removed FROM zone")?
            .query_map([], |row| {
                Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?)))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let one = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
        Ok(Self {
            last: one("SELECT coalesce(max(seq), 0) FROM event")?,
            thinned: one("SELECT coalesce(max(thinned), 0) FROM journal")?,
            runs: keys("SELECT id FROM run")?,
            names: keys("SELECT id FROM name")?,
            zones,
            block: 0,
            count: 0,
            times: (i64::MAX, i64::MIN),
        })
    }

    fn record(&mut self, row: &Row<'_>, damage: &mut Damage) -> Result<(), ReadError> {
        let seq: i64 = row.get(0)?;
        if seq < 1 {
            damage.add(format!("record {seq} has a number that cannot be"));
            return Ok(());
        }
        while self.block < seq / BLOCK {
            // A journal may have lost millions of blocks before its first one.
            if self.count == 0 && !self.zones.contains_key(&self.block) && seq <= self.thinned {
                self.block = seq / BLOCK;
                break;
            }
            self.end_block(damage);
        }
        self.count += 1;
        let (run, name): (i64, i64) = (row.get(1)?, row.get(2)?);
        if !self.runs.contains(&run) {
            damage.add(format!("record {seq} is of run {run}, which is not there"));
        }
        if !self.names.contains(&name) {
            damage.add(format!(
                "record {seq} has the name {name}, which is not there"
            ));
        }
        let lag: i64 = row.get(4)?;
        let stamp: Option<i64> = row.get(3)?;
        let time_us = stamp.filter(|&stamp| stamp != NO_CLOCK).unwrap_or(lag);
        self.times = (self.times.0.min(time_us), self.times.1.max(time_us));
        let raw: Option<String> = row.get(6)?;
        if let Some(raw) = raw
            && name >= FIRST_QEMU_NAME
            && qmp_events::Envelope::read(&raw).is_err()
        {
            damage.add(format!("record {seq} is kept as a line that is no event"));
        }
        let data: Option<String> = row.get(5)?;
        if let Some(data) = data
            && serde_json::from_str::<serde::de::IgnoredAny>(&data).is_err()
        {
            damage.add(format!("record {seq} has data that is no JSON"));
        }
        Ok(())
    }

    /// The numbers of the block add up, and its times are within what the map says.
    fn end_block(&mut self, damage: &mut Damage) {
        let first = (self.block * BLOCK).max(1);
        let last = ((self.block + 1) * BLOCK - 1).min(self.last);
        let numbers = last - first + 1;
        match self.zones.remove(&self.block) {
            None if self.count == 0 && last <= self.thinned => {}
            None => damage.add(format!(
                "the time map does not have records {first} to {last}"
            )),
            Some((earliest, latest, removed)) => {
                let missing = numbers - self.count - removed;
                if missing > 0 {
                    damage.add(format!(
                        "of records {first} to {last}, {missing} are missing"
                    ));
                } else if missing < 0 {
                    damage.add(format!(
                        "of records {first} to {last}, {} are said to be removed and are there",
                        -missing
                    ));
                }
                if self.count > 0 && (self.times.0 < earliest || self.times.1 > latest) {
                    damage.add(format!(
                        "records {first} to {last} have times that the time map does not have"
                    ));
                }
            }
        }
        self.block += 1;
        self.count = 0;
        self.times = (i64::MAX, i64::MIN);
    }

    fn end(mut self, damage: &mut Damage) {
        if self.last > 0 {
            self.end_block(damage);
        }
        let mut rest: Vec<i64> = self.zones.into_keys().collect();
        rest.sort_unstable();
        for block in rest {
            let (first, last) = (block * BLOCK, (block + 1) * BLOCK - 1);
            damage.add(format!("records {first} to {last} are missing"));
        }
    }
}

/// What a journal is made of, by name.
fn schema_of(conn: &Connection) -> rusqlite::Result<BTreeMap<String, Option<String>>> {
    conn.prepare("SELECT type || ' ' || name, sql FROM sqlite_schema")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
