//! The lists that tell readers which events were seen are what the recipes say, which the matrix
//! proves. `QWATCH_UPDATE=1 cargo test -p qwatch listed`, twice, writes them anew: the second
//! time the program has the new list inside.

use std::fs;
use std::path::PathBuf;

use qemu_lab::{REQUIRED, Recipe, Version, recipes};
use qmp_events::EventKind;

use super::absent::reason;
use crate::command::run;

/// Set to write the files instead of comparing them.
const UPDATE_VARIABLE: &str = "QWATCH_UPDATE";

#[test]
fn events_seen_are_listed() {
    same_as_file("src/cli/events/seen.txt", &seen_list());
}

#[test]
fn the_document_of_events_is_what_the_program_says() {
    let said = run(&["events", "--markdown"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    same_as_file("../../docs/events.md", &said.out);
}

/// Event, recipe, versions; or event, a dash and why there is none.
fn seen_list() -> String {
    let mut text = String::new();
    for kind in EventKind::ALL {
        let name = kind.name();
        let expects = |recipe: &&Recipe| {
            let mut names = recipe
                .expects
                .iter()
                .filter_map(|line| line.split(' ').next());
            names.any(|expected| expected == name)
        };
        let lines: Vec<String> = recipes::all()
            .filter(expects)
            .map(|recipe| format!("{name}\t{}\t{}\n", recipe.name, versions_of(recipe)))
            .collect();
        if lines.is_empty() {
            let newest = REQUIRED.last().expect("some version");
            let why = reason(*kind, *newest).unwrap_or_else(|| panic!("{name} has no recipe"));
            text.push_str(&format!("{name}\t-\t{why}\n"));
        }
        text.extend(lines);
    }
    text
}

fn versions_of(recipe: &Recipe) -> String {
    let works = |version: &&Version| recipe.works_on(**version);
    let versions = REQUIRED.iter().filter(works).map(ToString::to_string);
    versions.collect::<Vec<_>>().join(", ")
}

/// `path` is relative to this crate.
#[track_caller]
fn same_as_file(path: &str, text: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        fs::write(&file, text).expect("a file that can be written");
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == text,
        "{path} is out of date: QWATCH_UPDATE=1 cargo test -p qwatch listed, twice"
    );
}
