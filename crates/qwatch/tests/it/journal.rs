//! The journal: what goes in comes out, for every way of reading it.

use std::fs;
use std::path::Path;

use qmp_events::Timestamp;
use qwatch::journal::{
    Direction, Entry, Follower, Journal, Note, OpenError, Query, Reader, RunEnd, Settings,
};
use qwatch::record::{Origin, Record};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{NOON_US, append, event, journal, line, run_info};

fn all(reader: &Reader, query: &Query<'_>) -> Vec<Record> {
    let records = reader.records(query).expect("a query");
    records.collect::<Result<_, _>>().expect("records")
}

fn seqs(records: &[Record]) -> Vec<u64> {
    records
        .iter()
        .map(|record| record.seq.expect("a number"))
        .collect()
}

#[tokio::test]
async fn what_qemu_sent_comes_back_byte_for_byte() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("j.db");
    let journal = journal(&path);
    let run = journal
        .writer()
        .open_run(run_info("web", 1))
        .await
        .expect("a run")
        .run;
    let lines = [
        line(NOON_US, "STOP", None),
        line(NOON_US + 1, "BALLOON_CHANGE", Some(r#"{"actual": 18446744073709551615}"#)),
        r#"{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "RESUME"}"#.to_owned(),
        r#"{"timestamp": {"seconds": -1, "microseconds": 999999}, "event": "RESUME"}"#.to_owned(),
        r#"{"event": "RESET", "data": {"guest": true}, "timestamp": {"seconds": 7, "microseconds": 8}, "x": [1,2]}"#.to_owned(),
        "{\r\n    \"timestamp\": {\r\n        \"seconds\": 1\r\n    },\r\n    \"event\": \"odd\"\r\n}".to_owned(),
        r#"{"event": "bare"}"#.to_owned(),
        r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "GAP\u00e9", "data": 5}"#.to_owned(),
    ];
    let entries = lines
        .iter()
        .map(|line| Entry::event(line, NOON_US + 7).expect("an event"))
        .collect();
    assert_eq!(append(&journal, run, entries).await, lines.len() as u64);
    assert_eq!(*journal.position().borrow(), lines.len() as u64);
    journal.close().await.expect("closed");

    let reader = Reader::open(&path).expect("a reader");
    for (line, seq) in lines.iter().zip(1..) {
        assert_eq!(reader.line(seq).expect("readable").as_ref(), Some(line));
    }
    let records = all(&reader, &Query::default());
    assert_eq!(seqs(&records), (1..=lines.len() as u64).collect::<Vec<_>>());
    assert_eq!(
        records[1].data.as_deref(),
        Some(r#"{"actual": 18446744073709551615}"#)
    );
    assert_eq!(records[2].timestamp, Some(Timestamp::UNKNOWN));
    assert_eq!(records[2].time_us(), NOON_US + 7);
    let last_moment_of_1969 = Timestamp {
        seconds: -1,
        microseconds: 999_999,
    };
    assert_eq!(records[3].timestamp, Some(last_moment_of_1969));
    assert_eq!(
        records[4].timestamp,
        Some(Timestamp {
            seconds: 7,
            microseconds: 8
        })
    );
    assert_eq!(records[6].timestamp, None);
    assert_eq!(records[7].name, "GAPé");
    assert!(
        records
            .iter()
            .all(|r| r.received_us == NOON_US + 7 && r.machine == "web")
    );
}

/// Five records: a gap, and stamps of every kind.
async fn with_odd_stamps(path: &Path) -> Journal {
    let journal = journal(path);
    let writer = journal.writer();
    let run = writer
        .open_run(run_info("web", 1))
        .await
        .expect("a run")
        .run;
    let gap = r#"{"from": "2023-11-14T22:13:00.000000Z", "until": "2023-11-14T22:13:20.000000Z", "reason": "away"}"#;
    let entries = vec![
        Entry::note(Note::Gap, gap.to_owned(), NOON_US),
        event(NOON_US + 5, "STOP", Some(r#"{"a": 1}"#)),
        Entry::event(
            r#"{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "gap"}"#,
            NOON_US,
        )
        .expect("an event"),
        Entry::event(
            r#"{"event": "STOP", "timestamp": {"seconds": 3, "microseconds": 4000000}}"#,
            NOON_US,
        )
        .expect("an event"),
        event(-5, "STOP", None),
    ];
    append(&journal, run, entries).await;
    journal
}

#[tokio::test]
async fn the_views_say_the_same() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("j.db");
    let _journal = with_odd_stamps(&path).await;
    let other = Connection::open(&path).expect("any SQLite");
    let rows: Vec<String> = other
        .prepare(
            "SELECT seq || ' ' || machine || ' ' || run || ' ' || origin || ' ' || event || ' ' || time || ' ' || \
             received || ' ' || coalesce(seconds, '-') || ' ' || coalesce(microseconds, '-') || ' ' || coalesce(data, '-') \
             FROM events WHERE seq > 1 ORDER BY seq",
        )
        .expect("the view")
        .query_map([], |row| row.get(0))
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("rows");
    assert_eq!(
        rows,
        [
            "2 web 1 qemu STOP 2023-11-14T22:13:20.000005Z 2023-11-14T22:13:20.500005Z 1700000000 5 {\"a\": 1}",
            "3 web 1 qemu gap 2023-11-14T22:13:20.000000Z 2023-11-14T22:13:20.000000Z -1 -1 -",
            "4 web 1 qemu STOP 2023-11-14T22:13:20.000000Z 2023-11-14T22:13:20.000000Z 3 4000000 -",
            "5 web 1 qemu STOP 1969-12-31T23:59:59.999995Z 1970-01-01T00:00:00.499995Z -1 999995 -",
        ]
    );
    let gaps: Vec<(u64, String, String)> = other
        .prepare("SELECT seq, since, reason FROM gaps")
        .expect("the view")
        .query_map([], |row| {
            Ok((
                row.get::<_, i64>(0)?.unsigned_abs(),
                row.get(1)?,
                row.get(2)?,
            ))
        })
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("rows");
    assert_eq!(
        gaps,
        [(
            1,
            "2023-11-14T22:13:00.000000Z".to_owned(),
            "away".to_owned()
        )]
    );
    let read = |sql: &str| -> String { other.query_row(sql, [], |row| row.get(0)).expect(sql) };
    assert_eq!(
        read(
            "SELECT machine || ' ' || runs || ' ' || events || ' ' || version || ' ' || last_attached FROM machines"
        ),
        "web 1 5 7.2.22 2023-11-14T22:13:20.000000Z"
    );
    assert_eq!(
        read(
            "SELECT run || ' ' || pid || ' ' || started || ' ' || coalesce(detached, 'attached') FROM runs"
        ),
        "1 1 2023-11-14T22:13:19.000000Z attached"
    );
}

#[tokio::test]
async fn a_second_writer_is_refused_by_name_and_the_first_goes_on() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("j.db");
    let first = journal(&path);
    let linked = dir.path().join("link.db");
    std::os::unix::fs::symlink(&path, &linked).expect("a link");
    for second in [&path, &linked] {
        let error = Journal::open(second, &Settings::default()).expect_err("refused");
        assert!(
            matches!(error, OpenError::Locked { pid: Some(pid), .. } if pid == std::process::id())
        );
        assert!(error.to_string().contains("--journal"), "{error}");
    }
    let run = first
        .writer()
        .open_run(run_info("web", 1))
        .await
        .expect("a run")
        .run;
    append(&first, run, vec![event(NOON_US, "STOP", None)]).await;
    first.close().await.expect("closed");
    journal(&path).close().await.expect("free again");
}

#[tokio::test]
async fn one_process_is_one_run_and_an_end_without_a_word_is_noted() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("j.db");
    let first = journal(&path);
    let opened = first
        .writer()
        .open_run(run_info("web", 1))
        .await
        .expect("a run");
    assert!(!opened.continued && opened.heard_until_us.is_none());
    append(&first, opened.run, vec![event(NOON_US, "STOP", None)]).await;
    // Closed with the run still open: what a killed recorder leaves behind.
    first.close().await.expect("closed");

    let second = journal(&path);
    let reader = Reader::open(&path).expect("a reader");
    let notes = all(
        &reader,
        &Query::default().events(&|name| name == "detached"),
    );
    assert_eq!(seqs(&notes), [2]);
    assert!(
        notes[0]
            .data
            .as_deref()
            .is_some_and(|data| data.contains("without a word"))
    );
    let again = second
        .writer()
        .open_run(run_info("web", 1))
        .await
        .expect("a run");
    assert!(again.continued && again.run == opened.run);
    // What happened after the last event may still have been in the socket.
    assert_eq!(again.heard_until_us, Some(NOON_US));
    let end = RunEnd {
        detached_us: NOON_US + 9,
        ended: Some("shut down".to_owned()),
    };
    let batch = qwatch::journal::Batch {
        run: again.run,
        entries: vec![],
        end: Some(end),
    };
    second
        .writer()
        .append(batch)
        .await
        .expect("open")
        .committed()
        .await
        .expect("committed");
    let other = second
        .writer()
        .open_run(run_info("web", 2))
        .await
        .expect("a run");
    assert!(!other.continued && other.run != opened.run);
    assert_eq!(other.heard_until_us, Some(NOON_US + 9));
    let machines = reader.machines().expect("readable");
    assert_eq!(machines.len(), 1);
    assert_eq!(machines[0].runs.len(), 2);
    assert_eq!(machines[0].runs[0].ended.as_deref(), Some("shut down"));
}

