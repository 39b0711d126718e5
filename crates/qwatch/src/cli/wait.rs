//! `qwatch wait`: blocks until something happens, for scripts.

use std::time::Duration;

use qmp_client::{Address, Connection, Item, Options};

use super::command::{CommandTextError, QmpCommand};
use super::monitor::{self, MONITOR_HELP, MONITOR_LONG_HELP};
use super::{Exit, Failure, Ui, block_on, execute};
use crate::filter::{Filter, FilterArgs};
use crate::output::OutputArgs;
use crate::record::Record;
use crate::time;

/// Wait until a machine sends an event, and print it
///
/// Exit codes: 0 the event was seen, 124 the time-out passed first, 1 the monitor is gone or the
/// command of --after-command failed. Events count from the moment the connection is made; to wait
/// for the effect of a command, give it with --after-command, so that nothing can be missed in
/// between.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[arg(help = MONITOR_HELP, long_help = MONITOR_LONG_HELP)]
    monitor: Address,

    /// Event names or globs, comma-separated or repeated; any of them ends the wait
    #[arg(value_name = "EVENT", required = true)]
    events: Vec<String>,

    /// Only events for which this CEL expression is true; `qwatch watch --help` explains it
    #[arg(long = "where", value_name = "EXPR", allow_hyphen_values = true)]
    expression: Option<String>,

    /// Give up after this long: 30s, 5m, or a number of seconds; exit code 124
    #[arg(long, value_name = "TIME", value_parser = time::parse_duration)]
    timeout: Option<Duration>,

    /// Send this command once listening: '{"execute": "system_powerdown"}', or a name alone
    ///
    /// Its error ends the wait. The event may come before the command returns; both are waited for.
    #[arg(long, value_name = "COMMAND", value_parser = command)]
    after_command: Option<QmpCommand>,

    #[command(flatten)]
    output: OutputArgs,
}

fn command(text: &str) -> Result<QmpCommand, CommandTextError> {
    QmpCommand::from_words(text, &[])
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let filter = Filter::new(&FilterArgs {
        event: args.events.clone(),
        expression: args.expression.clone(),
        ..FilterArgs::default()
    })?;
    monitor::warn_of_slips(&args.events, ui);
    let seen = block_on(async {
        match args.timeout {
            None => wait(args, &filter, ui).await,
            Some(limit) => tokio::time::timeout(limit, wait(args, &filter, ui))
                .await
                .unwrap_or_else(|_| Err(timed_out(args, limit))),
        }
    })?;
    let mut printer = ui.printer(&args.output);
    printer.print(&seen)?;
    printer.flush()?;
    Ok(Exit::Success)
}

fn timed_out(args: &Args, limit: Duration) -> Failure {
    let names = args.events.join(", ");
    let limit = time::human_duration(limit);
    Failure::new(format!("no {names} within {limit}")).with_exit(Exit::TimedOut)
}

async fn wait(args: &Args, filter: &Filter, ui: Ui) -> Result<Record, Failure> {
    let options = Options {
        // The wait as a whole has its own limit.
        command_timeout: Duration::from_secs(u32::MAX as u64),
        oob: args
            .after_command
            .as_ref()
            .is_some_and(|command| command.oob),
        ..Options::default()
    };
    let connection = monitor::connect(&args.monitor, &options, ui).await?;
    let Connection { client, mut events } = connection;
    let machine = monitor::machine_name(&client, &args.monitor).await;
    let mut answer = std::pin::pin!(async {
        match &args.after_command {
            None => Ok(()),
            Some(command) => send(&client, command).await,
        }
    });
    let mut answered = false;
    let mut seen = None;
    loop {
        tokio::select! {
            // What was heard before the connection ended comes first.
            biased;
            item = events.next() => match item {
                Ok(Item::Event(event)) if seen.is_none() => match monitor::record(&machine, &event) {
                    Ok(record) if filter.matches(&record) => seen = Some(record),
                    Ok(_) => {}
                    Err(error) => ui.note(&format!("skipped: {error}")),
                },
                Ok(Item::Dropped(dropped)) => {
                    ui.note(&format!("{} events came too fast and were missed", dropped.count));
                }
                Ok(_) => {}
                Err(closed) => {
                    return seen.ok_or_else(|| Failure::new(format!("{machine}: {closed}")));
                }
            },
            result = &mut answer, if !answered => match result {
                Ok(()) => answered = true,
                // The command may be what ended it: `quit` is.
                Err(Unanswered::Closed) => answered = true,
                Err(Unanswered::Failed(failure)) => return Err(failure),
            },
        }
        if answered && let Some(record) = seen {
            return Ok(record);
        }
    }
}

/// Why the command has no answer.
enum Unanswered {
    Closed,
    Failed(Failure),
}

async fn send(client: &qmp_client::Client, command: &QmpCommand) -> Result<(), Unanswered> {
    let answer = match command.oob {
        true => client.execute_oob(&command.name, &command.arguments).await,
        false => client.execute(&command.name, &command.arguments).await,
    };
    match answer {
        Ok(_) => Ok(()),
        Err(qmp_client::ExecuteError::Closed(_)) => Err(Unanswered::Closed),
        Err(error) => Err(Unanswered::Failed(execute::failure(&command.name, &error))),
    }
}
