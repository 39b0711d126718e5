//! `qwatch completions`: scripts for shells, from the definitions of the commands.

use std::io::{self, Write};

use clap_complete::Shell;

use super::{Exit, Failure, definitions};
use crate::output::WriteError;

/// Print a completion script for a shell
///
/// For bash: qwatch completions bash > ~/.local/share/bash-completion/completions/qwatch
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut definitions(), "qwatch", &mut script);
    io::stdout().write_all(&script).map_err(WriteError)?;
    Ok(Exit::Success)
}
