//! Retention: what goes, what stays, and that nobody takes what went for damage or for silence.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use qwatch::filter::{Case, Globs};
use qwatch::journal::{
    Age, Batch, Direction, Entry, Follower, Journal, MachineRetention, Note, Query, Reader,
    Retention, RunEnd, RunId, Settings,
};
use qwatch::record::Record;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::command::run;
use crate::support::{append, event, run_info};

const DAY_US: i64 = 86_400_000_000;
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);

struct World {
    _dir: TempDir,
    path: PathBuf,
    now_us: i64,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().expect("a folder");
        Self {
            path: dir.path().join("j.db"),
            _dir: dir,
            now_us: qwatch::time::now_us(),
        }
    }

    fn open(&self, retention: Retention) -> Journal {
        Journal::open(&self.path, &Settings::default().retention(retention)).expect("a journal")
    }

    fn days_ago(&self, days: i64) -> i64 {
        self.now_us - days * DAY_US
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.path).expect("a reader")
    }

    fn records(&self) -> Vec<Record> {
        let reader = self.reader();
        let all = reader.records(&Query::default()).expect("a query");
        all.map(|record| record.expect("no damage")).collect()
    }

    /// Waits until so many records are left; the writer removes what is due at quiet moments.
    #[track_caller]
    fn wait(&self, what: &str, count: impl Fn(u64) -> bool) -> Vec<Record> {
        self.wait_for(what, || {
            count(self.sql::<i64>("SELECT count(*) FROM event").unsigned_abs())
        });
        self.records()
    }

    /// Waits until something is so, looking whenever the journal moves.
    #[track_caller]
    fn wait_for(&self, what: &str, is_so: impl Fn() -> bool) {
        let follower = Follower::open(&self.path).expect("a follower");
        let until = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < until, "{what}");
            let _ = follower.wait_past(u64::MAX >> 1, LOOK).expect("readable");
        }
    }

    fn sql<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        let conn = Connection::open(&self.path).expect("any SQLite");
        conn.query_row(sql, [], |row| row.get(0)).expect(sql)
    }
}

fn days(days: u32) -> Duration {
    Duration::from_secs(86_400) * days
}

fn for_days(count: u32) -> Retention {
    let mut retention = Retention::default();
    retention.max_age = Some(days(count));
    retention
}

fn rule(glob: &str, max_age: Option<Age>, max_size_bytes: Option<u64>) -> MachineRetention {
    MachineRetention {
        machines: Globs::new(&[glob.to_owned()], Case::Matters).expect("a glob"),
        max_age,
        max_size_bytes,
    }
}

async fn run_of(journal: &Journal, machine: &str, pid: u32) -> RunId {
    let opened = journal.writer().open_run(run_info(machine, pid)).await;
    opened.expect("a run").run
}

async fn end(journal: &Journal, run: RunId, at_us: i64) {
    let batch = Batch {
        run,
        entries: vec![],
        end: Some(RunEnd {
            detached_us: at_us,
            ended: Some("shut down".to_owned()),
        }),
    };
    let receipt = journal.writer().append(batch).await.expect("open");
    receipt.committed().await.expect("committed");
}

fn state(at_us: i64) -> Entry {
    Entry::note(Note::State, "{}".to_owned(), at_us)
}

fn seqs(records: &[Record]) -> Vec<u64> {
    records.iter().filter_map(|record| record.seq).collect()
}

/// The tables that go with the records say what the records say.
fn assert_consistent(path: &Path) {
    let conn = Connection::open(path).expect("any SQLite");
    let count = |sql: &str| -> i64 { conn.query_row(sql, [], |row| row.get(0)).expect(sql) };
    assert_eq!(
        count(
            "SELECT count(*) FROM place p LEFT JOIN event e ON e.seq = p.seq AND e.run = p.run WHERE e.seq IS NULL"
        ),
        0,
        "a place without a record"
    );
    assert_eq!(
        count(
            "SELECT count(*) FROM event e LEFT JOIN place p ON p.run = e.run AND p.seq = e.seq \
             WHERE p.seq IS NULL AND e.seq <= (SELECT placed FROM journal)"
        ),
        0,
        "a record without a place"
    );
    assert_eq!(
        count(
            "SELECT count(*) FROM tally t WHERE t.records <> (SELECT count(*) FROM place p WHERE p.run = t.run)"
        ),
        0,
        "a tally that is wrong"
    );
    assert_eq!(
        count(
            "SELECT count(*) FROM zone z WHERE z.removed + (SELECT count(*) FROM event e \
                WHERE e.seq >= z.block * 1024 AND e.seq < (z.block + 1) * 1024) \
             <> min((z.block + 1) * 1024, (SELECT max(seq) FROM event) + 1) - max(z.block * 1024, 1)"
        ),
        0,
        "a block whose numbers do not add up"
    );
}

