//! Which records, in which order, and how to find them without looking at all.

use std::collections::{HashSet, VecDeque};

use rusqlite::params;

use super::schema::FIRST_QEMU_NAME;
use super::{ReadError, Reader};
use crate::limits::{READ_CHUNK_RECORDS, READ_MERGE_MAX_RUNS, READ_SPAN_RECORDS, ZONE_RECORDS};
use crate::record::Record;

/// Whether a name is wanted.
pub type Names<'q> = &'q dyn Fn(&str) -> bool;

/// The order of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// As they came.
    #[default]
    OldestFirst,
    /// The last one first.
    NewestFirst,
}

/// Which records. The default wants all.
#[derive(Clone, Copy, Default)]
pub struct Query<'q> {
    after: u64,
    run: Option<u64>,
    machines: Option<Names<'q>>,
    events: Option<Names<'q>>,
    since_us: Option<i64>,
    until_us: Option<i64>,
    direction: Direction,
}

impl<'q> Query<'q> {
    /// Only records with a number above this one.
    #[must_use]
    pub fn after(mut self, seq: u64) -> Self {
        self.after = seq;
        self
    }

    /// Only of one run.
    #[must_use]
    pub fn run(mut self, run: u64) -> Self {
        self.run = Some(run);
        self
    }

    /// Only of machines whose name passes.
    #[must_use]
    pub fn machines(mut self, wanted: Names<'q>) -> Self {
        self.machines = Some(wanted);
        self
    }

    /// Only events and notes whose name passes.
    #[must_use]
    pub fn events(mut self, wanted: Names<'q>) -> Self {
        self.events = Some(wanted);
        self
    }

    /// Only records of this time or later ([`Record::time_us`]), microseconds since 1970.
    #[must_use]
    pub fn since_us(mut self, since: Option<i64>) -> Self {
        self.since_us = since;
        self
    }

    /// Only records before this time, microseconds since 1970.
    #[must_use]
    pub fn until_us(mut self, until: Option<i64>) -> Self {
        self.until_us = until;
        self
    }

    /// In which order.
    #[must_use]
    pub fn direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }
}

/// The records of a query. Memory is bounded by a chunk of [`READ_CHUNK_RECORDS`]; between chunks the
/// writer is free to reuse its log.
pub struct Records<'r> {
    reader: &'r Reader,
    filter: RowFilter,
    source: Source,
    direction: Direction,
    /// Stretches still to be read, in the order of reading.
    spans: VecDeque<Span>,
    chunk: VecDeque<Record>,
    failed: bool,
}

/// Numbers `above + 1 ..= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    above: i64,
    last: i64,
}

/// What a row must have.
struct RowFilter {
    runs: Option<HashSet<i64>>,
    names: Option<HashSet<i64>>,
    since_us: i64,
    until_us: Option<i64>,
}

/// Where the numbers of wanted records come from.
enum Source {
    /// From looking at every record.
    All,
    /// From the index by run, as far as it goes; behind that by looking at every record.
    Runs { runs: Vec<i64>, placed: i64 },
    /// From the index over the recorder's notes.
    Notes(Vec<i64>),
}

impl<'r> Records<'r> {
    pub(super) fn new(reader: &'r Reader, query: &Query<'_>) -> Result<Self, ReadError> {
        let last = reader.last_seq()?.cast_signed();
        let names = query
            .events
            .map(|wanted| reader.names_where(wanted))
            .transpose()?;
        let of_machines = query
            .machines
            .map(|wanted| reader.runs_where(wanted))
            .transpose()?;
        let runs = match (query.run, of_machines) {
            (Some(run), _) => Some(vec![run.cast_signed()]),
            (None, None | Some((_, true))) => None,
            (None, Some((runs, false))) => Some(runs),
        };
        let source = match (&names, &runs) {
            (Some(names), _) if names.iter().all(|&name| name < FIRST_QEMU_NAME) => {
                Source::Notes(names.clone())
            }
            (_, Some(runs)) if runs.len() <= READ_MERGE_MAX_RUNS => Source::Runs {
                runs: runs.clone(),
                placed: reader.last_placed()?,
            },
            _ => Source::All,
        };
        let whole = Span {
            above: query.after.min(i64::MAX.unsigned_abs()).cast_signed(),
            last,
        };
        let mut spans = match (query.since_us, query.until_us) {
            (None, None) => VecDeque::from([whole]),
            (since, until) => zones(reader, since, until, whole)?,
        };
        if query.direction == Direction::NewestFirst {
            spans.make_contiguous().reverse();
        }
        Ok(Self {
            reader,
            filter: RowFilter {
                runs: runs.map(HashSet::from_iter),
                names: names.map(HashSet::from_iter),
                since_us: query.since_us.unwrap_or(i64::MIN),
                until_us: query.until_us,
            },
            source,
            direction: query.direction,
            spans,
            chunk: VecDeque::new(),
            failed: false,
        })
    }

