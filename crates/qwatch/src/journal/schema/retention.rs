//! The layout step that lets records be removed without anyone taking it for damage or for silence.
//!
//! * `zone.removed`: how many of a block's numbers have no record any more. With it "a number is missing"
//!   and "a record was removed" are told apart in every block. The row of a block that is wholly gone is
//!   gone too.
//! * `journal.thinned`: no number above it was ever removed. `removing_above` and `removing_last` are set
//!   while a removal is under way: records in between may have lost their `place` already.
//! * `tally`: of each run how many records the index by run has and about how many bytes they take, how
//!   many were removed, and the latest time among those.
//! * `removal`: what was removed, when and why, one row a day and reason.

use super::rfc3339;

/// The records of the run `r` that are not placed yet.
const RUN_UNPLACED: &str = "(SELECT count(*) FROM event e \
    WHERE e.seq > (SELECT placed FROM journal) AND e.run = r.id)";

/// About how many bytes of the file a row of `event` takes, with its place.
pub(in super::super) const RECORD_BYTES: &str =
    "40 + coalesce(octet_length(e.data), 0) + coalesce(octet_length(e.raw), 0)";

pub(super) fn layout() -> String {
    format!("{TABLES}{}{}", fill_tally(), views())
}

const TABLES: &str = "
ALTER TABLE zone ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE journal ADD COLUMN thinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE journal ADD COLUMN removing_above INTEGER;
ALTER TABLE journal ADD COLUMN removing_last INTEGER;
CREATE TABLE tally (
    run INTEGER PRIMARY KEY,
    records INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    removed_until INTEGER
) STRICT;
CREATE TABLE removal (
    day INTEGER NOT NULL,
    reason TEXT NOT NULL,
    records INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    until INTEGER,
    PRIMARY KEY (day, reason)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_live ON run(id) WHERE detached IS NULL;
";

fn fill_tally() -> String {
    format!(
        "INSERT INTO tally(run, records, bytes, removed)
SELECT e.run, count(*), sum({RECORD_BYTES}), 0
FROM event e WHERE e.seq <= (SELECT placed FROM journal) GROUP BY e.run;
"
    )
}

fn views() -> String {
    let last = |column: &str| {
        format!("(SELECT r.{column} FROM run r WHERE r.machine = m.id ORDER BY r.id DESC LIMIT 1)")
    };
    let of_runs = |what: &str, expression: &str| {
        format!(
            "(SELECT {what}({expression}) FROM run r LEFT JOIN tally t ON t.run = r.id WHERE r.machine = m.id)"
        )
    };
    let records = format!("coalesce(t.records, 0) + {RUN_UNPLACED}");
    format!(
        "DROP VIEW runs;
DROP VIEW machines;
CREATE VIEW runs(run, machine, uuid, pid, version, package, address, started, attached, detached, ended, events, removed, removed_until) AS
SELECT r.id, m.name, r.uuid, r.pid, r.version, r.package, r.address,
    {started}, {attached}, {detached}, r.ended,
    {records}, coalesce(t.removed, 0), {removed_until}
FROM run r LEFT JOIN machine m ON m.id = r.machine LEFT JOIN tally t ON t.run = r.id;
CREATE VIEW machines(machine, uuid, version, runs, first_attached, last_attached, detached, ended, events, removed, removed_until) AS
SELECT m.name, {uuid}, {version}, (SELECT count(*) FROM run r WHERE r.machine = m.id),
    {first_attached}, {last_attached}, {last_detached}, {last_ended},
    coalesce({sum_records}, 0), coalesce({sum_removed}, 0), {last_removed}
FROM machine m;
CREATE VIEW removals(day, reason, events, first, last, until) AS
SELECT strftime('%Y-%m-%d', l.day * 86400, 'unixepoch'), l.reason, l.records, l.first, l.last, {removal_until}
FROM removal l;
",
        started = rfc3339("r.started"),
        attached = rfc3339("r.attached"),
        detached = rfc3339("r.detached"),
        removed_until = rfc3339("t.removed_until"),
        uuid = last("uuid"),
        version = last("version"),
        first_attached = rfc3339("(SELECT min(r.attached) FROM run r WHERE r.machine = m.id)"),
        last_attached = rfc3339(&last("attached")),
        last_detached = rfc3339(&last("detached")),
        last_ended = last("ended"),
        sum_records = of_runs("sum", &records),
        sum_removed = of_runs("sum", "t.removed"),
        last_removed = rfc3339(&of_runs("max", "t.removed_until")),
        removal_until = rfc3339("l.until"),
    )
}
