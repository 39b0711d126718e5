//! Removing what is too old or too much, a little at a time, by the writer.
//!
//! One round looks through the time map (`zone`) for blocks that hold something due, gathers what goes of
//! them, takes it out of the index by run, and deletes it. Each step is a transaction of its own, small
//! enough that a commit that comes meanwhile waits a few milliseconds; between steps the writer looks at
//! its queue. The file does not shrink: its free pages are used again (`docs/decisions/0007`).
//!
//! What stays although it is due:
//!
//! * of each machine that is being recorded the last `state` record and the newest snapshot, and a few of the
//!   records behind the later of the two ([`STATE_TAIL_MAX_RECORDS`]), so that what the machine is doing can be told. Where more follows, the
//!   attachment is asked for a new one ([`Wants`]);
//! * what a durable follower has not read, unless [`Retention::ignore_cursors`];
//! * the last record, which carries the numbering.
//!
//! The index is cleared before the records go, because it is cheap only in large pieces: with a thousand
//! machines each piece touches a thousand pages of it. `journal.removing_*` says between which numbers that
//! is under way; [`mend`] puts it right after a `kill -9`.

mod policy;
mod sql;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};

pub use policy::{Age, MachineRetention, Retention};
pub(super) use sql::{Reason, mend, note_removal};

use self::sql::{Candidate, Share};
use super::RunId;
use super::places::Places;
use crate::limits::{
    PLACES_MIN, PLACES_PER_RUN, RETENTION_BLOCKS_PER_STEP, RETENTION_PERIOD, RETENTION_RECHECK_US,
    RETENTION_RUNS_PER_STEP, RETENTION_SCATTERED_ROWS, RETENTION_SIZE_LOOK_BYTES,
    RETENTION_ZONES_PER_STEP, STATE_TAIL_MAX_RECORDS, ZONE_RECORDS,
};
use crate::time;

const BLOCK: i64 = ZONE_RECORDS.cast_signed();

/// The machines that ought to tell their state anew, because what precedes their last word is to be removed.
#[derive(Clone, Debug, Default)]
pub(super) struct Wants(Arc<Mutex<HashSet<i64>>>);

impl Wants {
    /// Whether this one is among them; it is not from then on, until the next round.
    pub(super) fn take(&self, run: RunId) -> bool {
        self.lock().remove(&run.0)
    }

    fn add(&self, run: i64) {
        self.lock().insert(run);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the writer lends for a step.
pub(super) struct Access<'s> {
    pub(super) conn: &'s mut Connection,
    pub(super) places: &'s Places,
    /// Number of the last record.
    pub(super) last_seq: i64,
    /// Number of the last record that the index by run has.
    pub(super) placed: i64,
    pub(super) now_us: i64,
}

/// Carries the policy out.
#[derive(Debug)]
pub(super) struct Retainer {
    policy: Retention,
    wants: Wants,
    stage: Stage,
    round: Round,
    /// Blocks that were looked at and still hold something.
    later: BTreeMap<i64, Later>,
    /// After how long the records of a run are due.
    ages: HashMap<i64, Option<i64>>,
    complained: bool,
    /// After a failure: nothing before.
    not_before: Instant,
}

/// When to look at a block again; microseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Later {
    /// For the age of what is in it.
    due_us: i64,
    /// For its size: nothing in it may go before.
    stuck_until_us: i64,
}

/// Where in a round the work is.
#[derive(Debug)]
enum Stage {
    /// Nothing to do until then.
    Resting(Instant),
    /// Going through the time map behind this block.
    Looking(i64),
    /// The index by run is being cleared; then the records go.
    Unplacing(Removal),
    /// The records go.
    Deleting(Removal),
    /// Machines that have more than is kept of them lose their oldest records.
    Trimming(VecDeque<Trim>),
    /// Runs without records go.
    Forgetting,
}

/// What the state of a machine is told from.
#[derive(Clone, Copy, Debug)]
struct Base {
    /// Its last `state` record.
    state: Option<i64>,
    /// That, or its newest snapshot, whichever is later; and what follows.
    above: i64,
}

