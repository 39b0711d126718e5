//! `qwatch watch`: events as they happen.

use std::path::PathBuf;

use qmp_client::Address;

use super::monitor::{self, MONITOR_HELP, MONITOR_LONG_HELP};
use super::{Exit, Failure, Ui, block_on};
use crate::filter::{Filter, FilterArgs};
use crate::output::{OutputArgs, Printer, WriteError};
use crate::record::{Origin, Record};

mod journal;
mod live;
mod notes;

/// Print events as they happen, from monitors or from a journal
///
/// With monitors: connects to each and stays; a monitor that goes away is dialled again until it is back.
/// In between nothing is heard, and a line `gap` says so. QEMU serves one client a monitor: while qwatch
/// watches, another client waits. Without monitors: follows a journal that `qwatch record` writes, which
/// needs no monitor.
///
/// A gap is printed whatever --event and --where say, as it may hide what was asked for; --event '!gap'
/// leaves it out.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[arg(help = MONITOR_HELP, long_help = MONITOR_LONG_HELP, value_name = "MONITOR")]
    #[arg(required_unless_present = "journal", conflicts_with = "journal")]
    monitors: Vec<Address>,

    /// Follow this journal
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,

    /// Do not connect again: end when the last monitor has gone
    #[arg(long, conflicts_with = "journal")]
    once: bool,

    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let filter = Filter::new(&args.filter)?;
    monitor::warn_of_slips(&args.filter.event, ui);
    let mut screen = Screen {
        filter,
        printer: ui.printer(&args.output),
    };
    if let Some(path) = &args.journal {
        return journal::follow(path, &mut screen);
    }
    let names: Vec<_> = args.monitors.iter().map(monitor::fallback_name).collect();
    screen
        .printer
        .expect_machines(names.iter().map(String::as_str));
    block_on(live::watch(&args.monitors, args.once, &mut screen, ui))
}

/// What is wanted, and where it goes.
struct Screen {
    filter: Filter,
    printer: Printer,
}

impl Screen {
    /// Prints the record if it is wanted.
    fn show(&mut self, record: &Record) -> Result<(), WriteError> {
        let is_gap = record.origin == Origin::Qwatch && record.name == "gap";
        let wanted = match is_gap {
            true => self.filter.matches_gap(record),
            false => self.filter.matches(record),
        };
        if wanted {
            self.printer.print(record)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.printer.flush()
    }
}
