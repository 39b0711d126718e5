//! `qwatch wait`: blocks until something happens, or is so, for scripts.

mod condition;
mod journal;
mod monitor;

use std::path::Path;
use std::time::Duration;

use qmp_client::Address;

use self::condition::{ConditionError, Conditions};
use super::command::{CommandTextError, QmpCommand};
use super::journal_arg::JournalArg;
use super::{Exit, Failure, Ui, block_on};
use crate::output::OutputArgs;
use crate::record::Record;
use crate::time;

/// Wait until a machine sends an event or is in a state, and print the record that says so
///
/// A MONITOR is a socket (a path with a slash, unix:PATH, @NAME, tcp:HOST:PORT),
/// anything else the name of a MACHINE in the journal. Conditions, any of which
/// ends the wait:
///
///   EVENT               an event by name or glob (STOP, 'BLOCK_JOB_*'), from
///                       now on
///   running, paused, suspended, panicked, shutdown, gone
///                       the state of the machine
///   job:ID[=STATUS]     a job has come to this status; concluded if none is
///                       given
///   device-deleted:ID   a device has been removed
///   migration=STATUS    the last migration has come to this status
///
/// All but events are looked up first, in the journal or by asking QEMU, so that
/// what has happened already is not waited for in vain. A job that fails or is
/// cancelled ends the wait with its error, and so does the end of a machine that
/// makes the condition impossible.
///
/// Exit codes: 0 it is so, 1 it cannot become so any more, 124 the time-out passed
/// first.
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The monitor to ask and listen to, or the machine to look for in the journal
    #[arg(value_name = "MONITOR|MACHINE")]
    source: String,

    /// What to wait for
    #[arg(value_name = "CONDITION", required = true)]
    conditions: Vec<String>,

    /// Only events for which this CEL expression is true; `qwatch watch --help` explains it
    #[arg(long = "where", value_name = "EXPR", allow_hyphen_values = true)]
    expression: Option<String>,

    /// Give up after this long: 30s, 5m, or a number of seconds; exit code 124
    #[arg(long, value_name = "TIME", value_parser = time::parse_duration)]
    timeout: Option<Duration>,

    /// Send this command once listening: '{"execute": "system_powerdown"}', or a name alone
    ///
    /// Its error ends the wait. The event may come before the command returns; both are waited for. States are
    /// looked up once it has returned. Needs a MONITOR.
    #[arg(long, value_name = "COMMAND", value_parser = command)]
    after_command: Option<QmpCommand>,

    /// In the journal: only what records after this number say, for events, jobs and removals
    ///
    /// Take the number of the last record before you begin, and neither an older job of the same id nor a quick
    /// end can mislead: qwatch history --last 1 --json.
    #[arg(long, value_name = "NUMBER", conflicts_with = "after_command")]
    after: Option<u64>,

    #[command(flatten)]
    journal: JournalArg,

    #[command(flatten)]
    output: OutputArgs,
}

/// What ended the wait.
#[derive(Debug)]
enum Waited {
    /// This came.
    Seen(Record),
    /// It was so already, as this says.
    Already(Record),
}

fn command(text: &str) -> Result<QmpCommand, CommandTextError> {
    QmpCommand::from_words(text, &[])
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let conditions = Conditions::new(&args.conditions, args.expression.as_deref())?;
    super::monitor::warn_of_slips(conditions.events(), ui);
    let waited = match source(args)? {
        Source::Monitor(address) => block_on(async {
            let waiting = monitor::wait(args, &address, &conditions, ui);
            match args.timeout {
                None => waiting.await.map(Some),
                Some(limit) => match tokio::time::timeout(limit, waiting).await {
                    Ok(waited) => waited.map(Some),
                    Err(_) => Ok(None),
                },
            }
        })?,
        Source::Machine(name) => journal::wait(args, &name, &conditions, ui)?,
    };
    let (Waited::Seen(record) | Waited::Already(record)) =
        waited.ok_or_else(|| timed_out(args, &conditions))?;
    let mut printer = ui.printer(&args.output);
    printer.print(&record)?;
    printer.flush()?;
    Ok(Exit::Success)
}

fn timed_out(args: &Args, conditions: &Conditions) -> Failure {
    let limit = time::human_duration(args.timeout.unwrap_or_default());
    Failure::new(format!("no {} within {limit}", conditions.text())).with_exit(Exit::TimedOut)
}

/// Where to wait.
#[derive(Debug)]
enum Source {
    Monitor(Address),
    Machine(String),
}

/// Names have no slash and no colon, addresses mostly have; who gives a journal means a machine.
fn source(args: &Args) -> Result<Source, Failure> {
    let text = &args.source;
    let like_an_address =
        text.contains(['/', ':']) || text.starts_with('@') || Path::new(text).exists();
    if args.journal.is_given() || args.after.is_some() || !like_an_address {
        if args.after_command.is_some() {
            return Err(Failure::usage(format!(
                "`{text}` is a machine in the journal, and --after-command needs a monitor"
            )));
        }
        return Ok(Source::Machine(text.clone()));
    }
    text.parse()
        .map(Source::Monitor)
        .map_err(|error| Failure::usage(format!("`{text}`: {error}")))
}

impl From<ConditionError> for Failure {
    fn from(error: ConditionError) -> Self {
        Self::usage(error)
    }
}
