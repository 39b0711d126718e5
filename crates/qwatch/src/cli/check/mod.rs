//! `qwatch check`: is a monitor reachable, and does the vocabulary have all that its QEMU has.

use std::io::{self, Write};

use qmp_client::{Address, Options};
use qmp_events::Version;

use super::monitor::{self, MONITOR_HELP, MONITOR_LONG_HELP};
use super::{Exit, Failure, Ui, block_on, execute};
use crate::output::WriteError;
use crate::time;

mod compare;
mod report;
mod schema;

use report::Report;
use schema::Schema;

/// Check a monitor: is it reachable, and what has its QEMU that the vocabulary lacks
///
/// Compares QEMU's own description of its events (query-qmp-schema, since QEMU 2.5) with the
/// vocabulary: events, members, values. Exit code 0 if nothing is lacking; what the vocabulary has
/// and this QEMU does not is listed with the reason and is no fault.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[arg(help = MONITOR_HELP, long_help = MONITOR_LONG_HELP)]
    monitor: Address,

    /// Give up after this long: 30s, 5m, or a number of seconds; exit code 124
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time::parse_duration)]
    timeout: std::time::Duration,

    /// Print one JSON object: monitor, qemu, events, lacking, absent
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let report = block_on(ask(args, ui))?;
    let text = if args.json {
        report.json()
    } else {
        report.text()
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).map_err(WriteError)?;
    Ok(match report.is_complete() {
        true => Exit::Success,
        false => Exit::Failure,
    })
}

async fn ask(args: &Args, ui: Ui) -> Result<Report, Failure> {
    const COMMAND: &str = "query-qmp-schema";
    let options = Options {
        command_timeout: args.timeout,
        ..Options::default()
    };
    let connection = monitor::connect(&args.monitor, &options, ui).await?;
    let qemu = connection.client.greeting().version.clone();
    let answer = connection.client.execute(COMMAND, ()).await;
    let answer = answer.map_err(|error| {
        let failure = execute::failure(COMMAND, &error);
        failure.hint(format!(
            "the monitor is reachable: QEMU {qemu}; this query came with QEMU 2.5"
        ))
    })?;
    let schema = Schema::read(answer.get()).map_err(|error| {
        Failure::new(format!("{COMMAND}: the answer is not as expected: {error}"))
    })?;
    let version = Version {
        major: u16::try_from(qemu.major).unwrap_or(u16::MAX),
        minor: u16::try_from(qemu.minor).unwrap_or(u16::MAX),
    };
    Ok(Report {
        monitor: args.monitor.to_string(),
        version: format!("{}.{}.{}", qemu.major, qemu.minor, qemu.micro),
        package: qemu.package.clone(),
        events: schema.events().len(),
        differences: compare::compare(&schema, version),
    })
}
