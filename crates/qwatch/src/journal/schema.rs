//! The layout of the journal file and how older files are brought up to it.
//!
//! Each step turns layout N into N+1 in one transaction; `PRAGMA user_version` holds N. A step that has
//! been released is never changed: a new layout is a new step.

use std::sync::OnceLock;

use rusqlite::{Connection, TransactionBehavior};

use super::entry::{NO_CLOCK, Note};

pub(super) mod retention;

/// `PRAGMA application_id`: the letters `qwtj`. Lets `file` and us tell a journal from any other database.
pub const APPLICATION_ID: i32 = 0x7177_746A;

/// The layout this qwatch writes.
pub const VERSION: i64 = STEPS.len() as i64;

/// Numbers in the table `name` below this one are the recorder's own notes, from it on QEMU's events.
pub const FIRST_QEMU_NAME: i64 = 64;

// The SQL of the partial index, and of the queries that want to use it, says the number itself.
const _: () = assert!(FIRST_QEMU_NAME == 64);

/// One step of layout; gives the SQL.
pub(super) type Step = fn() -> String;

/// All steps, the first of which makes an empty file a journal.
pub(super) const STEPS: &[Step] = &[first_layout, connections, snapshots, retention::layout];

/// A step that this process knows beyond [`STEPS`].
static ADDED: OnceLock<Step> = OnceLock::new();

/// Makes this process one of a later release with one more step. For tests of taking over, at the very
/// start; a second call changes nothing.
#[doc(hidden)]
pub fn add_step(step: fn() -> String) {
    ADDED.get_or_init(|| step);
}

/// All steps this process knows.
pub(super) fn steps() -> Vec<Step> {
    STEPS.iter().chain(ADDED.get()).copied().collect()
}

/// The layout this process writes.
pub(super) fn version() -> i64 {
    VERSION + i64::from(ADDED.get().is_some())
}

/// Brings a file from its layout to the last of `steps`, one transaction a step.
///
/// The caller has checked that the file is empty or a journal and not newer than `steps`.
pub(super) fn migrate(conn: &mut Connection, steps: &[Step]) -> rusqlite::Result<()> {
    let mut version = user_version(conn)?;
    let done = usize::try_from(version).unwrap_or(0);
    for step in steps.iter().skip(done) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(&step())?;
        version += 1;
        tx.pragma_update(None, "user_version", version)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.commit()?;
    }
    Ok(())
}

/// The layout of a file; 0 if it is empty.
pub(super) fn user_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// `PRAGMA application_id` of a file; 0 if it is empty.
pub(super) fn application_id(conn: &Connection) -> rusqlite::Result<i32> {
    conn.pragma_query_value(None, "application_id", |row| row.get(0))
}

fn snapshots() -> String {
    super::snapshot::LAYOUT.to_owned()
}

fn first_layout() -> String {
    let mut sql = TABLES.to_owned();
    for note in Note::ALL {
        sql.push_str(&format!(
            "INSERT INTO name(id, name) VALUES ({}, '{}');\n",
            note.number(),
            note.name()
        ));
    }
    sql.push_str(&events_view());
    sql.push_str(&run_views());
    sql.push_str(&gaps_view());
    sql
}