    /// Reads on until there is something in the chunk or nothing left.
    fn fill(&mut self) -> Result<(), ReadError> {
        while self.chunk.is_empty() {
            let Some(span) = self.spans.pop_front() else {
                return Ok(());
            };
            if span.above >= span.last {
                continue;
            }
            let (span, later) = match self.source {
                Source::Runs { placed, .. } => span.cut_at(placed, self.direction),
                Source::All | Source::Notes(_) => (span, None),
            };
            if let Some(later) = later {
                self.spans.push_front(later);
            }
            let rest = match &self.source {
                Source::Runs { runs, placed } if span.last <= *placed => {
                    let runs = runs.clone();
                    self.merge(span, "place WHERE run = ?1", &runs)?
                }
                Source::Notes(names) => {
                    let names = names.clone();
                    self.merge(span, "event WHERE name = ?1 AND name < 64", &names)?
                }
                Source::All | Source::Runs { .. } => self.look_through(span)?,
            };
            self.spans.push_front(rest);
        }
        Ok(())
    }

    /// Looks at every record of the beginning of a span; gives the rest of it.
    fn look_through(&mut self, span: Span) -> Result<Span, ReadError> {
        let (part, rest) = span.split(READ_SPAN_RECORDS, self.direction);
        let mut statement = self.reader.conn.prepare_cached(match self.direction {
            Direction::OldestFirst => {
                "SELECT seq, run, name, stamp, lag, data, raw FROM event \
                 WHERE seq > ?1 AND seq <= ?2 ORDER BY seq"
            }
            Direction::NewestFirst => {
                "SELECT seq, run, name, stamp, lag, data, raw FROM event \
                 WHERE seq > ?1 AND seq <= ?2 ORDER BY seq DESC"
            }
        })?;
        let mut rows = statement.query(params![part.above, part.last])?;
        let mut before: Option<i64> = None;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(0)?;
            self.reader.check_neighbours(before, seq)?;
            before = Some(seq);
            if self.filter.wants(row)? {
                self.chunk.push_back(self.reader.read_record(row)?);
            }
            if self.chunk.len() >= READ_CHUNK_RECORDS {
                return Ok(span.beyond(seq, self.direction));
            }
        }
        Ok(rest)
    }

    /// Merges the index entries of several keys, each of which gives its numbers in order.
    ///
    /// Of each key a few entries are read; up to the nearest end of such a few, nothing is missing.
    fn merge(&mut self, span: Span, key: &str, keys: &[i64]) -> Result<Span, ReadError> {
        let order = match self.direction {
            Direction::OldestFirst => "",
            Direction::NewestFirst => " DESC",
        };
        let each = (READ_CHUNK_RECORDS * 2 / keys.len().max(1)).max(16);
        let mut statement = self.reader.conn.prepare_cached(&format!(
            "SELECT seq FROM {key} AND seq > ?2 AND seq <= ?3 ORDER BY seq{order} LIMIT {each}"
        ))?;
        let mut found: Vec<i64> = Vec::new();
        let mut covered = span;
        for key in keys {
            let start = found.len();
            let seqs =
                statement.query_map(params![key, covered.above, covered.last], |row| row.get(0))?;
            for seq in seqs {
                found.push(seq?);
            }
            if found.len() - start == each
                && let Some(&last) = found.last()
            {
                covered = covered.up_to(last, self.direction);
            }
        }
        found.retain(|&seq| seq > covered.above && seq <= covered.last);
        found.sort_unstable();
        if self.direction == Direction::NewestFirst {
            found.reverse();
        }
        found.truncate(READ_CHUNK_RECORDS);
        let complete = found.len() < READ_CHUNK_RECORDS;
        self.fetch(&found)?;
        Ok(match (found.last(), complete) {
            (Some(&last), false) => span.beyond(last, self.direction),
            _ => span.without(covered, self.direction),
        })
    }

    fn fetch(&mut self, seqs: &[i64]) -> Result<(), ReadError> {
        let mut statement = self.reader.conn.prepare_cached(
            "SELECT seq, run, name, stamp, lag, data, raw FROM event WHERE seq = ?1",
        )?;
        for seq in seqs {
            let mut rows = statement.query([seq])?;
            if let Some(row) = rows.next()?
                && self.filter.wants(row)?
            {
                self.chunk.push_back(self.reader.read_record(row)?);
            }
        }
        Ok(())
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, ReadError>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if let Err(error) = self.fill() {
            self.failed = true;
            return Some(Err(error));
        }
        self.chunk.pop_front().map(Ok)
    }
}

