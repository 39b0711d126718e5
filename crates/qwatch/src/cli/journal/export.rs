//! `qwatch journal export`: records for other tools, or for another journal.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::progress::{Progress, share};
use crate::cli::journal_arg::JournalArg;
use crate::cli::{Exit, Failure, Ui};
use crate::exchange::{ExchangeError, Sink, export, jsonl};
use crate::filter::{Filter, FilterArgs, TimeArgs};
use crate::journal::{Query, Reader};
use crate::output::WriteError;
use crate::time;

/// Write records to a file for other tools, or to be imported again
///
/// JSON Lines: what `history --json` prints, with a member `raw` where the line QEMU sent is not told by the
/// other members byte for byte, and a line for each run. Parquet: a column for each member, for DuckDB,
/// Polars and the like. `qwatch journal import` takes both. The recorder may go on meanwhile.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    time: TimeArgs,

    /// The form; by default what the name of the file says (.parquet), else jsonl
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,

    /// Write to this file; standard output by default
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    journal: JournalArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// JSON Lines: one object a record
    Jsonl,
    /// Apache Parquet, compressed with Snappy
    Parquet,
}

impl Format {
    /// What the name of a file says.
    pub(super) fn of(path: &Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("parquet" | "pq") => Self::Parquet,
            _ => Self::Jsonl,
        }
    }
}

pub(super) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let named = args.output.as_deref().map(Format::of);
    let format = args.format.or(named).unwrap_or(Format::Jsonl);
    let filter =
        Filter::new(&args.filter)?.bounded(&args.time, time::now_us(), &time::zone(false))?;
    let reader = args.journal.reader()?;
    let Some(path) = &args.output else {
        let count = write(&reader, &filter, format, io::stdout())?;
        tracing::debug!(count, "exported");
        return Ok(Exit::Success);
    };
    let cannot = |error| Failure::new(format!("cannot write {}: {error}", path.display()));
    // Under another name until it is whole.
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let file = tempfile::Builder::new()
        .prefix(".qwatch-export-")
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(cannot)?;
    let count = write(
        &reader,
        &filter,
        format,
        file.as_file().try_clone().map_err(cannot)?,
    )?;
    file.as_file().sync_all().map_err(cannot)?;
    let written: File = file.persist(path).map_err(|error| cannot(error.error))?;
    // A temporary file is for nobody else; an export is as the journal's own files are.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    written.set_permissions(mode).map_err(cannot)?;
    ui.note(&format!("{count} records are in {}", path.display()));
    Ok(Exit::Success)
}

fn write(
    reader: &Reader,
    filter: &Filter,
    format: Format,
    out: impl Write + Send,
) -> Result<u64, Failure> {
    let machine = |name: &str| filter.matches_machine(name);
    let event = |name: &str| filter.matches_event(name);
    let query = Query::default()
        .machines(&machine)
        .events(&event)
        .since_us(filter.since_us())
        .until_us(filter.until_us());
    let last = reader.last_seq()?;
    let mut progress = Progress::new();
    let mut show = |seq: u64| progress.show(|| format!("exporting{}", share(seq, last)));
    let passes = |record: &_| filter.matches(record);
    let out = BufWriter::new(out);
    let mut put = |sink: &mut dyn Sink| export(reader, &query, &passes, sink, &mut show);
    let count = match format {
        Format::Jsonl => put(&mut jsonl::Lines::new(out)),
        #[cfg(feature = "parquet")]
        Format::Parquet => {
            crate::exchange::parquet::Table::new(out).and_then(|mut table| put(&mut table))
        }
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => return Err(without_parquet()),
    };
    Ok(count?)
}

#[cfg(not(feature = "parquet"))]
pub(super) fn without_parquet() -> Failure {
    Failure::new("this qwatch was built without Parquet").hint("use --format jsonl")
}

impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Io(error) => WriteError(error).into(),
            other => Self::new(other),
        }
    }
}
