//! A newer program takes over, and brings the journal to its layout.

use std::path::{Path, PathBuf};
use std::process::Command;

use qwatch::journal::schema;
use rusqlite::Connection;

use super::numbers::{complete, number};
use super::peer::Peer;
use super::sender::Sender;
use super::{Dice, live_a_while, next_life, path};
use crate::recorder::Place;
use crate::supervisor::Supervisor;

/// The same recorder with one more step of layout.
fn newer_program() -> PathBuf {
    // Tests are not told where examples are, and a single test does not have them built.
    let program = Path::new(env!("CARGO_BIN_EXE_qwatch"));
    let folder = program.parent().expect("a folder");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--offline", "--locked", "-p", "qwatch"]);
    build.args(["--example", "upgraded"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let built = build
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(built.success());
    folder.join("examples/upgraded")
}

/// The numbers of a machine, by the views that are promised to everyone.
fn numbers_by_sql(journal: &Connection, machine: &str) -> Vec<u64> {
    let sql =
        "SELECT data FROM events WHERE machine = ? AND event IN ('NUMBER', 'STOP') ORDER BY seq";
    let mut statement = journal.prepare(sql).expect("the view");
    let rows = statement.query_map([machine], |row| row.get::<_, String>(0));
    rows.expect("rows")
        .filter_map(|data| number(&data.expect("text")))
        .collect()
}

#[test]
fn a_newer_recorder_with_another_layout_takes_over_without_a_gap() {
    const KILLS: usize = 10;
    let newer = newer_program();
    let mut dice = Dice::new("upgrade");
    let place = Place::new();
    let peer = Peer::listening("peer", &place.path("peer.sock"), dice.split());
    let dials = Sender::dialling("dials", &place.socket());
    let mut supervisor = Supervisor::new(&[
        "--journal",
        &path(&place, "j.db"),
        "--listen",
        &format!("unix:{}", path(&place, "q.sock")),
        "--monitor",
        &path(&place, "peer.sock"),
    ]);
    let mut recorder = supervisor.start_ready();
    place.wait_attached("peer", 1);
    place.wait_attached("dials", 1);
    let mut sent = 0;
    let mut send = |dice: &mut Dice| {
        let many = dice.roll(100..500);
        sent += many;
        peer.send(many);
        dials.send(many);
    };
    for _ in 0..KILLS {
        send(&mut dice);
        live_a_while(&supervisor, &mut dice);
        recorder = next_life(&supervisor, recorder);
    }
    // As a package does it: the new program is put in place, the service is restarted.
    recorder.kill();
    recorder = supervisor.start_ready();
    supervisor.install(&newer);
    send(&mut dice);
    recorder.stop();
    let mut recorder = supervisor.start_ready();
    for _ in 0..KILLS {
        send(&mut dice);
        live_a_while(&supervisor, &mut dice);
        recorder = next_life(&supervisor, recorder);
    }
    let journal = Connection::open(place.journal()).expect("a journal");
    supervisor.wait_for("every number", || {
        ["peer", "dials"]
            .iter()
            .all(|name| numbers_by_sql(&journal, name).len() as u64 >= sent)
    });
    recorder.stop();
    for name in ["peer", "dials"] {
        complete(name, &numbers_by_sql(&journal, name), sent);
    }
    let version: i64 = journal
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .expect("a number");
    assert_eq!(version, schema::VERSION + 1);
    let count = |sql: &str| -> i64 {
        journal
            .query_row(sql, [], |row| row.get(0))
            .expect("a count")
    };
    assert_eq!(count("SELECT count(*) FROM upgraded"), 1);
    assert_eq!(
        count("SELECT count(*) FROM events WHERE event IN ('detached', 'garbage')"),
        0
    );
    assert_eq!(
        count("SELECT count(*) FROM events WHERE event = 'attached'"),
        2
    );
    assert_eq!(peer.state().sessions, 1);
    assert_eq!(dials.sessions(), (1, 1, 0));
}