impl Span {
    /// The first `length` numbers in the order of reading, and the rest.
    fn split(self, length: i64, direction: Direction) -> (Self, Self) {
        let cut = match direction {
            Direction::OldestFirst => self.above.saturating_add(length).min(self.last),
            Direction::NewestFirst => self.last.saturating_sub(length).max(self.above),
        };
        let low = Self {
            above: self.above,
            last: cut,
        };
        let high = Self {
            above: cut,
            last: self.last,
        };
        match direction {
            Direction::OldestFirst => (low, high),
            Direction::NewestFirst => (high, low),
        }
    }

    /// Cut behind `seq` if that lies within: what is read first, and what later.
    fn cut_at(self, seq: i64, direction: Direction) -> (Self, Option<Self>) {
        if seq <= self.above || seq >= self.last {
            return (self, None);
        }
        let length = match direction {
            Direction::OldestFirst => seq - self.above,
            Direction::NewestFirst => self.last - seq,
        };
        let (first, later) = self.split(length, direction);
        (first, Some(later))
    }

    /// What is left after `seq` was read.
    fn beyond(self, seq: i64, direction: Direction) -> Self {
        match direction {
            Direction::OldestFirst => Self { above: seq, ..self },
            Direction::NewestFirst => Self {
                last: seq - 1,
                ..self
            },
        }
    }

    /// The part from the beginning up to and with `seq`.
    fn up_to(self, seq: i64, direction: Direction) -> Self {
        match direction {
            Direction::OldestFirst => Self { last: seq, ..self },
            Direction::NewestFirst => Self {
                above: seq - 1,
                ..self
            },
        }
    }

    /// What is left after a part from the beginning was read.
    fn without(self, part: Self, direction: Direction) -> Self {
        match direction {
            Direction::OldestFirst => Self {
                above: part.last,
                ..self
            },
            Direction::NewestFirst => Self {
                last: part.above,
                ..self
            },
        }
    }
}

impl RowFilter {
    fn wants(&self, row: &rusqlite::Row<'_>) -> Result<bool, ReadError> {
        let has = |set: &Option<HashSet<i64>>, column: usize| -> Result<bool, ReadError> {
            match set {
                None => Ok(true),
                Some(set) => Ok(set.contains(&row.get(column)?)),
            }
        };
        if !has(&self.runs, 1)? || !has(&self.names, 2)? {
            return Ok(false);
        }
        let lag: i64 = row.get(4)?;
        let time_us = match row.get::<_, Option<i64>>(3)? {
            Some(super::entry::NO_CLOCK) | None => lag,
            Some(stamp) => stamp,
        };
        Ok(time_us >= self.since_us && self.until_us.is_none_or(|until| time_us < until))
    }
}

/// The stretches of numbers whose blocks touch the time asked for.
fn zones(
    reader: &Reader,
    since_us: Option<i64>,
    until_us: Option<i64>,
    whole: Span,
) -> Result<VecDeque<Span>, ReadError> {
    let mut statement = reader.conn.prepare_cached(
        "SELECT block FROM zone WHERE latest >= ?1 AND earliest < ?2 AND block >= ?3 ORDER BY block",
    )?;
    let size = ZONE_RECORDS.cast_signed();
    let blocks = statement.query_map(
        params![
            since_us.unwrap_or(i64::MIN),
            until_us.unwrap_or(i64::MAX),
            whole.above / size
        ],
        |row| row.get::<_, i64>(0),
    )?;
    let mut spans: VecDeque<Span> = VecDeque::new();
    for block in blocks {
        let first = block?.saturating_mul(size);
        let span = Span {
            above: (first - 1).max(whole.above),
            last: first.saturating_add(size - 1).min(whole.last),
        };
        match spans.back_mut() {
            Some(before) if before.last == span.above => before.last = span.last,
            _ => spans.push_back(span),
        }
    }
    Ok(spans)
}