#[tokio::test]
async fn a_copy_is_a_journal() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("j.db");
    let journal = journal(&path);
    let run = journal
        .writer()
        .open_run(run_info("web", 1))
        .await
        .expect("a run")
        .run;
    append(&journal, run, vec![event(NOON_US, "STOP", None)]).await;
    let with_log = dir.path().join("with-log.db");
    copy(&path, &with_log, &["", "-wal"]);
    assert_eq!(
        seqs(&all(
            &Reader::open(&with_log).expect("a reader"),
            &Query::default()
        )),
        [1]
    );
    journal.close().await.expect("closed");
    let alone = dir.path().join("alone.db");
    copy(&path, &alone, &[""]);
    assert_eq!(
        seqs(&all(
            &Reader::open(&alone).expect("a reader"),
            &Query::default()
        )),
        [1]
    );
}

fn copy(from: &Path, to: &Path, suffixes: &[&str]) {
    let with = |path: &Path, suffix: &str| format!("{}{suffix}", path.display());
    for suffix in suffixes {
        fs::copy(with(from, suffix), with(to, suffix)).expect("copied");
    }
}

/// A small generator of numbers that is the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A journal of several thousand records of many machines, with a clock that jumps.
async fn large(path: &Path) -> Journal {
    let journal = journal(path);
    let mut dice = Dice(7);
    let mut runs = Vec::new();
    for pid in 0..40 {
        let info = run_info(&format!("m{}", pid % 20), pid);
        runs.push(journal.writer().open_run(info).await.expect("a run").run);
    }
    let names = ["STOP", "RESUME", "BLOCK_IO_ERROR", "RTC_CHANGE"];
    let mut clock = NOON_US;
    let mut receipts = Vec::new();
    for _ in 0..9000 {
        clock += dice.roll(2_000_000).cast_signed() - 300_000;
        if dice.roll(200) == 0 {
            clock -= 600_000_000;
        }
        let run = runs[usize::try_from(dice.roll(40).min(dice.roll(40))).expect("small")];
        let mut entries = vec![event(
            clock,
            names[usize::try_from(dice.roll(4)).expect("small")],
            None,
        )];
        if dice.roll(20) == 0 {
            entries.push(Entry::note(Note::State, "{}".to_owned(), clock));
        }
        let batch = qwatch::journal::Batch {
            run,
            entries,
            end: None,
        };
        receipts.push(journal.writer().append(batch).await.expect("open"));
    }
    for receipt in receipts {
        receipt.committed().await.expect("committed");
    }
    // However the writer has grouped these, some end up in the index by run and some do not yet.
    loop {
        append(&journal, runs[0], vec![event(clock, "STOP", None)]).await;
        if placed(path)
            < Reader::open(path)
                .expect("a reader")
                .last_seq()
                .expect("readable")
        {
            return journal;
        }
    }
}

