//! `qwatch journal`: real files, whole and damaged.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use qwatch::journal::{Entry, Journal, Note, Query, Reader};
use qwatch::record::Record;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::command::{Said, run};
use crate::support::{NOON_US, append, journal, line, run_info};

const PAGE: u64 = 8192;

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: TempDir::new().expect("a folder"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// `qwatch journal ARGS… --journal FILE`
fn on(path: &Path, args: &[&str]) -> Said {
    run(&[&["journal"], args, &["--journal", text(path)]].concat())
}

fn records(path: &Path) -> Vec<Record> {
    let reader = Reader::open(path).expect("a reader");
    let records = reader.records(&Query::default()).expect("a query");
    records.map(|record| record.expect("no damage")).collect()
}

/// Lines of every kind, some of which are kept whole.
fn odd_lines() -> Vec<String> {
    vec![
        line(NOON_US, "STOP", None),
        line(NOON_US + 1, "BALLOON_CHANGE", Some(r#"{"actual": 18446744073709551615}"#)),
        r#"{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "RESUME"}"#.to_owned(),
        r#"{"event": "RESET", "data": {"guest": true}, "timestamp": {"seconds": 7, "microseconds": 8}, "x": [1,2]}"#.to_owned(),
        "{\r\n    \"timestamp\": {\r\n        \"seconds\": 1\r\n    },\r\n    \"event\": \"odd\",\r\n    \"data\": {\r\n    }\r\n}".to_owned(),
        r#"{"event": "bare"}"#.to_owned(),
        line(NOON_US + 2, "GUEST_PANICKED", Some("{\"info\": \"\u{202e}\u{9b}31m\u{2028}\"}")),
        line(NOON_US + 3, "STOP", Some(r#"{"a" :  [ 1 , 2.50e1 ]}"#)),
        line(-5, "STOP", None),
    ]
}

/// A journal with two machines and a thousand times the odd lines.
async fn filled(path: &Path) -> Journal {
    let journal = journal(path);
    let opened = journal.writer().open_run(run_info("web", 1)).await;
    let web = opened.expect("a run").run;
    let opened = journal.writer().open_run(run_info("d\u{202e}b", 2)).await;
    let db = opened.expect("a run").run;
    let gap = r#"{"from": "2023-11-14T22:13:00.000000Z", "reason": "away"}"#;
    append(
        &journal,
        web,
        vec![Entry::note(Note::Gap, gap.to_owned(), NOON_US)],
    )
    .await;
    append(
        &journal,
        db,
        vec![Entry::note(
            Note::State,
            "{\"odd\": \"\u{2028}\"}".to_owned(),
            NOON_US,
        )],
    )
    .await;
    let lines = odd_lines();
    for round in 0..1000 {
        let entries = lines
            .iter()
            .map(|line| Entry::event(line, NOON_US + round).expect("an event"));
        append(
            &journal,
            if round % 3 == 0 { db } else { web },
            entries.collect(),
        )
        .await;
    }
    journal
}

const FILLED: u64 = 2 + 9 * 1000;

async fn closed(path: &Path) {
    filled(path).await.close().await.expect("closed");
}

#[tokio::test]
async fn a_journal_that_is_well_passes_while_it_is_written_and_after() {
    let place = Place::new();
    let path = place.path("j.db");
    let journal = filled(&path).await;
    let during = on(&path, &["check"]);
    assert_eq!(
        (during.code, during.err.as_str()),
        (0, ""),
        "{}",
        during.out
    );
    assert_eq!(
        during
            .out
            .lines()
            .filter(|line| line.starts_with("ok "))
            .count(),
        8
    );
    journal.close().await.expect("closed");
    let after = on(&path, &["check", "--json"]);
    assert_eq!(after.code, 0);
    assert!(
        after.out.lines().all(|line| line.contains("\"ok\":true")),
        "{}",
        after.out
    );
    let info = on(&path, &["info", "--json"]);
    let info: serde_json::Value = serde_json::from_str(&info.out).expect("JSON");
    assert_eq!(
        [
            &info["records"],
            &info["first_seq"],
            &info["last_seq"],
            &info["machines"],
            &info["gaps"]
        ],
        [FILLED, 1, FILLED, 2, 1]
            .map(serde_json::Value::from)
            .each_ref()
    );
    let told = on(&path, &["info"]);
    assert!(
        told.out
            .contains(&format!("records    {FILLED}, numbers 1 to {FILLED}")),
        "{}",
        told.out
    );
}

/// SQL, and where a check finds what it has done, in which words.
const DEEDS: [(&str, &str, &str); 14] = [
    (
        "DELETE FROM event WHERE seq = 5000",
        "records",
        "1 are missing",
    ),
    (
        "DELETE FROM event WHERE seq > 2047 AND seq < 4096; DELETE FROM place WHERE seq > 2047 AND seq < 4096",
        "records",
        "are missing",
    ),
    (
        "DELETE FROM place WHERE seq = 77",
        "index by run",
        "record 77 of run 1 is not in the index",
    ),
    (
        "UPDATE event SET run = 99 WHERE seq = 12",
        "records",
        "record 12 is of run 99, which is not there",
    ),
    (
        "UPDATE event SET name = 999 WHERE seq = 12",
        "records",
        "record 12 has the name 999",
    ),
    (
        "UPDATE event SET data = '{' WHERE seq = 12",
        "records",
        "record 12 has data that is no JSON",
    ),
    (
        "UPDATE event SET raw = 'x' WHERE seq = 12",
        "records",
        "a line that is no event",
    ),
    (
        "UPDATE zone SET earliest = latest WHERE block = 3",
        "records",
        "times that the time map does not have",
    ),
    (
        "UPDATE zone SET removed = 1 WHERE block = 3",
        "records",
        "said to be removed and are there",
    ),
    (
        "UPDATE tally SET records = 7 WHERE run = 1",
        "tallies",
        "7 in its tally",
    ),
    (
        "DELETE FROM machine WHERE id = 1",
        "references",
        "machine 1, which is not there",
    ),
    (
        "INSERT INTO cursor VALUES ('nats', 99999)",
        "references",
        "the follower nats is at 99999",
    ),
    ("DROP VIEW gaps", "views", "gaps"),
    (
        "DROP INDEX run_of_machine",
        "layout",
        "index run_of_machine is missing",
    ),
];

#[tokio::test]
async fn a_check_finds_what_was_done_to_it() {
    let place = Place::new();
    let whole = place.path("whole.db");
    closed(&whole).await;
    for (sql, what, words) in DEEDS {
        let path = place.path("hurt.db");
        fs::copy(&whole, &path).expect("copied");
        Connection::open(&path)
            .and_then(|conn| conn.execute_batch(sql))
            .expect(sql);
        let said = on(&path, &["check", "--json"]);
        assert_eq!(said.code, 1, "{sql}");
        let bad: Vec<&str> = said
            .out
            .lines()
            .filter(|line| line.contains("\"ok\":false"))
            .collect();
        assert!(
            bad.iter()
                .any(|line| line.contains(&format!("\"what\":\"{what}\"")) && line.contains(words)),
            "{sql}: {bad:?}"
        );
        assert!(said.err.contains("qwatch journal salvage"), "{}", said.err);
    }
}

#[tokio::test]
async fn what_is_exported_comes_back_byte_for_byte() {
    let place = Place::new();
    let path = place.path("j.db");
    closed(&path).await;
    let original = records(&path);
    let reader = Reader::open(&path).expect("a reader");
    for name in ["x.jsonl", "x.parquet"] {
        let file = place.path(name);
        let said = on(&path, &["export", "-o", text(&file)]);
        assert_eq!(said.code, 0, "{}", said.err);
        let copy = place.path(&format!("{name}.db"));
        let said = run(&["journal", "import", text(&file), "--journal", text(&copy)]);
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(said.err.contains("the numbers they had"), "{}", said.err);
        assert_eq!(records(&copy), original, "{name}");
        let copied = Reader::open(&copy).expect("a reader");
        for seq in 1..=FILLED {
            assert_eq!(
                copied.line(seq).expect("readable"),
                reader.line(seq).expect("readable"),
                "{name}: {seq}"
            );
        }
        let (mut mine, mut theirs) = (
            copied.machines().expect("it"),
            reader.machines().expect("it"),
        );
        for machine in mine.iter_mut().chain(&mut theirs) {
            // The original is still open; a copy is not recorded into.
            machine
                .runs
                .iter_mut()
                .for_each(|run| run.detached_us = None);
        }
        assert_eq!(mine, theirs, "{name}");
        assert_eq!(on(&copy, &["check"]).code, 0);
        // Behind what is there, with new numbers.
        let said = run(&["journal", "import", text(&file), "--journal", text(&copy)]);
        assert!(
            said.err.contains(&format!(
                "with new numbers, {} to {}",
                FILLED + 1,
                FILLED * 2
            )),
            "{}",
            said.err
        );
        assert_eq!(on(&copy, &["check"]).code, 0);
    }
    // Nothing in it that a terminal would obey.
    let lines = on(&path, &["export"]).out;
    assert!(!lines.contains(['\u{202e}', '\u{9b}', '\u{2028}', '\r']));
}

#[tokio::test]
async fn a_part_keeps_its_numbers_and_the_rest_is_not_taken_for_damage() {
    let place = Place::new();
    let path = place.path("j.db");
    closed(&path).await;
    let file = place.path("part.jsonl");
    let said = on(
        &path,
        &[
            "export",
            "-m",
            "web",
            "-e",
            "BALLOON_CHANGE,gap",
            "-o",
            text(&file),
        ],
    );
    assert_eq!(said.code, 0, "{}", said.err);
    let copy = place.path("part.db");
    assert_eq!(
        run(&["journal", "import", text(&file), "--journal", text(&copy)]).code,
        0
    );
    let expected: Vec<Record> = records(&path)
        .into_iter()
        .filter(|r| r.machine == "web" && (r.name == "BALLOON_CHANGE" || r.name == "gap"))
        .collect();
    assert_eq!(records(&copy), expected);
    let check = on(&copy, &["check"]);
    assert_eq!(check.code, 0, "{}", check.out);
    let removed = Reader::open(&copy)
        .expect("it")
        .removed()
        .expect("readable");
    assert_eq!(
        removed.records,
        expected.last().and_then(|r| r.seq).expect("it") - expected.len() as u64
    );
    // What history prints can be imported as well, from a pipe too.
    let printed = run(&["history", "--json", "-m", "web", "--journal", text(&path)]).out;
    let lines = place.path("history.jsonl");
    fs::write(&lines, &printed).expect("written");
    let third = place.path("third.db");
    assert_eq!(
        run(&["journal", "import", text(&lines), "--journal", text(&third)]).code,
        0
    );
    assert_eq!(records(&third).len(), printed.lines().count());
}

#[test]
fn what_is_no_export_is_refused_with_its_place() {
    let place = Place::new();
    let target = place.path("j.db");
    let good = r#"{"seq":4,"machine":"m","received":"2023-11-14T22:13:20.000100Z","event":"STOP","origin":"qemu","timestamp":{"seconds":1,"microseconds":2}}"#;
    let cases = [
        ("nonsense\n".to_owned(), "line 1: "),
        (format!("{good}\n{{\"machine\": 5}}\n"), "line 2: "),
        (format!("{good}\n{good}\n"), "record 4 comes after record 4"),
        (
            good.replace("qemu", "libvirt"),
            "line 1: the origin is `libvirt`",
        ),
        (good.replace("2023", "at noon"), "is no moment"),
        (
            good.replace("\"qemu\"", "\"qwatch\""),
            "`STOP` is no note of the recorder",
        ),
        (
            good.replace(":4,", ":9007199254740993,"),
            "comes after record",
        ),
        ("PAR1 and nothing else".to_owned(), "export: "),
    ];
    for (text_of, words) in cases {
        let file = place.path("export");
        fs::write(&file, &text_of).expect("written");
        let _ = fs::remove_file(&target);
        let said = run(&["journal", "import", text(&file), "--journal", text(&target)]);
        assert_eq!(said.code, 1, "{text_of}");
        assert!(said.err.contains(words), "{text_of}: {}", said.err);
    }
}

#[tokio::test]
async fn vacuum_gives_free_pages_back_and_refuses_a_journal_in_use() {
    let place = Place::new();
    let path = place.path("j.db");
    let journal = filled(&path).await;
    let said = on(&path, &["vacuum"]);
    assert!(
        said.code == 1 && said.err.contains("is being written by"),
        "{}",
        said.err
    );
    journal.close().await.expect("closed");
    let before = records(&path);
    let conn = Connection::open(&path).expect("any SQLite");
    conn.execute_batch(
        "CREATE TABLE bulk(x); INSERT INTO bulk SELECT zeroblob(4000000); DROP TABLE bulk",
    )
    .expect("bulk");
    drop(conn);
    let size = || fs::metadata(&path).expect("a file").len();
    let full = size();
    let said = on(&path, &["vacuum"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(size() + 3_900_000 < full, "{full} then {}", size());
    assert_eq!(records(&path), before);
    let missing = on(&place.path("none.db"), &["vacuum"]);
    assert!(
        missing.code == 1 && missing.err.contains("there is no journal"),
        "{}",
        missing.err
    );
}

/// The page on which most of this table's rows lie, somewhere in its middle.
fn page_of(path: &Path, table: &str) -> u64 {
    let conn = Connection::open(path).expect("any SQLite");
    let page: i64 = conn
        .query_row(
            "SELECT pageno FROM dbstat WHERE name = ?1 AND pagetype = 'leaf' ORDER BY path LIMIT 1 OFFSET 5",
            [table],
            |row| row.get(0),
        )
        .expect("a page");
    page.unsigned_abs()
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).expect("a file");
    file.write_all_at(bytes, at).expect("written");
}

/// Salvages, and looks at what came out: every record that is there is as it was.
#[track_caller]
fn salvaged(place: &Place, hurt: &Path, original: &[Record]) -> (Said, Vec<Record>) {
    let new = place.path("new.db");
    for suffix in ["", "-wal", "-shm", "-lock", "-status"] {
        let _ = fs::remove_file(place.path(&format!("new.db{suffix}")));
    }
    let before = fs::read(hurt).expect("readable");
    let said = run(&["journal", "salvage", text(hurt), text(&new)]);
    assert!(new.exists(), "{}", said.err);
    assert_eq!(
        fs::read(hurt).expect("readable"),
        before,
        "the damaged file is not touched"
    );
    let check = on(&new, &["check"]);
    assert_eq!(check.code, 0, "{}{}", check.out, check.err);
    let found = records(&new);
    let mut expected = original.iter();
    for record in &found {
        let same = expected
            .find(|other| other.seq == record.seq)
            .expect("a record that was there");
        assert_eq!(record, same);
    }
    (said, found)
}

#[tokio::test]
async fn a_page_that_is_gone_costs_the_records_on_it_and_no_others() {
    let place = Place::new();
    let whole = place.path("whole.db");
    closed(&whole).await;
    let original = records(&whole);
    let page = page_of(&whole, "event");
    for (what, bytes) in [("zeros", vec![0; 8192]), ("noise", vec![0xa7; 8192])] {
        let hurt = place.path("hurt.db");
        fs::copy(&whole, &hurt).expect("copied");
        overwrite(&hurt, (page - 1) * PAGE, &bytes);
        let said = on(&hurt, &["check"]);
        assert_eq!(said.code, 1, "{what}");
        let history = run(&["history", "--journal", text(&hurt)]);
        assert!(
            history.code == 1 && history.err.contains("qwatch journal salvage"),
            "{what}: {}",
            history.err
        );
        let (said, found) = salvaged(&place, &hurt, &original);
        assert_eq!(said.code, 1);
        let lost = original.len() - found.len();
        assert!((1..400).contains(&lost), "{what}: {lost} lost");
        assert!(
            said.err.contains(&format!("{lost} records are lost: ")),
            "{what}: {}",
            said.err
        );
    }
}

#[tokio::test]
async fn a_file_that_was_cut_off_gives_what_is_left() {
    let place = Place::new();
    let whole = place.path("whole.db");
    closed(&whole).await;
    let original = records(&whole);
    let hurt = place.path("hurt.db");
    fs::copy(&whole, &hurt).expect("copied");
    let length = fs::metadata(&hurt).expect("a file").len();
    let file = OpenOptions::new().write(true).open(&hurt).expect("a file");
    file.set_len(length * 3 / 4 + 100).expect("cut off");
    let history = run(&["history", "--journal", text(&hurt)]);
    assert!(
        history.code == 1 && history.err.contains("salvage OLD NEW"),
        "{}",
        history.err
    );
    let (said, found) = salvaged(&place, &hurt, &original);
    assert!(said.err.contains("the file was cut off"), "{}", said.err);
    assert!(
        found.len() * 2 > original.len(),
        "{} of {}",
        found.len(),
        original.len()
    );
    assert_eq!(said.code, 1);
}

#[tokio::test]
async fn a_first_page_that_is_gone_costs_nothing() {
    let place = Place::new();
    let whole = place.path("whole.db");
    closed(&whole).await;
    let original = records(&whole);
    let hurt = place.path("hurt.db");
    fs::copy(&whole, &hurt).expect("copied");
    overwrite(&hurt, 0, &[0; 8192]);
    let history = run(&["history", "--journal", text(&hurt)]);
    assert!(
        history.code == 1 && history.err.contains("if it was one"),
        "{}",
        history.err
    );
    let (said, found) = salvaged(&place, &hurt, &original);
    assert!(said.err.contains("the first page is gone"), "{}", said.err);
    assert_eq!(
        (said.code, found.len()),
        (0, original.len()),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn a_log_that_is_torn_is_noticed_and_what_is_behind_the_tear_is_not_lost() {
    let place = Place::new();
    let path = place.path("j.db");
    journal(&path).close().await.expect("made");
    // One who holds on to an old state keeps the log from being moved into the file.
    let holder = Connection::open(&path).expect("any SQLite");
    holder
        .execute_batch("BEGIN; SELECT count(*) FROM event")
        .expect("a state");
    let journal = filled(&path).await;
    let original = records(&path);
    // A copy as after a power loss: most records are only in the log.
    let hurt = place.path("hurt.db");
    fs::copy(&path, &hurt).expect("copied");
    let log = place.path("hurt.db-wal");
    fs::copy(place.path("j.db-wal"), &log).expect("copied");
    drop(journal);
    drop(holder);
    let length = fs::metadata(&log).expect("a log").len();
    assert!(length > 100 * PAGE, "{length}");
    let frame = PAGE + 24;
    let middle = (length - 32) / frame / 2;
    overwrite(&log, 32 + middle * frame + 24 + 4000, &[0x55; 64]);
    let check = on(&hurt, &["check"]);
    assert!(
        check.code == 1 && check.out.contains("the log is torn after"),
        "{}",
        check.out
    );
    assert!(
        records(&hurt).len() < original.len(),
        "SQLite stops at the tear"
    );
    let (said, found) = salvaged(&place, &hurt, &original);
    assert!(
        said.err.contains("behind the tear are read all the same"),
        "{}",
        said.err
    );
    assert!(
        found.len() + 400 > original.len(),
        "{} of {}",
        found.len(),
        original.len()
    );
    // A recorder that starts on it keeps the torn log, before SQLite writes over it.
    let again = crate::support::journal(&hurt);
    drop(again);
    let kept = fs::read_dir(place.dir.path())
        .expect("a folder")
        .filter_map(Result::ok);
    let kept: Vec<_> = kept
        .filter(|f| {
            f.file_name()
                .to_string_lossy()
                .starts_with("hurt.db-wal-torn-")
        })
        .collect();
    assert_eq!(kept.len(), 1);
}

#[test]
fn what_cannot_be_salvaged_is_said() {
    let place = Place::new();
    let notes = place.path("notes.txt");
    fs::write(&notes, "milk, bread\n".repeat(5)).expect("written");
    let new = place.path("new.db");
    let said = run(&["journal", "salvage", text(&notes), text(&new)]);
    assert!(
        said.code == 1 && said.err.contains("nothing in it can be read"),
        "{}",
        said.err
    );
    assert!(!new.exists());
    let there = run(&["journal", "salvage", text(&notes), text(&notes)]);
    assert!(
        there.code == 1 && there.err.contains("is there already"),
        "{}",
        there.err
    );
    let none = run(&[
        "journal",
        "salvage",
        text(&place.path("none")),
        text(&place.path("x.db")),
    ]);
    assert!(
        none.code == 1 && none.err.contains("No such file"),
        "{}",
        none.err
    );
}

#[tokio::test]
async fn an_older_layout_is_brought_up_with_its_tallies() {
    let place = Place::new();
    let path = place.path("j.db");
    closed(&path).await;
    let before = records(&path);
    // Back to the layout without retention.
    Connection::open(&path)
        .and_then(|conn| {
            conn.execute_batch(
                "DROP VIEW removals; DROP VIEW runs; DROP VIEW machines; DROP TABLE tally; DROP TABLE removal; \
                 DROP INDEX run_live; ALTER TABLE zone DROP COLUMN removed; ALTER TABLE journal DROP COLUMN thinned; \
                 ALTER TABLE journal DROP COLUMN removing_above; ALTER TABLE journal DROP COLUMN removing_last; \
                 CREATE VIEW runs AS SELECT 1; CREATE VIEW machines AS SELECT 1; PRAGMA user_version = 3",
            )
        })
        .expect("an older layout");
    let said = run(&["history", "--journal", text(&path)]);
    assert!(
        said.code == 1 && said.err.contains("older qwatch"),
        "{}",
        said.err
    );
    journal(&path).close().await.expect("brought up");
    assert_eq!(records(&path)[..before.len()], before);
    let check = on(&path, &["check"]);
    assert_eq!(check.code, 0, "{}", check.out);
}
