//! `qwatch man`: manual pages, from the definitions of the commands.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::builder::Resettable;
use clap_mangen::Man;

use super::{EXIT_CODES, Exit, Failure, definitions};
use crate::output::WriteError;

/// Print the manual page, or write all pages into a folder
///
/// Without a folder the page of qwatch itself goes to standard output: qwatch man | man -l -
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Write qwatch.1 and one page a command into this folder, which is made if needed
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut root = definitions();
    root.build();
    match &args.dir {
        None => {
            let page = render(root)?;
            io::stdout().write_all(&page).map_err(WriteError)?;
        }
        Some(dir) => {
            let cannot =
                |error: io::Error| Failure::new(format!("cannot write {}: {error}", dir.display()));
            std::fs::create_dir_all(dir).map_err(cannot)?;
            for command in root.get_subcommands().filter(|c| c.get_name() != "help") {
                let name = format!("qwatch-{}", command.get_name());
                let page = render(command.clone().name(name.clone()))?;
                std::fs::write(dir.join(format!("{name}.1")), page).map_err(cannot)?;
            }
            std::fs::write(dir.join("qwatch.1"), render(root)?).map_err(cannot)?;
        }
    }
    Ok(Exit::Success)
}

fn render(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    // What follows the options on the screen has a section of its own on paper.
    Man::new(command.after_help(Resettable::Reset))
        .render(&mut page)
        .map_err(|error| Failure::new(format!("cannot make the manual page: {error}")))?;
    page.extend_from_slice(b".SH \"EXIT STATUS\"\n.nf\n");
    page.extend_from_slice(EXIT_CODES.as_bytes());
    page.extend_from_slice(b".fi\n");
    Ok(page)
}
