//! `qwatch journal vacuum`: gives free pages back to the file system.

use super::bytes;
use crate::cli::journal_arg::JournalArg;
use crate::cli::{Exit, Failure, Ui};
use crate::journal;

/// Make the file as small as it can be
///
/// What retention removes leaves free pages, which the recorder uses again: the file stops growing, and does
/// not shrink. This rewrites it without them. It needs as much room again as the journal holds, for a moment
/// (in the folder of the journal and in that for temporary files, see SQLITE_TMPDIR), and nobody may be
/// recording.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    journal: JournalArg,
}

pub(super) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let (before, after) = journal::vacuum(&args.journal.path())?;
    ui.note(&format!(
        "the journal took {}; now it takes {}",
        bytes(before),
        bytes(after)
    ));
    Ok(Exit::Success)
}
