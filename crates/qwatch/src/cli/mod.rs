//! The command line: one file a command, each with its `Args` and its `run`.
//!
//! What the user typed is in the `Args`; help, man pages and completions come from the same
//! definitions. A command gives back an `Exit` or a `Failure`, which is the only place where
//! messages on the way out are written.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::output::{ColorWhen, OutputArgs, Printer, escape};

mod adopt;
mod check;
mod command;
mod completions;
mod decode;
mod demo;
mod emulate;
mod events;
mod execute;
mod failure;
mod history;
mod journal;
mod journal_arg;
mod man;
mod monitor;
mod record;
mod recorder_word;
mod status;
mod top;
mod wait;
mod watch;
mod why;

pub(crate) use failure::{Exit, Failure};

/// The exit codes of every command, for `qwatch --help` and the manual pages.
const EXIT_CODES: &str = "  0    done; wait: the event was seen
  1    failed: no such monitor, the monitor is gone, QEMU refused the command;
       decode --strict and check: something is not in the vocabulary;
       journal check: something is damaged; journal salvage: something is lost
  2    wrong usage: an option, an expression or a configuration file is malformed
  3    status: the recorder cannot write its journal (full disk, read-only, I/O error)
  124  the time-out passed first
A reader that leaves early (qwatch decode | head) is no failure: exit code 0.
";

/// The flight recorder for QEMU virtual machines: hears, keeps and explains every QMP event.
#[derive(Parser, Debug)]
#[command(name = "qwatch", version, max_term_width = 100, after_help = format!("Exit codes:\n{EXIT_CODES}"))]
#[command(
    propagate_version = false,
    infer_subcommands = false,
    arg_required_else_help = true
)]
struct Cli {
    /// When to use colours; NO_COLOR is respected
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    color: ColorWhen,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Watch(watch::Args),
    Wait(wait::Args),
    Execute(execute::Args),
    Record(record::Args),
    History(history::Args),
    Status(status::Args),
    Why(why::Args),
    Journal(journal::Args),
    Top(top::Args),
    Adopt(adopt::Args),
    Decode(decode::Args),
    Events(events::Args),
    Check(check::Args),
    Emulate(emulate::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    fn run(&self, ui: Ui) -> Result<Exit, Failure> {
        match self {
            Self::Watch(args) => watch::run(args, ui),
            Self::Wait(args) => wait::run(args, ui),
            Self::Execute(args) => execute::run(args, ui),
            Self::Record(args) => record::run(args, ui),
            Self::History(args) => history::run(args, ui),
            Self::Status(args) => status::run(args, ui),
            Self::Why(args) => why::run(args, ui),
            Self::Journal(args) => journal::run(args, ui),
            Self::Top(args) => top::run(args, ui),
            Self::Adopt(args) => adopt::run(args, ui),
            Self::Decode(args) => decode::run(args, ui),
            Self::Events(args) => events::run(args, ui),
            Self::Check(args) => check::run(args, ui),
            Self::Emulate(args) => emulate::run(args, ui),
            Self::Demo(args) => demo::run(args, ui),
            Self::Completions(args) => completions::run(args),
            Self::Man(args) => man::run(args),
        }
    }
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let ui_args: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(ui_args) {
        Ok(cli) => cli,
        // Help, version and usage errors; their reader may have left already.
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let ui = Ui { color: cli.color };
    match cli.command.run(ui) {
        Ok(exit) => exit.into(),
        Err(failure) => ui.report(&failure).into(),
    }
}

/// The definitions of all commands, for help, man pages and completions.
pub(crate) fn definitions() -> clap::Command {
    Cli::command()
}

/// The user's end: what all commands share of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ui {
    /// When to colour.
    pub(crate) color: ColorWhen,
}

impl Ui {
    /// A printer of records on standard output.
    pub(crate) fn printer(self, args: &OutputArgs) -> Printer {
        Printer::stdout(args, self.color)
    }

    /// Whether text on standard output is coloured.
    pub(crate) fn is_stdout_colored(self) -> bool {
        self.color.is_on(io::stdout().is_terminal())
    }

    /// Whether text on standard error is coloured.
    pub(crate) fn is_stderr_colored(&self) -> bool {
        self.color.is_on(io::stderr().is_terminal())
    }

    /// Tells the user something beside the output, on standard error.
    pub(crate) fn note(self, message: &str) {
        let message = escape::visible(message);
        let _ = writeln!(io::stderr().lock(), "qwatch: {message}");
    }

    /// Says why the command failed, and what to do.
    fn report(self, failure: &Failure) -> Exit {
        if !failure.is_quiet() {
            let mut stderr = io::stderr().lock();
            let (bold, plain) = if self.color.is_on(stderr.is_terminal()) {
                ("\u{1b}[1;31m", "\u{1b}[0m")
            } else {
                ("", "")
            };
            let _ = writeln!(stderr, "qwatch: {bold}error:{plain} {}", failure.message());
            for hint in failure.hints() {
                let _ = writeln!(stderr, "  {hint}");
            }
        }
        failure.exit()
    }
}

/// Runs one command's asynchronous part on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    runtime.block_on(work)
}
