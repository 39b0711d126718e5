//! `qwatch why`: what a machine is doing, and why.

use std::io::{self, BufWriter, IsTerminal, Write};

use jiff::tz::TimeZone;

use super::journal_arg::JournalArg;
use super::{Exit, Failure, Ui, events};
use crate::journal::{Machine, Reader, is_being_written};
use crate::machine::rules;
use crate::output::{OutputArgs, Palette, WriteError, escape};
use crate::states::{self, Known};
use crate::time;

mod json;
mod page;

/// Say what a machine is doing, since when, why, and what to do about it
///
/// From the journal: the records that led there, how sure that is, and the time nobody listened in where
/// that hides the proof. Every cause that can be named is in docs/why.md, which `qwatch why --rules`
/// prints. With --json, one object.
///
/// Exit codes: 0 if the state was told, whatever it is and however sure its cause; 1 if there is no such
/// machine or nothing is known of it; 2 if an option is malformed.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The machine's name
    #[arg(required_unless_present = "rules")]
    machine: Option<String>,

    /// As it was then: a time (2026-01-31 12:00), or a span back from now (15m)
    #[arg(long, value_name = "TIME")]
    at: Option<String>,

    /// Print every cause that can be named, as Markdown
    #[arg(long, conflicts_with_all = ["machine", "at", "json"])]
    rules: bool,

    #[command(flatten)]
    journal: JournalArg,

    #[command(flatten)]
    output: OutputArgs,
}

/// What is asked.
struct Question<'q> {
    machine: &'q Machine,
    known: &'q Known,
    /// The moment asked for; `None` is now.
    at_us: Option<i64>,
    now_us: i64,
    /// A recorder writes the journal.
    recorded: bool,
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let Some(name) = &args.machine else {
        out.write_all(rules::markdown().as_bytes())
            .map_err(WriteError)?;
        return Ok(Exit::Success);
    };
    let zone = time::zone(args.output.utc);
    let now_us = time::now_us();
    let at = args.at.as_deref();
    let at_us = at
        .map(|at| time::parse_moment(at, now_us, &zone))
        .transpose()?;
    let reader = args.journal.reader()?;
    let machine = find(&reader, name)?;
    let Some(known) = states::load(&reader, &machine, at_us)? else {
        let first = machine.runs.first().map_or(0, |run| run.attached_us);
        return Err(
            Failure::new(format!("nothing is known of {name} at that time")).hint(format!(
                "it was first heard at {}",
                time::human(first, &zone)
            )),
        );
    };
    let question = Question {
        machine: &machine,
        known: &known,
        at_us,
        now_us,
        recorded: is_being_written(&args.journal.path()),
    };
    if args.output.json {
        let line = json::line(&question);
        writeln!(out, "{}", escape::visible_json(&line)).map_err(WriteError)?;
    } else {
        let palette = Palette::new(ui.is_stdout_colored());
        let width = if io::stdout().is_terminal() {
            width()
        } else {
            page::WIDTH
        };
        let page = page::Page::new(&palette, &zone, width);
        out.write_all(page.write(&question).as_bytes())
            .map_err(WriteError)?;
    }
    out.flush().map_err(WriteError)?;
    Ok(Exit::Success)
}

/// The answer as plain text of so many columns, for a machine of the journal as it is now.
pub(crate) fn answer(
    reader: &Reader,
    name: &str,
    zone: &TimeZone,
    columns: usize,
    recorded: bool,
) -> Result<String, Failure> {
    let machine = find(reader, name)?;
    let Some(known) = states::load(reader, &machine, None)? else {
        return Ok(String::new());
    };
    let question = Question {
        machine: &machine,
        known: &known,
        at_us: None,
        now_us: time::now_us(),
        recorded,
    };
    let columns = columns.clamp(WIDTH_MIN, page::WIDTH);
    Ok(page::Page::new(&Palette::default(), zone, columns).write(&question))
}

/// A page has at least so many columns; narrower terminals break its lines.
const WIDTH_MIN: usize = 40;

/// Columns of the terminal, where they are fewer than a page has.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 {
        page::WIDTH
    } else {
        columns.clamp(WIDTH_MIN, page::WIDTH)
    }
}

fn find(reader: &Reader, name: &str) -> Result<Machine, Failure> {
    let machines = reader.machines()?;
    if let Some(machine) = machines.iter().find(|machine| machine.name == name) {
        return Ok(machine.clone());
    }
    let failure = Failure::new(format!("there is no machine `{name}` in the journal"));
    let names: Vec<&str> = machines
        .iter()
        .map(|machine| machine.name.as_str())
        .collect();
    Err(match events::closest_of(name, &names) {
        Some(close) => failure.hint(format!("did you mean {close}?")),
        None if names.is_empty() => failure.hint("it has none at all: does `qwatch record` run?"),
        None => failure.hint("`qwatch status` lists them all"),
    })
}