/// What one round knows.
#[derive(Debug, Default)]
struct Round {
    /// No record above this one may go.
    bound: i64,
    /// What the state of runs that are being recorded is told from.
    bases: HashMap<i64, Base>,
    /// How many records behind it were kept.
    tails: HashMap<i64, usize>,
    /// Blocks to be gone through.
    blocks: VecDeque<i64>,
    /// Where in the time map to go on.
    looked: i64,
    /// What was found so far and is not carried out yet.
    batch: Removal,
    /// Bytes that must go whatever their age.
    excess_bytes: i64,
    /// Runs that lost records.
    touched: BTreeSet<i64>,
    removed: u64,
    until_us: i64,
}

/// What goes next.
#[derive(Debug)]
struct Removal {
    by_size: bool,
    /// Still in the index.
    shares: BTreeMap<i64, Share>,
    /// Still there, in order.
    seqs: VecDeque<i64>,
    bytes: i64,
    until_us: i64,
}

/// A run of a machine that has too much.
#[derive(Debug)]
struct Trim {
    run: i64,
    excess_bytes: i64,
    after: i64,
}

impl Retainer {
    pub(super) fn new(policy: Retention, wants: Wants, now: Instant) -> Self {
        Self {
            policy,
            wants,
            stage: Stage::Resting(now),
            round: Round::default(),
            later: BTreeMap::new(),
            ages: HashMap::new(),
            complained: false,
            not_before: now,
        }
    }