/// Up to which record the index by run goes.
fn placed(path: &Path) -> u64 {
    let placed: i64 = Connection::open(path)
        .and_then(|conn| conn.query_row("SELECT placed FROM journal", [], |row| row.get(0)))
        .expect("the layout");
    placed.cast_unsigned()
}

#[tokio::test]
async fn every_query_gives_what_looking_at_all_records_gives() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("j.db");
    let _journal = large(&path).await;
    let reader = Reader::open(&path).expect("a reader");
    assert!(placed(&path) >= 4096);
    let everything = all(&reader, &Query::default());
    assert_eq!(
        seqs(&everything),
        (1..=everything.len() as u64).collect::<Vec<_>>()
    );
    let mut dice = Dice(11);
    for _ in 0..200 {
        let after = if dice.roll(2) == 0 {
            0
        } else {
            dice.roll(9000)
        };
        let machine = format!("m{}", dice.roll(20));
        let machine_wanted: Box<dyn Fn(&str) -> bool> = match dice.roll(3) {
            0 => Box::new(|_| true),
            1 => Box::new(move |name| name == machine),
            _ => Box::new(|name| name.ends_with(['1', '7'])),
        };
        let event_wanted: Box<dyn Fn(&str) -> bool> = match dice.roll(4) {
            0 => Box::new(|_| true),
            1 => Box::new(|name| name == "STOP"),
            2 => Box::new(|name| name == "state"),
            _ => Box::new(|name| name == "nothing of the kind"),
        };
        let since = (dice.roll(2) == 0).then(|| NOON_US + dice.roll(6_000_000_000).cast_signed());
        let until = (dice.roll(2) == 0).then(|| NOON_US + dice.roll(6_000_000_000).cast_signed());
        let mut expected: Vec<u64> = everything
            .iter()
            .filter(|record| {
                let time = record.time_us();
                record.seq > Some(after)
                    && machine_wanted(&record.machine)
                    && event_wanted(&record.name)
                    && since.is_none_or(|since| time >= since)
                    && until.is_none_or(|until| time < until)
            })
            .filter_map(|record| record.seq)
            .collect();
        let query = Query::default()
            .after(after)
            .machines(&*machine_wanted)
            .events(&*event_wanted)
            .since_us(since)
            .until_us(until);
        assert_eq!(seqs(&all(&reader, &query)), expected);
        expected.reverse();
        assert_eq!(
            seqs(&all(&reader, &query.direction(Direction::NewestFirst))),
            expected
        );
    }
}

