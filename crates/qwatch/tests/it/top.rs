//! `qwatch top` in a real terminal.

use rustix::process::{Pid, Signal, kill_process};

use crate::command::{program, run};
use crate::emulator::Emulator;
use crate::recorder::Place;
use crate::screen::Screen;

fn start(place: &Place, columns: u16, lines: u16) -> Screen {
    let journal = place.journal().display().to_string();
    let words = [program(), "top", "--utc", "--journal", &journal];
    Screen::start(columns, lines, &words)
}

#[test]
fn machines_are_followed_and_keys_lead_through_them() {
    let place = Place::new();
    let mut web = Emulator::start(&["--name", "web"]);
    let mut db = Emulator::start(&["--name", "db"]);
    let recorder = place.record(&["--monitor", &web.address(), "--monitor", &db.address()]);
    place.wait_attached("web", 1);
    place.wait_attached("db", 1);
    let mut screen = start(&place, 80, 24);
    screen.wait_for("both", |shown| shown.contains("2 machines · 2 running"));

    web.tell("stop");
    let shown = screen.wait_for("the stop", |shown| shown.contains("1 paused"));
    let first = shown.lines().nth(2).expect("a machine");
    assert!(
        first.starts_with("web") && first.contains("paused"),
        "trouble is first:\n{shown}"
    );
    assert!(
        shown.lines().all(|line| line.chars().count() <= 80),
        "{shown}"
    );

    screen.press("Home");
    screen.press("Enter");
    screen.wait_for("why", |shown| {
        shown.contains("web is paused") && shown.contains("How it came")
    });
    screen.press("Escape");
    screen.wait_for("the overview", |shown| shown.contains("MACHINE"));
    screen.press("a");
    db.tell("set-clock seconds=7");
    screen.wait_for("the other's event", |shown| shown.contains("offset +7 s"));
    screen.press("Tab");
    screen.press("End");
    screen.press("Enter");
    screen.wait_for("the event", |shown| {
        shown.starts_with("qwatch top") && shown.contains("\"offset\": 7")
    });
    screen.press("Escape");
    screen.wait_for("the overview", |shown| shown.contains("MACHINE"));
    screen.press("q");
    screen.wait_for("its end", |shown| {
        shown.contains("ended with 0") && !shown.contains("MACHINE")
    });
    recorder.stop();
}

#[test]
fn sizes_change_without_flicker_and_a_signal_ends_it() {
    let place = Place::new();
    let mut web = Emulator::start(&["--name", "web"]);
    let recorder = place.record(&["--monitor", &web.address()]);
    place.wait_attached("web", 1);
    let mut screen = start(&place, 80, 24);
    screen.wait_for("the machine", |shown| {
        shown.contains("1 machine · 1 running")
    });
    let before = screen.erased();
    for offset in 0..5 {
        web.tell(&format!("set-clock seconds={offset}"));
        web.tell("stop");
        screen.wait_for("the stop", |shown| shown.contains("1 paused"));
        web.tell("continue");
        screen.wait_for("its end", |shown| shown.contains("1 running"));
    }
    assert_eq!(
        screen.erased(),
        before,
        "nothing is erased to be drawn again"
    );
    for (columns, lines) in [(120, 40), (20, 3), (1, 1), (80, 24)] {
        screen.resize(columns, lines);
        screen.wait_for("the new size", |shown| {
            shown.lines().count() <= usize::from(lines)
                && shown
                    .lines()
                    .all(|line| line.chars().count() <= usize::from(columns))
        });
    }
    screen.wait_for("the machine again", |shown| {
        shown.contains("1 machine · 1 running")
    });
    let pid = Pid::from_raw(screen.child().cast_signed()).expect("a process");
    kill_process(pid, Signal::TERM).expect("it runs");
    screen.wait_for("its end", |shown| shown.contains("ended with 0"));
    recorder.stop();
}

#[test]
fn without_a_terminal_it_says_what_else_there_is() {
    let said = run(&["top"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(said.err.contains("top needs a terminal") && said.err.contains("qwatch status"));
}
