//! `qwatch journal check`: is everything there, and does it fit together?

use std::io::{self, Write};

use serde::Serialize;

use super::progress::{Progress, share};
use crate::cli::journal_arg::JournalArg;
use crate::cli::{Exit, Failure, Ui};
use crate::journal::{Check, Finding};
use crate::output::{Palette, WriteError, escape, paint};

/// Look a journal over: every page, every record, every index
///
/// Looks at the write-ahead log, at every page of the file, at the layout and the views, at every record
/// (none missing that was not removed by retention, all readable), at the time map, the index by run, the
/// tallies, and at what refers to what. Nothing is written; the recorder may go on. Exit code 1 if something
/// is damaged. With --json, one object for each thing looked at.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    journal: JournalArg,

    /// Print JSON Lines: one object for each thing looked at
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'f> {
    what: &'f str,
    ok: bool,
    damage: &'f [String],
}

pub(super) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let path = args.journal.path();
    let check = Check::open(&path)?;
    let palette = Palette::new(ui.is_stdout_colored());
    let progress = std::cell::RefCell::new(Progress::new());
    let mut written = Ok(());
    let mut print = |finding: Finding| {
        progress.borrow_mut().clear();
        if written.is_ok() {
            written = match args.json {
                true => print_json(&finding),
                false => print_line(&finding, &palette),
            };
        }
    };
    let all_well = check.run(&mut print, &mut |what, done, all| {
        let text = || format!("{what}{}", share(done, all));
        progress.borrow_mut().show(text);
    });
    written.map_err(WriteError)?;
    if all_well {
        return Ok(Exit::Success);
    }
    Err(
        Failure::new(format!("{} is damaged", path.display())).hint(format!(
            "qwatch journal salvage {} NEW copies what can be read into a new journal",
            path.display()
        )),
    )
}

fn print_json(finding: &Finding) -> io::Result<()> {
    let line = Line {
        what: finding.what,
        ok: finding.damage.is_empty(),
        damage: &finding.damage,
    };
    let line = serde_json::to_string(&line).expect("strings always serialize");
    writeln!(io::stdout().lock(), "{}", escape::visible_json(&line))
}

fn print_line(finding: &Finding, palette: &Palette) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if finding.damage.is_empty() {
        return writeln!(out, "{}  {}", paint(palette.dim, "ok "), finding.what);
    }
    writeln!(out, "BAD  {}", finding.what)?;
    for damage in &finding.damage {
        writeln!(out, "     {}", escape::visible(damage))?;
    }
    Ok(())
}
