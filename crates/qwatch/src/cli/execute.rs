//! `qwatch execute`: one command to a monitor, its answer back.

use std::io::{self, IsTerminal, Write};

use qmp_client::{Address, ExecuteError, Options};

use super::command::QmpCommand;
use super::monitor::{self, MONITOR_HELP, MONITOR_LONG_HELP};
use super::{Exit, Failure, Ui, block_on};
use crate::output::{WriteError, escape, pretty};
use crate::time;

/// Execute one QMP command and print what it returns
///
/// Arguments are KEY=VALUE words or one JSON object. A value that is JSON is taken as such,
/// anything else is a string; a key with dots goes into nested objects (file.driver=nbd). Instead
/// of a name the whole command may be given: '{"execute": "stop"}'. The answer is indented on a
/// terminal and on one line elsewhere. An error of QEMU's goes to standard error and gives exit
/// code 1.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[arg(help = MONITOR_HELP, long_help = MONITOR_LONG_HELP)]
    monitor: Address,

    /// The command's name, or all of it as JSON
    command: String,

    /// KEY=VALUE words, or one JSON object
    #[arg(value_name = "ARGUMENT")]
    arguments: Vec<String>,

    /// Give up after this long: 30s, 5m, or a number of seconds; exit code 124
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time::parse_duration)]
    timeout: std::time::Duration,

    /// Execute out of band, overtaking commands that wait (for commands that allow it)
    #[arg(long)]
    oob: bool,

    /// Print the answer on one line, even on a terminal
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let mut command =
        QmpCommand::from_words(&args.command, &args.arguments).map_err(Failure::usage)?;
    command.oob |= args.oob;
    let answer = block_on(execute(args, &command, ui))?;
    let mut stdout = io::stdout().lock();
    let answer = qmp_events::json::compact(&answer);
    let safe = escape::visible_json(&answer);
    let text = if args.json || !stdout.is_terminal() {
        safe.into_owned()
    } else {
        pretty(&safe)
    };
    writeln!(stdout, "{text}").map_err(WriteError)?;
    Ok(Exit::Success)
}

async fn execute(args: &Args, command: &QmpCommand, ui: Ui) -> Result<String, Failure> {
    let options = Options {
        command_timeout: args.timeout,
        oob: command.oob,
        ..Options::default()
    };
    let connection = monitor::connect(&args.monitor, &options, ui).await?;
    let client = connection.client;
    let answer = match command.oob {
        true => client.execute_oob(&command.name, &command.arguments).await,
        false => client.execute(&command.name, &command.arguments).await,
    };
    match answer {
        Ok(answer) => Ok(answer.get().to_owned()),
        Err(error) => Err(failure(&command.name, &error)),
    }
}

/// What an error of a command means to the user.
pub(crate) fn failure(name: &str, error: &ExecuteError) -> Failure {
    let failure = Failure::new(format!("{name}: {error}"));
    match error {
        ExecuteError::TimedOut(_) => failure.with_exit(Exit::TimedOut),
        ExecuteError::Arguments(_) => failure.with_exit(Exit::Usage),
        _ => failure,
    }
}
