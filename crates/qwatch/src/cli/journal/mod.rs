//! `qwatch journal`: the journal file itself.

use clap::Subcommand;

use super::{Exit, Failure, Ui};

mod check;
mod export;
mod import;
mod info;
mod progress;
mod salvage;
mod vacuum;

/// Look after the journal file: check, copy, shrink, export, import
#[derive(clap::Args, Debug)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Info(info::Args),
    Check(check::Args),
    Export(export::Args),
    Import(import::Args),
    Salvage(salvage::Args),
    Vacuum(vacuum::Args),
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    match &args.command {
        Command::Info(args) => info::run(args),
        Command::Check(args) => check::run(args, ui),
        Command::Export(args) => export::run(args, ui),
        Command::Import(args) => import::run(args, ui),
        Command::Salvage(args) => salvage::run(args, ui),
        Command::Vacuum(args) => vacuum::run(args, ui),
    }
}

/// Bytes for people: `512 bytes`, `4.2 MB`.
fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1_000),
    ];
    for (unit, size) in UNITS {
        if count >= size {
            return format!("{}.{} {unit}", count / size, count % size * 10 / size);
        }
    }
    format!("{count} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        let all = [0, 999, 1_000, 4_250_000, 10_000_000_000, u64::MAX];
        assert_eq!(
            all.map(bytes),
            [
                "0 bytes",
                "999 bytes",
                "1.0 kB",
                "4.2 MB",
                "10.0 GB",
                "18446744.0 TB"
            ]
        );
    }
}
