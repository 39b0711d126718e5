//! `qwatch why` itself: pages, exit codes, names, times; and the document of all causes.

use std::fs;
use std::path::PathBuf;

use qwatch::journal::{Batch, Entry, Note, RunEnd};

use super::{assert_page, last_seq, page};
use crate::command::run;
use crate::recorder::Place;
use crate::support::{NOON_US, append, journal, line, run_info};

const S: i64 = 1_000_000;

/// A journal of one machine: an event or a note a second.
async fn told(place: &Place, machine: &str, lines: &[(&str, Option<&str>)]) {
    let journal = journal(&place.journal());
    let opened = journal
        .writer()
        .open_run(run_info(machine, 7))
        .await
        .expect("a run");
    let notes = Note::ALL;
    let entries = lines.iter().zip(0..).map(|((name, data), second)| {
        let at_us = NOON_US + second * S;
        match notes.into_iter().find(|note| note.name() == *name) {
            Some(note) => Entry::note(note, data.unwrap_or("{}").to_owned(), at_us),
            None => Entry::event(&line(at_us, name, *data), at_us).expect("an event"),
        }
    });
    append(&journal, opened.run, entries.collect()).await;
    let end = RunEnd {
        detached_us: NOON_US,
        ended: None,
    };
    let batch = Batch {
        run: opened.run,
        entries: vec![],
        end: Some(end),
    };
    journal.writer().append(batch).await.expect("room");
    journal.close().await.expect("closed");
}

const ATTACHED: (&str, Option<&str>) = (
    "attached",
    Some(r#"{"version": "10.0.2", "package": "", "pid": 7, "address": "unix:/run/vm/web.qmp"}"#),
);
const ERROR: &str = r#"{"device": "", "qom-path": "/machine/peripheral/hd0", "node-name": "disk0", "operation": "write", "action": "stop", "nospace": true, "reason": "No space left\u001b[2J on device"}"#;

#[tokio::test]
async fn what_a_guest_says_is_escaped_and_nothing_is_coloured() {
    let place = Place::new();
    let job = r#"{"type": "backup", "device": "job\u001b0", "len": 9, "offset": 1, "speed": 0, "error": "bad\u0007"}"#;
    let lines = [
        ATTACHED,
        ("RESUME", None),
        ("BLOCK_JOB_COMPLETED", Some(job)),
        ("BLOCK_IO_ERROR", Some(ERROR)),
        ("STOP", None),
    ];
    told(&place, "web\u{1b}[31m", &lines).await;
    let text = page(&place, "web\u{1b}[31m");
    assert!(
        !text.contains('\u{1b}') && !text.contains('\u{7}'),
        "{text:?}"
    );
    assert!(
        text.starts_with("web\\x1b[31m is paused: disk full\n"),
        "{text}"
    );
    assert_page!("escaped", text);
}

#[tokio::test]
async fn colours_are_for_terminals_and_for_those_who_ask() {
    let place = Place::new();
    told(&place, "web", &[ATTACHED, ("STOP", None)]).await;
    let path = place.journal().display().to_string();
    let said = run(&["why", "web", "--journal", &path, "--color", "always"]);
    assert!(said.out.contains("\u{1b}["), "{:?}", said.out);
}

#[tokio::test]
async fn as_it_was_at_a_time() {
    let place = Place::new();
    told(
        &place,
        "web",
        &[ATTACHED, ("RESUME", None), ("STOP", None), ("RESUME", None)],
    )
    .await;
    let path = place.journal().display().to_string();
    let at = |seconds: i64| {
        let at = qwatch::time::rfc3339(NOON_US + seconds * S);
        run(&["why", "web", "--journal", &path, "--at", &at])
    };
    for (seconds, first) in [
        (1, "web was running: started"),
        (2, "web was paused: not told why"),
        (9, "web was running: let go on"),
    ] {
        let said = at(seconds);
        assert_eq!((said.code, said.out.lines().next()), (0, Some(first)));
    }
    let said = at(-5);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("nothing is known of web at that time"),
        "{}",
        said.err
    );
    let said = run(&["why", "web", "--journal", &path, "--at", "soonish"]);
    assert_eq!(said.code, 2);
}

#[tokio::test]
async fn a_slip_in_the_name_gets_a_suggestion() {
    let place = Place::new();
    told(&place, "webserver", &[ATTACHED, ("STOP", None)]).await;
    assert_eq!(last_seq(&place), 2);
    let path = place.journal().display().to_string();
    let said = run(&["why", "websever", "--journal", &path]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    insta::assert_snapshot!(said.err, @r"
    qwatch: error: there is no machine `websever` in the journal
      did you mean webserver?
    ");
    let said = run(&["why", "--journal", &path]);
    assert_eq!(said.code, 2);
}

/// `QWATCH_UPDATE=1 cargo test -p qwatch why::page` writes it anew.
#[test]
fn the_document_of_causes_is_what_the_program_says() {
    let said = run(&["why", "--rules"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/why.md");
    if std::env::var_os("QWATCH_UPDATE").is_some() {
        fs::write(&path, &said.out).expect("written");
    }
    let written = fs::read_to_string(&path).expect("docs/why.md");
    assert!(
        written == said.out,
        "docs/why.md is not what `qwatch why --rules` prints"
    );
}
