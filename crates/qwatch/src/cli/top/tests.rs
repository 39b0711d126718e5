//! The pictures, without a terminal; keys and records in any order.

use jiff::tz::TimeZone;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::app::{Action, App};
use super::view::{self, Look, age};
use crate::output::Palette;
use crate::record::{Origin, Record};

const START_US: i64 = 1_700_000_000_000_000;

fn look() -> Look {
    Look {
        zone: TimeZone::UTC,
        palette: Palette::default(),
        colored: false,
    }
}

fn record(seq: u64, machine: &str, name: &str, data: Option<&str>) -> Record {
    let ours = name.starts_with(|c: char| c.is_ascii_lowercase());
    Record {
        seq: Some(seq),
        machine: machine.to_owned(),
        run: Some(1),
        origin: if ours { Origin::Qwatch } else { Origin::Qemu },
        name: name.to_owned(),
        timestamp: None,
        received_us: START_US + i64::try_from(seq).unwrap_or(0) * 1_000_000,
        data: data.map(str::to_owned),
    }
}

/// Three machines, one of them stopped by a full disk.
fn story() -> App {
    let error = r#"{"qom-path": "/machine/peripheral/d0/virtio-backend", "device": "", "node-name": "disk", "operation": "write", "action": "stop", "nospace": true, "reason": "No space left on device"}"#;
    let mut app = App::default();
    app.recorded = true;
    let records = [
        ("web", "attached", Some(r#"{"version": "10.0.2"}"#)),
        ("web", "RESUME", None),
        (
            "db",
            "gap",
            Some(r#"{"reason": "the recorder was not running"}"#),
        ),
        ("db", "attached", Some(r#"{"version": "7.2.22"}"#)),
        ("db", "RESUME", None),
        (
            "mail",
            "SHUTDOWN",
            Some(r#"{"guest": true, "reason": "guest-shutdown"}"#),
        ),
        ("db", "BLOCK_IO_ERROR", Some(error)),
        ("db", "STOP", None),
        ("we\u{1b}[2Jird", "RESUME", None),
    ];
    for ((machine, name, data), seq) in records.into_iter().zip(1..) {
        app.take(record(seq, machine, name, data));
    }
    app.now_us = START_US + 75_000_000;
    app
}

fn picture(app: &mut App, width: u16, height: u16) -> String {
    app.settle();
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("no I/O");
    let mut furthest = 0;
    terminal
        .draw(|frame| furthest = view::draw(app, &look(), frame))
        .expect("no I/O");
    app.scroll = app.scroll.min(furthest);
    let lines = terminal.backend().to_string();
    let lines = lines.lines().map(|line| line.trim_matches('"').trim_end());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn eighty_columns_hold_what_matters() {
    let mut app = story();
    insta::assert_snapshot!("overview", picture(&mut app, 80, 24));
}

#[test]
fn an_event_can_be_looked_at() {
    let mut app = story();
    for action in [Action::OtherPane, Action::Up(1), Action::Open] {
        assert!(app.act(action));
    }
    insta::assert_snapshot!("event", picture(&mut app, 80, 30));
    app.act(Action::Back);
    app.act(Action::Help);
    insta::assert_snapshot!("help", picture(&mut app, 80, 24));
}

#[test]
fn a_part_of_a_name_filters_and_the_cursor_stays_on_something_listed() {
    let mut app = story();
    app.act(Action::Filter);
    for letter in "WE".chars() {
        app.act(Action::Type(letter));
    }
    assert!(picture(&mut app, 80, 24).contains("/WE_"));
    app.act(Action::Open);
    app.settle();
    let listed: Vec<&str> = app.listed().into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, ["we\u{1b}[2Jird", "web"]);
    assert_eq!(app.chosen().map(|(name, _)| name), Some(listed[0]));
    app.act(Action::Filter);
    app.act(Action::Erase);
    app.act(Action::Erase);
    app.act(Action::Open);
    assert_eq!(app.listed().len(), 4);
}

#[test]
fn trouble_comes_first_and_sorting_goes_round() {
    let mut app = story();
    let first = |app: &App| app.listed()[0].0.to_owned();
    assert_eq!(first(&app), "db");
    app.act(Action::Sort);
    assert_eq!(first(&app), "db");
    app.act(Action::Sort);
    // The busiest of the last minute.
    assert_eq!(app.listed()[0].1.per_minute(app.now_us), 0);
    app.now_us = START_US + 10_000_000;
    assert_eq!(
        (
            first(&app).as_str(),
            app.listed()[0].1.per_minute(app.now_us)
        ),
        ("db", 3)
    );
    app.act(Action::Sort);
    assert!(first(&app).starts_with("we\u{1b}"));
}

#[test]
fn ages_take_at_most_six_columns() {
    let found: Vec<String> = [-5, 0, 59, 60, 3599, 3600, 86_399, 86_400, 900 * 86_400]
        .into_iter()
        .map(|seconds: i64| age(seconds * 1_000_000))
        .collect();
    assert_eq!(
        found,
        [
            "0s", "0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "900d00h"
        ]
    );
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Help),
        (0..50_usize).prop_map(Action::Up),
        (0..50_usize).prop_map(Action::Down),
        Just(Action::First),
        Just(Action::Last),
        Just(Action::OtherPane),
        Just(Action::Open),
        Just(Action::Back),
        Just(Action::Sort),
        Just(Action::AllEvents),
        Just(Action::Follow),
        Just(Action::Filter),
        any::<char>().prop_map(Action::Type),
        Just(Action::Erase),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_keys_and_no_size_can_break_it(
        steps in prop::collection::vec((actions(), 1..130_u16, 1..60_u16, "[a-d]", "[A-Z_]{1,20}|gap"), 0..60),
    ) {
        let mut app = story();
        for ((action, width, height, machine, name), seq) in steps.into_iter().zip(100..) {
            app.take(record(seq, &machine, &name, Some(r#"{"x": "\u001b[31m"}"#)));
            prop_assert!(app.act(action));
            let shown = picture(&mut app, width, height);
            prop_assert!(!shown.contains('\u{1b}'), "an escape got through");
            prop_assert!(app.chosen().is_some() || app.listed().is_empty());
        }
    }
}
