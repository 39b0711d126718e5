//! `qwatch journal salvage`: what can be read out of a damaged journal.

use std::path::PathBuf;

use super::progress::Progress;
use crate::cli::{Exit, Failure, Ui};
use crate::journal::{Salvaged, salvage};

/// Copy what can be read out of a damaged journal into a new one
///
/// OLD and the log beside it (OLD-wal) are not touched; a mended copy of them is made beside NEW for the
/// time being. Records keep their numbers; those that could not be read are noted in NEW as removed for
/// damage (view `removals`), so that their absence is never taken for silence. Exit code 1 if anything is
/// known to be lost.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The damaged journal
    old: PathBuf,

    /// The new one; it must not be there yet
    new: PathBuf,
}

pub(super) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let mut progress = Progress::new();
    let salvaged = salvage(&args.old, &args.new, &mut |records| {
        progress.show(|| format!("{records} records"));
    })
    .map_err(Failure::new)?;
    drop(progress);
    for mended in &salvaged.mended {
        ui.note(mended);
    }
    ui.note(&format!(
        "{} records are in {}",
        salvaged.records,
        args.new.display()
    ));
    if salvaged.lost.is_empty() {
        return Ok(Exit::Success);
    }
    Err(Failure::new(lost(&salvaged)))
}

/// Stretches named one by one before the rest is summed up.
const STRETCHES_NAMED: usize = 10;

fn lost(salvaged: &Salvaged) -> String {
    let count: u64 = salvaged.lost.iter().map(|(a, b)| b - a + 1).sum();
    let named = salvaged.lost.iter().take(STRETCHES_NAMED);
    let mut stretches: Vec<String> = named
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first} to {last}"),
        })
        .collect();
    if salvaged.lost.len() > STRETCHES_NAMED {
        let more = salvaged.lost.len() - STRETCHES_NAMED;
        stretches.push(format!("and {more} more stretches"));
    }
    format!("{count} records are lost: {}", stretches.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_named_and_then_summed_up() {
        let of = |lost: Vec<(u64, u64)>| Salvaged {
            lost,
            ..Salvaged::default()
        };
        let few = of(vec![(3, 3), (10, 19)]);
        assert_eq!(lost(&few), "11 records are lost: 3, 10 to 19");
        let text = lost(&of((0..15).map(|n| (n * 10, n * 10 + 1)).collect()));
        assert!(text.starts_with("30 records") && text.ends_with("and 5 more stretches"));
    }
}
