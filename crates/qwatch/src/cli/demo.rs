//! `qwatch demo`: a day of emulated machines, no QEMU needed.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Exit, Failure, Ui, block_on};
use crate::demo::{self, Audience, DemoError, Role, Settings};
use crate::output::{OutputArgs, Printer, WriteError};
use crate::record::Record;

/// Show what qwatch does, without a QEMU
///
/// Four emulated machines live through a scripted day of some ten seconds: a full disk, block jobs, a
/// panic, watchdogs, visitors, a migration, and a while in which nobody listens. The real recorder hears
/// them over UNIX sockets and writes a journal, from which the events are printed as they come. The
/// journal stays, so that the other commands can be tried on it.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Play so many times faster, or slower if below 1
    ///
    /// Rate limits stay at one second: played faster, more is held back.
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = parse_speed)]
    speed: f64,

    /// Write the journal into this folder, made if need be, instead of one for temporary files
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    keep: Option<PathBuf>,

    /// Be one of the machines: its name and the folder of the sockets
    #[arg(long, num_args = 2, value_names = ["NAME", "DIR"], hide = true)]
    role: Option<Vec<String>>,

    #[command(flatten)]
    output: OutputArgs,
}

/// The slowest and the fastest a demo is played.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.01..=1000.0;

pub(super) fn parse_speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed| SPEEDS.contains(speed));
    let (min, max) = (SPEEDS.start(), SPEEDS.end());
    speed.ok_or_else(|| format!("expected a number from {min} to {max}"))
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    if let Some([name, sockets]) = args.role.as_deref() {
        let (name, sockets) = (name.clone(), sockets.into());
        demo::play_role(&Role { name, sockets })?;
        return Ok(Exit::Success);
    }
    let journal = journal_path(args.keep.as_deref())?;
    let sockets = tempfile::Builder::new().prefix("qwatch-").tempdir();
    let sockets = sockets.map_err(|error| no_folder(&std::env::temp_dir(), &error))?;
    let settings = Settings {
        speed: args.speed,
        journal: journal.clone(),
        sockets: sockets.path().to_owned(),
    };
    let mut screen = Screen {
        printer: ui.printer(&args.output),
        bold: if ui.is_stdout_colored() {
            ("\u{1b}[1m", "\u{1b}[0m")
        } else {
            ("", "")
        },
        json: args.output.json,
    };
    screen.printer.expect_machines(demo::machine_names());
    block_on(async {
        tokio::select! {
            played = demo::play(&settings, &mut screen) => Ok(played?),
            _ = tokio::signal::ctrl_c() => Err(interrupted(&journal)),
        }
    })?;
    if args.output.json {
        ui.note(&format!("the journal is {}", journal.display()));
    } else {
        screen.say(&next_steps(&journal))?;
    }
    Ok(Exit::Success)
}

/// The journal to be made: in the folder to be kept, or in a new one for temporary files that stays.
fn journal_path(keep: Option<&Path>) -> Result<PathBuf, Failure> {
    let folder = match keep {
        Some(folder) => {
            fs::create_dir_all(folder).map_err(|error| no_folder(folder, &error))?;
            folder.to_owned()
        }
        None => {
            let folder = tempfile::Builder::new().prefix("qwatch-demo-").tempdir();
            folder
                .map_err(|error| no_folder(&std::env::temp_dir(), &error))?
                .keep()
        }
    };
    let journal = folder.join("journal.db");
    if journal.exists() {
        let failure = Failure::usage(format!("{} exists already", journal.display()));
        return Err(failure.hint("Name another folder, or remove the journal of the last demo."));
    }
    Ok(journal)
}

fn interrupted(journal: &Path) -> Failure {
    let failure = Failure::new("the demo was broken off");
    failure.hint(format!(
        "What was recorded so far is in {}.",
        journal.display()
    ))
}

fn no_folder(folder: &Path, error: &io::Error) -> Failure {
    Failure::new(format!(
        "cannot make a folder at {}: {error}",
        folder.display()
    ))
}

/// What to try on the journal, to be copied into a shell: the program as it was called this time,
/// since it may be in no folder of `PATH`.
fn next_steps(journal: &Path) -> String {
    let journal = shell_word(&journal.display().to_string());
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "qwatch".to_owned());
    let qwatch = shell_word(&program);
    format!(
        "\nThe day is over; its journal stays at {journal}. Try:\n\
         \n  {qwatch} history --journal {journal} --machine db\
         \n  {qwatch} history --journal {journal} --event 'BLOCK_JOB_*' --json\
         \n  {qwatch} history --journal {journal} --where 'event == \"BLOCK_JOB_COMPLETED\" && has(data.error)'\
         \n  {qwatch} status --journal {journal}\
         \n  {qwatch} why attic --journal {journal}\
         \n  {qwatch} events BLOCK_IO_ERROR\
         \n  sqlite3 {journal} 'select machine, event, count(*) from events group by 1, 2'\n"
    )
}

/// Quoted for a shell if it has to be.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    match word.chars().all(plain) && !word.is_empty() {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Standard output: chapters and records.
struct Screen {
    printer: Printer,
    /// What begins and ends a chapter's title.
    bold: (&'static str, &'static str),
    json: bool,
}

impl Screen {
    fn say(&mut self, text: &str) -> Result<(), WriteError> {
        self.printer.flush()?;
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

impl Audience for Screen {
    fn chapter(&mut self, title: &str) -> Result<(), WriteError> {
        if self.json {
            return Ok(());
        }
        let (on, off) = self.bold;
        self.say(&format!("\n{on}{title}{off}\n"))
    }

    fn record(&mut self, record: &Record) -> Result<(), WriteError> {
        self.printer.print(record)
    }

    fn pause(&mut self) -> Result<(), WriteError> {
        self.printer.flush()
    }
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        match error {
            DemoError::Write(error) => error.into(),
            error => Self::new(error),
        }
    }
}
