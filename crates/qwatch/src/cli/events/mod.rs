//! `qwatch events`: the book of events, from the vocabulary.

use std::io::{self, Write};

use qmp_events::EventKind;
use qmp_events::facts::EventFacts;

use super::{Exit, Failure, Ui};
use crate::filter::{Case, Globs};
use crate::output::{Palette, WriteError};

mod json;
mod markdown;
mod page;
mod seen;
mod suggest;

pub(crate) use suggest::{closest, closest_of};

/// Explain QEMU's events: all in a table, or one in full
///
/// Everything comes from the vocabulary of this program, no QEMU is needed.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// An event (its full page), a glob or a part of names (a table)
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// Print JSON Lines: one object with all facts an event
    #[arg(long)]
    json: bool,

    /// Print Markdown: one document with a section an event
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let chosen = choose(args.name.as_deref())?;
    let palette = Palette::new(ui.is_stdout_colored());
    let text = match chosen.as_slice() {
        facts if args.json => facts.iter().map(|facts| json::line(facts)).collect(),
        facts if args.markdown => markdown::book(facts),
        [one] if args.name.is_some() => page::page(one, palette),
        many => page::table(many, palette),
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).map_err(WriteError)?;
    Ok(Exit::Success)
}

/// The events a name, glob or part of a name means.
fn choose(name: Option<&str>) -> Result<Vec<&'static EventFacts>, Failure> {
    let all = EventKind::ALL.iter().map(|kind| kind.facts());
    let Some(name) = name else {
        return Ok(all.collect());
    };
    let upper = name.to_ascii_uppercase().replace('-', "_");
    if let Some(kind) = EventKind::from_name(&upper) {
        return Ok(vec![kind.facts()]);
    }
    let globs = Globs::new(&[name.to_owned()], Case::Ignored)?;
    let is_glob = name.contains(['*', '?', '[', '{', ',', '!']);
    let chosen: Vec<_> = all
        .filter(|facts| match is_glob {
            true => globs.matches(facts.name),
            false => facts.name.contains(&upper),
        })
        .collect();
    if !chosen.is_empty() {
        return Ok(chosen);
    }
    let failure = Failure::new(format!("there is no event `{name}` in the vocabulary"));
    Err(match closest(&upper) {
        Some(close) => failure.hint(format!("did you mean {close}?")),
        None => failure.hint("`qwatch events` lists them all"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: &str) -> Vec<&'static str> {
        let chosen = choose(Some(name)).expect("some events");
        chosen.iter().map(|facts| facts.name).collect()
    }

    #[test]
    fn names_globs_and_parts() {
        assert_eq!(names("stop"), ["STOP"]);
        assert_eq!(names("watch-dog*,WATCH*"), ["WATCHDOG"]);
        assert_eq!(names("dog"), ["WATCHDOG"]);
        assert_eq!(choose(None).expect("all").len(), EventKind::ALL.len());
    }

    #[test]
    fn a_slip_gets_a_suggestion() {
        let failure = choose(Some("WACHDOG")).expect_err("no such event");
        assert_eq!(failure.hints(), ["did you mean WATCHDOG?"]);
        let failure = choose(Some("XYZZY_PLUGH")).expect_err("no such event");
        assert_eq!(failure.hints(), ["`qwatch events` lists them all"]);
    }
}