/// `event.run` and `event.name` refer to `run` and `name`; the writer sees to it, a check per row by
/// SQLite would cost a tenth of the ingest.
const TABLES: &str = "
CREATE TABLE journal (
    id TEXT NOT NULL,
    created INTEGER NOT NULL,
    placed INTEGER NOT NULL
) STRICT;
CREATE TABLE machine (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    machine INTEGER NOT NULL,
    uuid TEXT,
    pid INTEGER,
    started INTEGER,
    version TEXT NOT NULL,
    package TEXT NOT NULL,
    address TEXT NOT NULL,
    attached INTEGER NOT NULL,
    detached INTEGER,
    ended TEXT
) STRICT;
CREATE INDEX run_of_machine ON run(machine);
CREATE TABLE name (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL
) STRICT;
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    name INTEGER NOT NULL,
    stamp INTEGER,
    lag INTEGER NOT NULL,
    data TEXT,
    raw TEXT
) STRICT;
CREATE TABLE place (
    run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_note ON event(name) WHERE name < 64;
CREATE TABLE zone (
    block INTEGER PRIMARY KEY,
    earliest INTEGER NOT NULL,
    latest INTEGER NOT NULL
) STRICT;
CREATE TABLE cursor (
    follower TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// What outlives a recorder whose descriptors are kept. `chunk` is written in every transaction of every
/// machine: its rows are small and lie together, so that many machines share a page.
fn connections() -> String {
    "
CREATE TABLE connection (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    claimed TEXT NOT NULL,
    greeting TEXT NOT NULL,
    oob INTEGER NOT NULL,
    dialled_in INTEGER NOT NULL,
    shutdown TEXT,
    asking TEXT,
    partial BLOB
) STRICT;
CREATE TABLE chunk (
    connection INTEGER PRIMARY KEY,
    length INTEGER NOT NULL,
    hash INTEGER NOT NULL
) STRICT;
"
    .to_owned()
}

/// A time in microseconds as RFC 3339 text in UTC with six decimals. NULL stays NULL.
fn rfc3339(us: &str) -> String {
    // Division and remainder that round down also before 1970.
    let micros = format!("((({us}) % 1000000 + 1000000) % 1000000)");
    format!(
        "strftime('%Y-%m-%dT%H:%M:%S', (({us}) - {micros}) / 1000000, 'unixepoch') \
         || printf('.%06dZ', {micros})"
    )
}

/// How many records the run `r` has: those that are placed, and those that are not yet.
const RUN_RECORDS: &str = "((SELECT count(*) FROM place p WHERE p.run = r.id) \
    + (SELECT count(*) FROM event e WHERE e.seq > (SELECT placed FROM journal) AND e.run = r.id))";

/// The time of receipt in microseconds, from the columns of `event`.
const RECEIVED: &str = "e.lag + iif(e.stamp = -1, 0, coalesce(e.stamp, 0))";

/// The time of the event: its stamp, or the time of receipt.
const TIME: &str = "iif(e.stamp = -1, e.lag, coalesce(e.stamp, e.lag))";

/// A member of the stamp of a line that was kept whole.
fn raw_stamp(member: &str) -> String {
    format!("CASE WHEN json_valid(e.raw) THEN json_extract(e.raw, '$.timestamp.{member}') END")
}

fn events_view() -> String {
    const { assert!(NO_CLOCK == -1) };
    let second = "(e.stamp - ((e.stamp % 1000000 + 1000000) % 1000000)) / 1000000";
    let microsecond = "(e.stamp % 1000000 + 1000000) % 1000000";
    let part = |expression: &str, member: &str| {
        format!(
            "CASE WHEN e.stamp = -1 THEN -1 WHEN e.stamp IS NOT NULL THEN {expression} \
             WHEN e.raw IS NOT NULL THEN {} END",
            raw_stamp(member)
        )
    };
    format!(
        "CREATE VIEW events(seq, machine, run, origin, event, time, received, seconds, microseconds, data) AS
SELECT e.seq, m.name, e.run, iif(e.name < {FIRST_QEMU_NAME}, 'qwatch', 'qemu'), n.name,
    {time}, {received}, {seconds}, {microseconds}, e.data
FROM event e
    LEFT JOIN run r ON r.id = e.run
    LEFT JOIN machine m ON m.id = r.machine
    LEFT JOIN name n ON n.id = e.name;
",
        time = rfc3339(TIME),
        received = rfc3339(RECEIVED),
        seconds = part(second, "seconds"),
        microseconds = part(microsecond, "microseconds"),
    )
}

fn run_views() -> String {
    let last = |column: &str| {
        format!("(SELECT r.{column} FROM run r WHERE r.machine = m.id ORDER BY r.id DESC LIMIT 1)")
    };
    format!(
        "CREATE VIEW runs(run, machine, uuid, pid, version, package, address, started, attached, detached, ended, events) AS
SELECT r.id, m.name, r.uuid, r.pid, r.version, r.package, r.address,
    {started}, {attached}, {detached}, r.ended,
    {run_records}
FROM run r LEFT JOIN machine m ON m.id = r.machine;
CREATE VIEW machines(machine, uuid, version, runs, first_attached, last_attached, detached, ended, events) AS
SELECT m.name, {uuid}, {version}, (SELECT count(*) FROM run r WHERE r.machine = m.id),
    {first_attached}, {last_attached}, {last_detached}, {last_ended},
    (SELECT coalesce(sum({run_records}), 0) FROM run r WHERE r.machine = m.id)
FROM machine m;
",
        started = rfc3339("r.started"),
        attached = rfc3339("r.attached"),
        detached = rfc3339("r.detached"),
        uuid = last("uuid"),
        version = last("version"),
        first_attached = rfc3339("(SELECT min(r.attached) FROM run r WHERE r.machine = m.id)"),
        last_attached = rfc3339(&last("attached")),
        last_detached = rfc3339(&last("detached")),
        last_ended = last("ended"),
        run_records = RUN_RECORDS,
    )
}

fn gaps_view() -> String {
    format!(
        "CREATE VIEW gaps(seq, machine, run, since, until, reason, lost) AS
SELECT e.seq, m.name, e.run, json_extract(e.data, '$.from'), json_extract(e.data, '$.until'),
    json_extract(e.data, '$.reason'), json_extract(e.data, '$.lost')
FROM event e
    LEFT JOIN run r ON r.id = e.run
    LEFT JOIN machine m ON m.id = r.machine
WHERE e.name = {} AND e.name < {FIRST_QEMU_NAME};
",
        Note::Gap.number()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_layout() -> String {
        "ALTER TABLE run ADD COLUMN host TEXT; CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT;"
            .to_owned()
    }

    fn broken_step() -> String {
        "CREATE TABLE half (id INTEGER PRIMARY KEY); SELECT * FROM nowhere;".to_owned()
    }

    fn table_exists(conn: &Connection, name: &str) -> bool {
        conn.query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name = ?1",
            [name],
            |row| row.get::<_, i64>(0),
        )
        .expect("a count")
            == 1
    }

    #[test]
    fn an_older_file_is_brought_up_and_keeps_its_rows() {
        let mut conn = Connection::open_in_memory().expect("a database");
        migrate(&mut conn, STEPS).expect("today's layout");
        assert_eq!(user_version(&conn), Ok(VERSION));
        assert_eq!(application_id(&conn), Ok(APPLICATION_ID));
        conn.execute("INSERT INTO machine(name) VALUES ('web')", [])
            .expect("a row");

        let longer: Vec<Step> = STEPS.iter().copied().chain([next_layout as Step]).collect();
        migrate(&mut conn, &longer).expect("the next layout");
        assert_eq!(user_version(&conn), Ok(VERSION + 1));
        assert!(table_exists(&conn, "later") && table_exists(&conn, "events"));
        let name: String = conn
            .query_row("SELECT name FROM machine", [], |row| row.get(0))
            .expect("the row");
        assert_eq!(name, "web");
        migrate(&mut conn, &longer).expect("nothing left to do");
    }

    #[test]
    fn a_step_that_fails_leaves_nothing_behind() {
        let mut conn = Connection::open_in_memory().expect("a database");
        let steps: &[Step] = &[first_layout, broken_step];
        migrate(&mut conn, steps).expect_err("the second step is broken");
        assert_eq!(user_version(&conn), Ok(1));
        assert!(!table_exists(&conn, "half"));
    }
}