#[tokio::test]
async fn what_is_too_old_goes_and_the_rest_is_as_before() {
    let world = World::new();
    let journal = world.open(Retention::default());
    let web = run_of(&journal, "web", 1).await;
    let db = run_of(&journal, "db", 2).await;
    for n in 0..1000 {
        let old = |n| event(world.days_ago(100) + n, "STOP", Some(r#"{"a": 1}"#));
        append(&journal, db, vec![old(3 * n)]).await;
        append(&journal, web, vec![old(3 * n + 1), old(3 * n + 2)]).await;
    }
    let young = (0..2000).map(|n| event(world.days_ago(1) + n, "RESUME", None));
    append(&journal, web, young.collect()).await;
    journal.writer().set_retention(for_days(90));
    let left = world.wait("the old ones", |count| count == 2000);
    assert_eq!(seqs(&left), (3001..=5000).collect::<Vec<_>>());
    assert!(left.iter().all(|record| record.name == "RESUME"));
    assert_eq!(append(&journal, db, vec![state(world.now_us)]).await, 5001);

    journal.close().await.expect("closed");
    assert_consistent(&world.path);
    let reader = world.reader();
    let removed = reader.removed().expect("readable");
    assert_eq!((removed.records, removed.through), (3000, 3000));
    assert_eq!(removed.until_us, Some(world.days_ago(100) + 2999));
    let of = |name: &str| {
        let machines = reader.machines().expect("readable");
        let run = machines.iter().find(|m| m.name == name).expect("it").runs[0].clone();
        (reader.count(run.run).expect("readable"), run.removed)
    };
    assert_eq!((of("web"), of("db")), ((2000, 2000), (1, 1000)));
    let told: String =
        world.sql("SELECT reason || ' ' || events || ' ' || first || ' ' || last FROM removals");
    assert_eq!(told, "age 3000 1 3000");
    let history = |args: &[&str]| {
        let journal = world.path.to_str().expect("UTF-8");
        run(&[&["history", "--journal", journal], args].concat()).err
    };
    assert!(history(&[]).contains("3000 records up to "), "no silence");
    assert!(history(&["-m", "db"]).contains("1000 records up to "));
    assert_eq!(
        history(&["--since", "2d"]),
        "",
        "nothing of that was removed"
    );
    // Numbers go on, also in a journal that has lost its first blocks.
    let journal = world.open(for_days(90));
    let web = run_of(&journal, "web", 3).await;
    assert!(append(&journal, web, vec![state(world.now_us)]).await > 5001);
}

/// Every way of reading gives the same.
fn read_alike(reader: &Reader, left: &[Record]) {
    for wanted in ["web1", "db", "audit"] {
        let machine = |name: &str| name == wanted;
        let query = Query::default().machines(&machine);
        for (direction, reversed) in [
            (Direction::OldestFirst, false),
            (Direction::NewestFirst, true),
        ] {
            let found = reader
                .records(&query.direction(direction))
                .expect("a query");
            let mut found: Vec<u64> = found
                .map(|r| r.expect("no damage").seq.expect("it"))
                .collect();
            if reversed {
                found.reverse();
            }
            let of_it: Vec<u64> = left
                .iter()
                .filter(|r| r.machine == wanted)
                .filter_map(|r| r.seq)
                .collect();
            assert_eq!(found, of_it, "{wanted}");
        }
    }
}

#[tokio::test]
async fn machines_have_rules_of_their_own_and_holes_are_no_damage() {
    let world = World::new();
    let mut retention = for_days(50);
    retention.machines = vec![
        rule("web*", Some(Age::Limit(days(5))), None),
        rule("audit", Some(Age::Forever), None),
    ];
    let journal = world.open(Retention::default());
    let mut runs = Vec::new();
    for (pid, machine) in (1..).zip(["web1", "db", "audit", "web2"]) {
        runs.push(run_of(&journal, machine, pid).await);
    }
    // A hundred days, some records a day, in turns.
    for n in 0..6000_usize {
        let at_us = world.days_ago(100) + n as i64 * DAY_US / 60;
        append(&journal, runs[n % 4], vec![event(at_us, "STOP", None)]).await;
    }
    let stays = |machine: &str, at_us: i64| {
        let days = (world.now_us - at_us) / DAY_US;
        match machine {
            "web1" | "web2" => days < 5,
            "db" => days < 50,
            _ => true,
        }
    };
    let machines = ["web1", "db", "audit", "web2"];
    let at_us = |n: usize| world.days_ago(100) + n as i64 * DAY_US / 60;
    let count = (0..6000)
        .filter(|&n| stays(machines[n % 4], at_us(n)))
        .count() as u64;
    journal.writer().set_retention(retention);
    let left = world.wait("those due", |left| left <= count);
    assert_eq!(left.len() as u64, count);
    assert!(
        left.iter()
            .all(|record| stays(&record.machine, record.time_us()))
    );
    journal.close().await.expect("closed");
    assert_consistent(&world.path);

    read_alike(&world.reader(), &left);
    // A record that nobody removed is missed all the same.
    let victim = left[left.len() / 2].seq.expect("a number");
    let vandal = Connection::open(&world.path).expect("any SQLite");
    vandal
        .execute(
            "UPDATE zone SET removed = 0 WHERE block = ?1",
            [victim.cast_signed() / 1024],
        )
        .expect("set");
    drop(vandal);
    let reader = world.reader();
    let damage = reader
        .records(&Query::default())
        .expect("a query")
        .find_map(Result::err);
    assert!(damage.expect("seen").to_string().contains("is missing"));
}

#[tokio::test]
async fn the_state_of_a_machine_can_be_told_after_everything_before_has_gone() {
    let world = World::new();
    let journal = world.open(Retention::default());
    let quiet = run_of(&journal, "quiet", 1).await;
    let busy = run_of(&journal, "busy", 2).await;
    let gone = run_of(&journal, "gone", 3).await;
    let old = world.days_ago(100);
    append(
        &journal,
        quiet,
        vec![
            state(old),
            event(old, "RESET", None),
            state(old),
            event(old, "STOP", None),
        ],
    )
    .await;
    append(&journal, busy, vec![state(old)]).await;
    append(&journal, gone, vec![state(old), event(old, "STOP", None)]).await;
    end(&journal, gone, old).await;
    append(
        &journal,
        busy,
        (0..2000)
            .map(|n| event(old + n, "RTC_CHANGE", None))
            .collect(),
    )
    .await;
    append(
        &journal,
        quiet,
        vec![event(world.now_us, "BALLOON_CHANGE", None)],
    )
    .await;
    assert!(!journal.writer().wants_state(busy));
    journal.writer().set_retention(for_days(90));

    let few = 2 + 1 + 256 + 1;
    let left = world.wait("the old ones", |count| count == few);
    let of = |machine: &str| -> Vec<&str> {
        left.iter()
            .filter(|r| r.machine == machine)
            .map(|r| r.name.as_str())
            .collect()
    };
    assert_eq!(of("quiet"), ["state", "STOP", "BALLOON_CHANGE"]);
    assert_eq!(of("busy")[..2], ["state", "RTC_CHANGE"]);
    assert_eq!(of("gone"), [""; 0]);
    assert_eq!(
        world.sql::<i64>("SELECT count(*) FROM runs WHERE machine = 'gone'"),
        1,
        "the last run stays"
    );
    // More has gone behind the last state than can be told from: a new one is asked for, once.
    assert!(journal.writer().wants_state(busy) && !journal.writer().wants_state(quiet));
    assert!(!journal.writer().wants_state(busy));
    append(&journal, busy, vec![state(world.now_us)]).await;
    journal.writer().set_retention(for_days(89));
    world.wait("what was needed before", |count| count == 4);
    journal.close().await.expect("closed");
    assert_consistent(&world.path);
}

#[tokio::test]
async fn what_a_follower_has_not_read_stays_unless_told_otherwise() {
    let world = World::new();
    let journal = world.open(Retention::default());
    let web = run_of(&journal, "web", 1).await;
    append(
        &journal,
        web,
        (0..5000)
            .map(|n| event(world.days_ago(100) + n, "STOP", None))
            .collect(),
    )
    .await;
    append(&journal, web, vec![event(world.now_us, "RESUME", None)]).await;
    Connection::open(&world.path)
        .and_then(|conn| {
            conn.execute(
                "INSERT INTO cursor(follower, seq) VALUES ('nats', 2000), ('web', 4000)",
                [],
            )
        })
        .expect("cursors");
    journal.writer().set_retention(for_days(90));
    let left = world.wait("what was read", |count| count == 3001);
    assert_eq!(left[0].seq, Some(2001));
    let mut retention = for_days(90);
    retention.ignore_cursors = true;
    journal.writer().set_retention(retention);
    world.wait("the rest", |count| count == 1);
}

#[tokio::test]
async fn a_size_is_kept_by_removing_the_oldest_and_the_file_stays_as_it_is() {
    let world = World::new();
    let mut retention = Retention::default();
    retention.max_size_bytes = Some(2 * 1024 * 1024);
    let journal = world.open(retention);
    let data = format!(r#"{{"filler": "{}"}}"#, "x".repeat(400));
    let web = run_of(&journal, "web", 1).await;
    let mut last = 0;
    for round in 0..40 {
        let batch = (0..500).map(|n| event(world.now_us + round * 500 + n, "STOP", Some(&data)));
        last = append(&journal, web, batch.collect()).await;
    }
    // 9 MB have come; two are left.
    world.wait("the oldest", |count| count < 5500);
    let used = || -> i64 {
        let conn = Connection::open(&world.path).expect("any SQLite");
        let ask = |pragma: &str| {
            conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
                .expect(pragma)
        };
        (ask("page_count") - ask("freelist_count")) * ask("page_size")
    };
    world.wait_for("room", || used() <= 2 * 1024 * 1024);
    let left = world.records();
    assert!(left.len() > 3000, "no more than needed: {}", left.len());
    assert_eq!(
        seqs(&left),
        (last - left.len() as u64 + 1..=last).collect::<Vec<_>>()
    );
    journal.close().await.expect("closed");
    assert_consistent(&world.path);
    let pages: i64 = world.sql("SELECT page_count FROM pragma_page_count");
    assert!(
        pages * 8192 < 4 * 1024 * 1024,
        "free pages are used again: {pages}"
    );
    assert_eq!(
        world.sql::<String>("SELECT group_concat(reason) FROM removals"),
        "size"
    );
}

#[tokio::test]
async fn one_machine_has_a_size_of_its_own() {
    let world = World::new();
    let mut retention = Retention::default();
    retention.machines = vec![rule("noisy", None, Some(100_000))];
    let journal = world.open(Retention::default());
    let noisy = run_of(&journal, "noisy", 1).await;
    let calm = run_of(&journal, "calm", 2).await;
    for n in 0..5000 {
        let data = r#"{"offset": 12345678, "qom-path": "/machine/unattached/device[7]"}"#;
        append(
            &journal,
            noisy,
            vec![event(world.now_us + n, "RTC_CHANGE", Some(data))],
        )
        .await;
        if n % 10 == 0 {
            append(&journal, calm, vec![event(world.now_us + n, "STOP", None)]).await;
        }
    }
    journal.writer().set_retention(retention);
    let count =
        |records: &[Record], machine: &str| records.iter().filter(|r| r.machine == machine).count();
    let left = world.wait("the oldest of one", |count| count < 500 + 1200);
    assert_eq!(count(&left, "calm"), 500);
    assert!(count(&left, "noisy") > 800);
    journal.close().await.expect("closed");
    assert_consistent(&world.path);
}

#[tokio::test]
async fn a_removal_that_was_cut_off_is_mended_by_the_next_process() {
    let world = World::new();
    let journal = world.open(Retention::default());
    let web = run_of(&journal, "web", 1).await;
    append(
        &journal,
        web,
        (0..6000)
            .map(|n| event(world.days_ago(10) + n, "STOP", None))
            .collect(),
    )
    .await;
    journal.close().await.expect("closed");
    let killed = Connection::open(&world.path).expect("any SQLite");
    killed
        .execute_batch(
            "BEGIN; UPDATE journal SET removing_above = 0, removing_last = 3000; \
             DELETE FROM place WHERE seq <= 1500; \
             UPDATE tally SET records = records - 1500, removed = 1500; COMMIT;",
        )
        .expect("half of a removal");
    drop(killed);
    let journal = world.open(Retention::default());
    assert_consistent(&world.path);
    let reader = world.reader();
    let machine = |name: &str| name == "web";
    let found: BTreeSet<u64> = reader
        .records(&Query::default().machines(&machine))
        .expect("a query")
        .map(|record| record.expect("no damage").seq.expect("it"))
        .collect();
    assert!((1..=6000).all(|seq| found.contains(&seq)));
    drop(journal);
}

#[tokio::test]
async fn runs_that_have_lost_everything_are_forgotten_and_their_numbers_not_given_again() {
    let world = World::new();
    let journal = world.open(Retention::default());
    let old = world.days_ago(100);
    for pid in 0..100 {
        let run = run_of(&journal, &format!("job-{pid}"), pid).await;
        append(
            &journal,
            run,
            (0..50).map(|n| event(old + n, "STOP", None)).collect(),
        )
        .await;
        end(&journal, run, old).await;
    }
    let live = run_of(&journal, "live", 500).await;
    append(&journal, live, vec![state(world.now_us)]).await;
    journal.writer().set_retention(for_days(90));
    world.wait("the old ones", |count| count == 1);
    world.wait_for("machines without records go", || {
        world.sql::<i64>("SELECT count(*) FROM machines") == 1
    });
    let next = run_of(&journal, "next", 501).await;
    assert_eq!(next.number(), live.number() + 1);
    assert_eq!(world.sql::<i64>("SELECT sum(events) FROM removals"), 5000);
}
