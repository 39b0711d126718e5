//! `qwatch watch`: events as they happen.

use qmp_client::Address;

use super::journal_arg::JournalArg;
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
/// With monitors: connects to each and stays; a monitor that goes away is dialled again until it is
/// back. In between nothing is heard, and a line `gap` says so. QEMU serves one client a monitor:
/// while qwatch watches, another client waits. Without monitors: follows a journal that `qwatch
/// record` writes, which needs no monitor.
///
/// A gap is printed whatever --event and --where say, as it may hide what was asked for; --event
/// '!gap' leaves it out. With --json exactly what was asked for is printed; add gap to --event to
/// have it.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[arg(help = MONITOR_HELP, long_help = MONITOR_LONG_HELP, value_name = "MONITOR")]
    #[arg(conflicts_with = "journal")]
    monitors: Vec<Address>,

    #[command(flatten)]
    journal: JournalArg,

    /// Do not connect again: end when the last monitor has gone
    #[arg(long, requires = "monitors")]
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
        with_gaps: !args.output.json,
        printer: ui.printer(&args.output),
    };
    if args.monitors.is_empty() {
        return journal::follow(&args.journal.follower()?, &mut screen);
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
    /// Whether gaps are printed whatever the filter says.
    with_gaps: bool,
    printer: Printer,
}

impl Screen {
    /// Prints the record if it is wanted.
    fn show(&mut self, record: &Record) -> Result<(), WriteError> {
        if wants(&self.filter, self.with_gaps, record) {
            self.printer.print(record)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.printer.flush()
    }
}

fn wants(filter: &Filter, with_gaps: bool, record: &Record) -> bool {
    let is_gap = record.origin == Origin::Qwatch && record.name == "gap";
    filter.matches(record) || (with_gaps && is_gap && filter.matches_gap(record))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_gap_is_shown_among_what_was_asked_for() {
        let now = SystemTime::now();
        let gap = notes::gap("web", now, now, "QEMU closed the connection");
        let wanted = |event: &str, machine: &str, with_gaps| {
            let args = FilterArgs {
                event: vec![event.to_owned()],
                machine: vec![machine.to_owned()],
                expression: Some("data.guest".to_owned()),
            };
            wants(&Filter::new(&args).expect("a filter"), with_gaps, &gap)
        };
        assert!(wanted("STOP", "web", true));
        assert!(!wanted("STOP", "web", false));
        assert!(!wanted("STOP", "db", true));
        assert!(!wanted("!gap", "web", true));
        let event = Record {
            origin: Origin::Qemu,
            ..gap.clone()
        };
        let stop = FilterArgs {
            event: vec!["STOP".to_owned()],
            ..FilterArgs::default()
        };
        let filter = Filter::new(&stop).expect("a filter");
        assert!(
            !wants(&filter, true, &event),
            "an event that is called gap is none"
        );
    }
}