#[tokio::test]
async fn a_hole_is_reported_not_skipped() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("j.db");
    let journal = journal(&path);
    let run = journal
        .writer()
        .open_run(run_info("web", 1))
        .await
        .expect("a run")
        .run;
    append(
        &journal,
        run,
        (0..5).map(|n| event(NOON_US + n, "STOP", None)).collect(),
    )
    .await;
    journal.close().await.expect("closed");
    let vandal = Connection::open(&path).expect("any SQLite");
    vandal
        .execute("DELETE FROM event WHERE seq = 3", [])
        .expect("deleted");
    let reader = Reader::open(&path).expect("a reader");
    for direction in [Direction::OldestFirst, Direction::NewestFirst] {
        let query = Query::default().direction(direction);
        let last = reader
            .records(&query)
            .expect("a query")
            .last()
            .expect("something");
        let error = last.expect_err("a hole");
        assert!(error.to_string().contains("record 3 is missing"), "{error}");
    }
}

#[test]
fn a_follower_in_another_process_wakes_when_the_journal_moves() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("j.db");
    let journal = journal(&path);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let run = runtime
        .block_on(journal.writer().open_run(run_info("web", 1)))
        .expect("a run")
        .run;
    let follower = Follower::open(&path).expect("a follower");
    assert!(
        !follower
            .wait_past(0, std::time::Duration::ZERO)
            .expect("readable")
    );
    std::thread::scope(|scope| {
        let woken = scope.spawn(move || follower.wait_past(0, std::time::Duration::from_secs(20)));
        runtime.block_on(append(&journal, run, vec![event(NOON_US, "STOP", None)]));
        assert!(woken.join().expect("no panic").expect("readable"));
    });
}

#[tokio::test]
async fn a_note_of_ours_is_not_an_event_of_qemus() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("j.db");
    let journal = journal(&path);
    let run = journal
        .writer()
        .open_run(run_info("web", 1))
        .await
        .expect("a run")
        .run;
    let entries = vec![
        Entry::note(Note::Gap, "{}".to_owned(), NOON_US),
        event(NOON_US, "gap", None),
    ];
    append(&journal, run, entries).await;
    let reader = Reader::open(&path).expect("a reader");
    let origins: Vec<Origin> = all(&reader, &Query::default())
        .iter()
        .map(|r| r.origin)
        .collect();
    assert_eq!(origins, [Origin::Qwatch, Origin::Qemu]);
    assert_eq!(reader.gaps().expect("readable").len(), 1);
}
