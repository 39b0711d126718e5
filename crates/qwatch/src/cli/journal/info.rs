//! `qwatch journal info`: a journal in numbers.

use std::io::{self, Write};

use super::bytes;
use crate::cli::journal_arg::JournalArg;
use crate::cli::{Exit, Failure};
use crate::journal::{Info, RecorderStatus, is_being_written};
use crate::output::{WriteError, escape};

/// Print what a journal holds, in numbers
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    journal: JournalArg,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let path = args.journal.path();
    let info = args.journal.reader()?.info(&path)?;
    let mut out = io::stdout().lock();
    if args.json {
        let line = serde_json::to_string(&info).expect("strings and numbers always serialize");
        writeln!(out, "{}", escape::visible_json(&line)).map_err(WriteError)?;
        return Ok(Exit::Success);
    }
    let recorder = match RecorderStatus::read(&path).filter(|_| is_being_written(&path)) {
        Some(status) => format!("process {}, qwatch {}", status.pid, status.version),
        None if is_being_written(&path) => "running".to_owned(),
        None => "none".to_owned(),
    };
    let path = path.display().to_string();
    for (what, value) in lines(&info, &path, &recorder) {
        writeln!(out, "{what:<11}{}", escape::visible(&value)).map_err(WriteError)?;
    }
    Ok(Exit::Success)
}

fn lines(info: &Info, path: &str, recorder: &str) -> Vec<(&'static str, String)> {
    let range = |first: &Option<String>, last: &Option<String>| match (first, last) {
        (Some(first), Some(last)) => format!(", {first} to {last}"),
        _ => String::new(),
    };
    let numbers = match (info.first_seq, info.last_seq) {
        (Some(first), Some(last)) => format!(", numbers {first} to {last}"),
        _ => String::new(),
    };
    let until = match &info.removed_until {
        Some(until) => format!(", up to {until}"),
        None => String::new(),
    };
    vec![
        ("journal", path.to_owned()),
        ("id", info.id.clone()),
        ("layout", info.layout.to_string()),
        ("created", info.created.clone()),
        (
            "file",
            format!(
                "{}, of which {} are free for what comes; log {}",
                bytes(info.file_bytes),
                bytes(info.free_bytes),
                bytes(info.log_bytes)
            ),
        ),
        ("machines", format!("{}, {} runs", info.machines, info.runs)),
        (
            "records",
            format!(
                "{}{numbers}{}",
                info.records,
                range(&info.earliest, &info.latest)
            ),
        ),
        ("gaps", info.gaps.to_string()),
        ("removed", format!("{}{until}", info.removed)),
        ("recorder", recorder.to_owned()),
    ]
}