    /// Whether [`Retainer::step`] has something to do.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let due = match self.stage {
            Stage::Resting(until) => now >= until && !self.policy.keeps_everything(),
            _ => true,
        };
        due && now >= self.not_before
    }

    /// The shortest age after which anything is removed.
    pub(super) fn shortest_age_us(&self) -> Option<i64> {
        self.policy.shortest_age_us()
    }

    /// Whether the next step begins a round, which ought to find all records in the index.
    pub(super) fn begins(&self) -> bool {
        matches!(self.stage, Stage::Resting(_))
    }

    /// Bytes after which the size is looked at before the next round would.
    pub(super) fn patience_bytes(&self) -> Option<usize> {
        let most = usize::try_from(self.policy.max_size_bytes?).unwrap_or(usize::MAX);
        Some((most / 64).max(RETENTION_SIZE_LOOK_BYTES))
    }

    /// Begins a round at the next step, if none is under way: much has been written.
    pub(super) fn hurry(&mut self, now: Instant) {
        if matches!(self.stage, Stage::Resting(_)) {
            self.stage = Stage::Resting(now);
        }
    }

    /// Another policy, from the next round on.
    pub(super) fn set_policy(&mut self, policy: Retention, now: Instant) {
        self.policy = policy;
        self.later.clear();
        self.ages.clear();
        self.complained = false;
        self.hurry(now);
    }

    /// After a step that failed: what was under way is kept, what was only looked for is forgotten.
    pub(super) fn failed(&mut self, again: Instant) {
        self.not_before = again;
        if !matches!(self.stage, Stage::Unplacing(_) | Stage::Deleting(_)) {
            self.stage = Stage::Resting(again);
        }
    }

    /// One small piece of work, of about so many rows. A step that fails can be tried again.
    pub(super) fn step(&mut self, mut access: Access<'_>, rows: usize) -> rusqlite::Result<()> {
        match &mut self.stage {
            Stage::Resting(_) => {
                self.round = self.begin(&access)?;
                self.stage = Stage::Looking(-1);
                Ok(())
            }
            Stage::Looking(after) if self.round.blocks.is_empty() => {
                let after = *after;
                self.look(&access, after)
            }
            Stage::Looking(_) => self.gather(&access),
            Stage::Unplacing(_) => self.unplace(&mut access, rows),
            Stage::Deleting(_) => self.delete(&mut access, rows),
            Stage::Trimming(_) => self.trim(&mut access),
            Stage::Forgetting => self.forget(&mut access),
        }
    }

    fn begin(&self, access: &Access<'_>) -> rusqlite::Result<Round> {
        let cursor = match self.policy.ignore_cursors {
            true => None,
            false => sql::slowest_cursor(access.conn)?,
        };
        let mut live = sql::live_runs(access.conn)?;
        live.sort_unstable();
        let known = sql::last_states(access.conn, &live)?;
        let bound = cursor.unwrap_or(i64::MAX).min(access.last_seq - 1);
        let mut bases = HashMap::new();
        for run in live {
            let state = known.get(&run).copied();
            if let Some(above) = state.max(sql::last_snapshot(access.conn, run)?) {
                bases.insert(run, Base { state, above });
            }
        }
        Ok(Round {
            bound: bound.min(access.placed),
            bases,
            excess_bytes: self.excess_bytes(access.conn)?,
            until_us: i64::MIN,
            ..Round::default()
        })
    }

    /// How much must go, so that it is not the next commit that is over the limit again.
    fn excess_bytes(&self, conn: &Connection) -> rusqlite::Result<i64> {
        let Some(most) = self.policy.max_size_bytes else {
            return Ok(0);
        };
        let used = sql::used_bytes(conn)?;
        let enough = most - most / 64;
        Ok(match used > most {
            true => i64::try_from(used - enough).unwrap_or(i64::MAX),
            false => 0,
        })
    }

    /// Finds blocks with something due in the next piece of the time map.
    fn look(&mut self, access: &Access<'_>, after: i64) -> rusqlite::Result<()> {
        let zones = sql::zones(access.conn, after, RETENTION_ZONES_PER_STEP)?;
        let Some(&(last, _)) = zones.last() else {
            if self.round.batch.seqs.is_empty() {
                return self.look_at_machines(access);
            }
            let batch = std::mem::take(&mut self.round.batch);
            self.carry_out(batch);
            return Ok(());
        };
        let shortest = self.policy.shortest_age_us();
        let is_due = |block: i64, earliest_us: i64| {
            let later = self.later.get(&block);
            let due_us = match later {
                Some(later) => later.due_us,
                None => shortest.map_or(i64::MAX, |age| earliest_us.saturating_add(age)),
            };
            let stuck = later.is_some_and(|later| later.stuck_until_us > access.now_us);
            block * BLOCK <= self.round.bound
                && (due_us <= access.now_us || (self.round.excess_bytes > 0 && !stuck))
        };
        self.round.blocks = zones
            .iter()
            .filter(|(block, earliest)| is_due(*block, *earliest))
            .map(|(block, _)| *block)
            .collect();
        self.stage = Stage::Looking(last);
        Ok(())
    }

    /// Goes through a few blocks; the batch is carried out when there is enough in it.
    fn gather(&mut self, access: &Access<'_>) -> rusqlite::Result<()> {
        let mut batch = std::mem::take(&mut self.round.batch);
        batch.by_size = self.round.excess_bytes > 0;
        for _ in 0..RETENTION_BLOCKS_PER_STEP {
            let Some(&block) = self.round.blocks.front() else {
                break;
            };
            self.gather_block(access, block, &mut batch)?;
            self.round.blocks.pop_front();
            if batch.by_size && batch.bytes >= self.round.excess_bytes {
                // The blocks behind were wanted for their size only; those that are not are found again.
                self.stage = Stage::Looking(block);
                self.round.blocks.clear();
                self.carry_out(batch);
                return Ok(());
            }
        }
        // A page of the index is worth its way to the disk for so many records.
        if batch.seqs.len() >= PLACES_MIN.max(batch.shares.len() * PLACES_PER_RUN) {
            self.carry_out(batch);
        } else {
            self.round.batch = batch;
        }
        Ok(())
    }

    fn carry_out(&mut self, batch: Removal) {
        self.round.excess_bytes = (self.round.excess_bytes - batch.bytes).max(0);
        if let Stage::Looking(after) = self.stage {
            self.round.looked = after;
        }
        self.stage = Stage::Unplacing(batch);
    }

    /// Puts into the batch what may go of a block, and remembers when to look at the rest.
    fn gather_block(
        &mut self,
        access: &Access<'_>,
        block: i64,
        batch: &mut Removal,
    ) -> rusqlite::Result<()> {
        let recheck_us = access.now_us.saturating_add(RETENTION_RECHECK_US);
        let mut later = Later {
            due_us: i64::MAX,
            stuck_until_us: recheck_us,
        };
        for record in sql::records(access.conn, block)? {
            let age = self.age_us(access.conn, record.run)?;
            let due_us = age.map_or(i64::MAX, |age| record.time_us.saturating_add(age));
            let for_size = batch.by_size && batch.bytes < self.round.excess_bytes;
            if record.seq > self.round.bound {
                later.due_us = later.due_us.min(due_us.max(recheck_us));
            } else if due_us > access.now_us && !for_size {
                later.due_us = later.due_us.min(due_us);
                later.stuck_until_us = 0;
            } else if self.is_needed(&record) {
                later.due_us = later.due_us.min(recheck_us);
            } else {
                batch.add(&record);
            }
        }
        // A block that still grows has more to come than was seen.
        if (block + 1) * BLOCK > access.last_seq {
            self.later.remove(&block);
        } else {
            self.later.insert(block, later);
        }
        Ok(())
    }

    fn age_us(&mut self, conn: &Connection, run: i64) -> rusqlite::Result<Option<i64>> {
        if let Some(&age) = self.ages.get(&run) {
            return Ok(age);
        }
        let machine = sql::machine_of(conn, run)?.unwrap_or_default();
        let age = self.policy.age_us(&machine);
        self.ages.insert(run, age);
        Ok(age)
    }

    /// Whether the state of a machine could not be told without this record.
    fn is_needed(&mut self, record: &Candidate) -> bool {
        let Some(base) = self.round.bases.get(&record.run) else {
            return false;
        };
        if record.seq <= base.above {
            return Some(record.seq) == base.state;
        }
        let tail = self.round.tails.entry(record.run).or_default();
        *tail += 1;
        if *tail > STATE_TAIL_MAX_RECORDS {
            self.wants.add(record.run);
            return false;
        }
        true
    }

    /// Takes the records of some runs out of the index.
    fn unplace(&mut self, access: &mut Access<'_>, rows: usize) -> rusqlite::Result<()> {
        let Stage::Unplacing(batch) = &mut self.stage else {
            return Ok(());
        };
        let tx = access
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let (Some(first), Some(last)) = (batch.seqs.front(), batch.seqs.back()) {
            sql::intend(&tx, first - 1, *last)?;
        }
        let mut done = Vec::new();
        let mut count = 0;
        for (&run, share) in &batch.shares {
            if count >= rows || done.len() >= RETENTION_RUNS_PER_STEP {
                break;
            }
            sql::unplace(&tx, run, share)?;
            count += share.seqs.len();
            done.push(run);
        }
        tx.commit()?;
        for run in done {
            batch.shares.remove(&run);
            self.round.touched.insert(run);
        }
        if batch.shares.is_empty() {
            self.stage = Stage::Deleting(std::mem::take(batch));
        }
        Ok(())
    }

    /// Deletes records that are out of the index.
    fn delete(&mut self, access: &mut Access<'_>, rows: usize) -> rusqlite::Result<()> {
        let Stage::Deleting(batch) = &mut self.stage else {
            return Ok(());
        };
        let part: Vec<i64> = batch.seqs.iter().take(rows.max(1)).copied().collect();
        let tx = access
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        sql::delete(&tx, &part, batch.reason(), batch.until_us, access.now_us)?;
        let complete = part.len() == batch.seqs.len();
        if complete {
            sql::intend_nothing(&tx)?;
        }
        tx.commit()?;
        batch.seqs.drain(..part.len());
        self.round.removed += part.len() as u64;
        self.round.until_us = self.round.until_us.max(batch.until_us);
        if complete {
            self.stage = Stage::Looking(self.round.looked);
        }
        Ok(())
    }

    /// Finds machines that have more than is kept of each.
    fn look_at_machines(&mut self, access: &Access<'_>) -> rusqlite::Result<()> {
        let mut trims = VecDeque::new();
        if self.policy.limits_machines() {
            for (machine, runs) in sql::sizes(access.conn)? {
                let Some(most) = self.policy.size_bytes(&machine) else {
                    continue;
                };
                let most = i64::try_from(most).unwrap_or(i64::MAX);
                let mut excess_bytes = runs.iter().map(|(_, bytes)| bytes).sum::<i64>() - most;
                for (run, bytes) in runs {
                    if excess_bytes > 0 {
                        trims.push_back(Trim {
                            run,
                            excess_bytes: excess_bytes.min(bytes),
                            after: 0,
                        });
                        excess_bytes -= bytes;
                    }
                }
            }
        }
        self.stage = Stage::Trimming(trims);
        Ok(())
    }

    /// Removes some of the oldest records of a run. They lie far apart, so there are few at a time.
    fn trim(&mut self, access: &mut Access<'_>) -> rusqlite::Result<()> {
        let Stage::Trimming(trims) = &mut self.stage else {
            return Ok(());
        };
        let Some(mut trim) = trims.pop_front() else {
            self.stage = Stage::Forgetting;
            return Ok(());
        };
        let found =
            sql::oldest_of_run(access.conn, trim.run, trim.after, RETENTION_SCATTERED_ROWS)?;
        let mut batch = Removal {
            by_size: true,
            ..Removal::default()
        };
        let exhausted = found.len() < RETENTION_SCATTERED_ROWS;
        for record in found {
            trim.after = record.seq;
            if record.seq > self.round.bound || batch.bytes >= trim.excess_bytes {
                break;
            }
            if !self.is_needed(&record) {
                batch.add(&record);
            }
        }
        trim.excess_bytes -= batch.bytes;
        let seqs: Vec<i64> = batch.seqs.iter().copied().collect();
        let tx = access
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (&run, share) in &batch.shares {
            sql::unplace(&tx, run, share)?;
        }
        sql::delete(&tx, &seqs, Reason::Size, batch.until_us, access.now_us)?;
        tx.commit()?;
        self.round.removed += seqs.len() as u64;
        self.round.touched.insert(trim.run);
        if !exhausted
            && trim.excess_bytes > 0
            && trim.after <= self.round.bound
            && let Stage::Trimming(trims) = &mut self.stage
        {
            trims.push_front(trim);
        }
        Ok(())
    }

    /// Takes away runs without records, and ends the round.
    fn forget(&mut self, access: &mut Access<'_>) -> rusqlite::Result<()> {
        let some: Vec<i64> = self
            .round
            .touched
            .iter()
            .take(RETENTION_RUNS_PER_STEP)
            .copied()
            .collect();
        let empty: Vec<i64> = some
            .iter()
            .copied()
            .filter(|&run| access.places.last_of(run).is_none())
            .collect();
        if !empty.is_empty() {
            let tx = access
                .conn
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            sql::forget_runs(&tx, &empty)?;
            tx.commit()?;
        }
        for run in some {
            self.round.touched.remove(&run);
        }
        if self.round.touched.is_empty() {
            let rest = self.end(access)?;
            self.stage = Stage::Resting(Instant::now() + rest);
        }
        Ok(())
    }

    /// Says what was done; gives how long to rest.
    fn end(&mut self, access: &Access<'_>) -> rusqlite::Result<Duration> {
        let first = sql::zones(access.conn, -1, 1)?
            .first()
            .map_or(0, |zone| zone.0);
        self.later = self.later.split_off(&first);
        let records = self.round.removed;
        if records > 0 {
            let until = time::rfc3339(self.round.until_us);
            tracing::info!(records, until, "removed what is no longer to be kept");
        }
        if self.excess_bytes(access.conn)? == 0 {
            self.complained = false;
        } else if records > 0 {
            return Ok(Duration::ZERO);
        } else if !self.complained {
            self.complained = true;
            tracing::warn!(
                "the journal is larger than max_size, and nothing in it may be removed: \
                 what is left is the state of machines or unread by a follower"
            );
        }
        Ok(RETENTION_PERIOD)
    }
}

impl Default for Removal {
    fn default() -> Self {
        Self {
            by_size: false,
            shares: BTreeMap::new(),
            seqs: VecDeque::new(),
            bytes: 0,
            until_us: i64::MIN,
        }
    }
}

impl Removal {
    fn add(&mut self, record: &Candidate) {
        let share = self.shares.entry(record.run).or_insert_with(|| Share {
            until_us: i64::MIN,
            ..Share::default()
        });
        share.seqs.push(record.seq);
        share.bytes += record.bytes;
        share.until_us = share.until_us.max(record.time_us);
        self.seqs.push_back(record.seq);
        self.bytes += record.bytes;
        self.until_us = self.until_us.max(record.time_us);
    }

    fn reason(&self) -> Reason {
        if self.by_size {
            Reason::Size
        } else {
            Reason::Age
        }
    }
}
