//! `qwatch history`: prints what the journal holds.

use std::time::Duration;

use super::journal_arg::JournalArg;
use super::{Exit, Failure, Ui};
use crate::filter::{Filter, FilterArgs, TimeArgs};
use crate::journal::{Direction, Query, Reader};
use crate::output::{OutputArgs, Printer};
use crate::record::{Origin, Record};
use crate::time;

/// Records shown before following, as `tail -f` does.
const LAST_BEFORE_FOLLOWING: usize = 10;

/// How long one wait for new records lasts; after it, the next one begins.
const FOLLOW_WAIT: Duration = Duration::from_secs(3600);

/// Print what the journal holds, oldest first
///
/// The journal is read directly: no recorder needs to run, and one that runs is not disturbed. Where
/// nobody was listening there is a `gap` line, also among events chosen by --event or --where (but not
/// with --json, which prints exactly what was asked for).
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    time: TimeArgs,

    /// Only the last N records that pass the filter
    #[arg(long, short = 'n', value_name = "N", help_heading = "Filter")]
    last: Option<usize>,

    /// Only records numbered above SEQ (the member seq of --json)
    #[arg(
        long,
        value_name = "SEQ",
        help_heading = "Filter",
        default_value_t = 0,
        hide_default_value = true
    )]
    after: u64,

    /// Go on printing as records come, until interrupted
    ///
    /// Begins with the last 10 records unless --last, --since or --after says otherwise.
    #[arg(long, short = 'f')]
    follow: bool,

    #[command(flatten)]
    journal: JournalArg,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let zone = time::zone(args.output.utc);
    let filter = Filter::new(&args.filter)?.bounded(&args.time, time::now_us(), &zone)?;
    let mut history = History {
        filter,
        with_gaps: !args.output.json,
        printer: ui.printer(&args.output),
        position: args.after,
    };
    if !args.follow {
        let reader = args.journal.reader()?;
        history.make_room(&reader)?;
        if args.last.is_none()
            && let Some(removed) = history.removed(&reader)?
        {
            ui.note(&removed);
        }
        history.skip_to_last(&reader, args.last)?;
        history.print_new(&reader)?;
        return Ok(Exit::Success);
    }
    let follower = args.journal.follower()?;
    let reader = follower.reader();
    if !reader.is_live() {
        ui.note("this journal is read from a copy: nothing new will be seen");
    }
    history.make_room(reader)?;
    let from_start = args.after > 0 || args.time.since.is_some();
    let last = args.last.or((!from_start).then_some(LAST_BEFORE_FOLLOWING));
    history.skip_to_last(reader, last)?;
    loop {
        history.print_new(reader)?;
        follower.wait_past(history.position, FOLLOW_WAIT)?;
    }
}

struct History {
    filter: Filter,
    with_gaps: bool,
    printer: Printer,
    /// Number of the last record looked at.
    position: u64,
}

impl History {
    /// Lets the columns stand still from the first line on.
    fn make_room(&mut self, reader: &Reader) -> Result<(), Failure> {
        let machines = reader.machines()?;
        let names = machines.iter().map(|machine| machine.name.as_str());
        let wanted = names.filter(|name| self.filter.matches_machine(name));
        self.printer.expect_machines(wanted);
        Ok(())
    }

    /// Records that might have been printed and were removed are not to be taken for silence.
    fn removed(&self, reader: &Reader) -> Result<Option<String>, Failure> {
        let removed = reader.removed()?;
        let asked_for = |until_us: i64| self.filter.since_us().is_none_or(|us| us <= until_us);
        if removed.through <= self.position || !removed.until_us.is_some_and(asked_for) {
            return Ok(None);
        }
        let machines = reader.machines()?;
        let all = machines
            .iter()
            .all(|m| self.filter.matches_machine(&m.name));
        let runs = machines
            .iter()
            .filter(|machine| self.filter.matches_machine(&machine.name))
            .flat_map(|machine| &machine.runs);
        let (records, until_us) = match all {
            true => (removed.records, removed.until_us),
            false => runs.fold((0, None), |(sum, until), run| {
                (sum + run.removed, until.max(run.removed_until_us))
            }),
        };
        let Some(until_us) = until_us.filter(|&until_us| asked_for(until_us)) else {
            return Ok(None);
        };
        let until = time::human(until_us, &time::zone(false));
        Ok(Some(format!(
            "{records} records up to {until} are not there any more: see qwatch journal info, view removals"
        )))
    }

    /// Moves the position to before the last `count` records that pass.
    fn skip_to_last(&mut self, reader: &Reader, count: Option<usize>) -> Result<(), Failure> {
        let Some(count) = count else {
            return Ok(());
        };
        let end = reader.last_seq()?;
        if count == 0 {
            self.position = self.position.max(end);
            return Ok(());
        }
        let mut left = count;
        let filter = &self.filter;
        let machine = |name: &str| filter.matches_machine(name);
        let event = |name: &str| filter.matches_event(name);
        let query = Self::query(self.position, filter, &machine, &event);
        for record in reader.records(&query.direction(Direction::NewestFirst))? {
            let record = record?;
            if filter.matches(&record) {
                left -= 1;
                if left == 0 {
                    self.position = record.seq.map_or(0, |seq| seq - 1);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Prints what passes from the position to the end of the journal.
    fn print_new(&mut self, reader: &Reader) -> Result<(), Failure> {
        // Records may come between this and the query; those that are printed count too.
        let mut seen = reader.last_seq()?.max(self.position);
        let filter = &self.filter;
        let machine = |name: &str| filter.matches_machine(name);
        let event = |name: &str| filter.matches_event(name) || (self.with_gaps && name == GAP);
        let query = Self::query(self.position, filter, &machine, &event);
        for record in reader.records(&query)? {
            let record = record?;
            let gap = self.with_gaps && is_gap(&record) && filter.matches_gap(&record);
            if gap || filter.matches(&record) {
                self.printer.print(&record)?;
            }
            seen = seen.max(record.seq.unwrap_or(0));
        }
        self.printer.flush()?;
        self.position = seen;
        Ok(())
    }

    fn query<'q>(
        after: u64,
        filter: &Filter,
        machine: &'q dyn Fn(&str) -> bool,
        event: &'q dyn Fn(&str) -> bool,
    ) -> Query<'q> {
        Query::default()
            .after(after)
            .machines(machine)
            .events(event)
            .since_us(filter.since_us())
            .until_us(filter.until_us())
    }
}

const GAP: &str = "gap";

fn is_gap(record: &Record) -> bool {
    record.origin == Origin::Qwatch && record.name == GAP
}
