//! `qwatch journal import`: records from a file into a journal.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::progress::{Progress, share};
use crate::cli::{Exit, Failure, Ui};
use crate::exchange::jsonl;
use crate::journal::{Loaded, Loader};
use crate::output::escape;

/// Take exported records into a journal
///
/// FILE is what `qwatch journal export` wrote, in either form, or what `qwatch history --json` printed; `-`
/// reads JSON Lines from standard input. In a new or empty journal the records keep their numbers, and
/// numbers that are not in the file are noted as not imported (view `removals`). A journal that has records
/// gets them behind its own, with new numbers; nothing is recognised as being there already. Nobody may be
/// recording into it meanwhile.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The file with records
    file: PathBuf,

    /// The journal to take them in; it is made if it is not there
    #[arg(long, value_name = "FILE")]
    journal: PathBuf,
}

pub(super) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let mut progress = Progress::new();
    let loaded = if args.file == Path::new("-") {
        let input = BufReader::with_capacity(1 << 20, io::stdin());
        jsonl::import(input, Loader::open(&args.journal)?, &mut |bytes| {
            progress.show(|| format!("{bytes} bytes"));
        })
    } else {
        let cannot = |error| Failure::new(format!("cannot read {}: {error}", args.file.display()));
        let mut file = File::open(&args.file).map_err(cannot)?;
        let length = file.metadata().map_err(cannot)?.len();
        let mut begin = [0; 4];
        let is_parquet = file.read_exact(&mut begin).is_ok() && begin == *b"PAR1";
        if is_parquet {
            import_parquet(&args.file, &args.journal, &mut progress)?
        } else {
            let file = File::open(&args.file).map_err(cannot)?;
            let input = BufReader::with_capacity(1 << 20, file);
            jsonl::import(input, Loader::open(&args.journal)?, &mut |bytes| {
                progress.show(|| format!("importing{}", share(bytes, length)));
            })
        }
    };
    drop(progress);
    let name = args.file.display().to_string();
    let loaded = loaded.map_err(|error| {
        Failure::new(format!("{}: {error}", escape::visible(&name)))
            .hint("what came before that is in the journal")
    })?;
    ui.note(&told(loaded, &args.journal));
    Ok(Exit::Success)
}

#[cfg(feature = "parquet")]
fn import_parquet(
    file: &Path,
    journal: &Path,
    progress: &mut Progress,
) -> Result<Result<Loaded, crate::exchange::ExchangeError>, Failure> {
    let loader = Loader::open(journal)?;
    Ok(crate::exchange::parquet::import(
        file,
        loader,
        &mut |rows, all| {
            progress.show(|| format!("importing{}", share(rows, all)));
        },
    ))
}

#[cfg(not(feature = "parquet"))]
fn import_parquet(
    _: &Path,
    _: &Path,
    _: &mut Progress,
) -> Result<Result<Loaded, crate::exchange::ExchangeError>, Failure> {
    Err(super::export::without_parquet())
}

fn told(loaded: Loaded, journal: &Path) -> String {
    let journal = journal.display();
    match loaded.numbers {
        None => format!("the file has no records; {journal} is as it was"),
        Some((first, last)) => {
            let same = match loaded.same_numbers {
                true => "the numbers they had",
                false => "new numbers",
            };
            format!(
                "{} records are in {journal} with {same}, {first} to {last}",
                loaded.records
            )
        }
    }
}
