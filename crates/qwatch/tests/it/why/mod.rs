//! What a machine is doing and why, through the whole product: QEMU, recorder, journal, `qwatch why`.

use qwatch::journal::Reader;
use qwatch::machine::State;
use qwatch::record::Record;
use serde_json::Value;

use crate::command::run;
use crate::recorder::Place;

mod causes;
mod ends;
mod gaps;
mod page;
mod replay;
mod storm;

/// The state of a machine by its records.
fn fold<'r>(records: &'r [Record], machine: &str) -> State {
    let mut state = State::default();
    let own = |record: &&'r Record| record.machine == machine;
    records
        .iter()
        .filter(own)
        .for_each(|record| state.apply(record));
    state
}

/// `paused certain disk-full`.
fn told(state: &State) -> String {
    let cause = state.cause().map_or("-".to_owned(), |cause| {
        format!("{} {}", cause.certainty.word(), cause.id.name())
    });
    format!("{} {cause}", state.run_state().word())
}

/// Waits until the machine is as told; gives its state.
#[track_caller]
fn wait_told(place: &Place, machine: &str, expected: &str) -> State {
    let records = place.wait_for(&format!("{machine}: {expected}"), |records| {
        told(&fold(records, machine)) == expected
    });
    fold(&records, machine)
}

/// What `qwatch why` says, for programs; it must agree with the records folded from the beginning.
#[track_caller]
fn why(place: &Place, machine: &str, options: &[&str]) -> Value {
    let journal = place.journal().display().to_string();
    let words = ["why", machine, "--journal", &journal, "--json"];
    let said = run(&[&words, options].concat());
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{machine}");
    serde_json::from_str(&said.out).expect("JSON")
}

/// The same answer in the form of [`told`].
fn told_by(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let cause = &answer["cause"];
    let cause = match cause {
        Value::Null => "-".to_owned(),
        cause => format!("{} {}", text(&cause["certainty"]), text(&cause["cause"])),
    };
    format!("{} {cause}", text(&answer["state"]))
}

/// What it says to people, without what differs each time.
#[track_caller]
fn page(place: &Place, machine: &str) -> String {
    let journal = place.journal().display().to_string();
    let said = run(&["why", machine, "--journal", &journal, "--utc"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{machine}");
    for line in said.out.lines() {
        let is_command = line.starts_with("    ");
        assert!(is_command || line.chars().count() <= 80, "{line}");
    }
    said.out
}

/// Compares a page of `qwatch why` with the file it should be.
macro_rules! assert_page {
    ($name:expr, $page:expr) => {
        insta::with_settings!({ filters => vec![
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z", "[time]"),
            (r"\d\d:\d\d:\d\d\.\d{3}Z", "[time]"),
            (r"\([0-9a-z. ]+ (ago|by then)\)", "([length] $1)"),
            // How it is broken into lines depends on the length.
            (r"(?s)Nobody listened for .*?hidden there\.", "[what is hidden]"),
            (r" +#\d+", " #[n]"),
            (r"unix:/[^ ,]+", "[monitor]"),
            (r"coredumpctl info \d+", "coredumpctl info [pid]"),
            (r"_PID=\d+", "_PID=[pid]"),
            (r"/tmp/qemu-lab-[^/ ]+/", "[folder]/"),
            (r"(?s)\nQEMU \d.*$", "\n[foot]"),
        ] }, { insta::assert_snapshot!($name, $page) })
    };
}
use assert_page;

/// Number of the last record in the journal.
fn last_seq(place: &Place) -> u64 {
    let reader = Reader::open(&place.journal()).expect("a reader");
    reader.last_seq().expect("readable")
}
