//! What the configuration file and the options say together.

use std::collections::HashSet;
use std::hash::Hash;

use qmp_client::Address;

use super::Args;
use crate::attach::{Monitor, RecorderSettings, SocketGlob};
use crate::cli::Failure;
use crate::config::{self, Config};
use crate::limits::PATIENCE;
use crate::time;

pub(super) fn settings(args: &Args) -> Result<RecorderSettings, Failure> {
    let file = match &args.config {
        Some(path) => Config::read(path).map_err(Failure::usage)?,
        None => Config::default(),
    };
    let mut listen = Vec::new();
    for text in file.listen.iter().chain(&args.listen) {
        listen.push(address(text)?);
    }
    let mut monitors = Vec::new();
    for text in file.monitor.iter().chain(&args.monitor) {
        if SocketGlob::is_glob(text) {
            monitors.push(Monitor::Glob(
                SocketGlob::new(text).map_err(Failure::usage)?,
            ));
            continue;
        }
        let address = address(text)?;
        if address.is_listen() {
            listen.push(address);
        } else {
            monitors.push(Monitor::Address(address));
        }
    }
    if listen.is_empty() && monitors.is_empty() {
        return Err(Failure::usage("there is nothing to record")
            .hint("--monitor PATH dials a QEMU that was started with -qmp unix:PATH,server=on,wait=off")
            .hint("--listen unix:PATH waits for QEMUs to dial in; see qwatch record --help"));
    }
    let patience = match &file.patience {
        Some(text) => time::parse_duration(text)
            .map_err(|error| Failure::usage(format!("patience: {error}")))?,
        None => PATIENCE,
    };
    keep_first(&mut listen, Address::clone);
    keep_first(&mut monitors, spelled);
    Ok(RecorderSettings {
        journal: args
            .journal
            .clone()
            .or(file.journal)
            .unwrap_or_else(config::default_journal),
        listen,
        monitors,
        patience,
        retention: file.retention.policy().map_err(Failure::usage)?,
    })
}

/// What is said twice, in the file and by an option, is meant once.
fn keep_first<T, K: Eq + Hash>(items: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let mut seen = HashSet::new();
    items.retain(|item| seen.insert(key(item)));
}

fn address(text: &str) -> Result<Address, Failure> {
    text.parse()
        .map_err(|error| Failure::usage(format!("`{text}`: {error}")))
}

/// For the log and for `--check`.
pub(super) fn summary(settings: &RecorderSettings) -> String {
    let mut text = format!("recording to {}", settings.journal.display());
    let mut list = |what: &str, items: Vec<String>| {
        if !items.is_empty() {
            text.push_str(&format!(", {what} {}", items.join(" ")));
        }
    };
    list(
        "listening at",
        settings.listen.iter().map(Address::to_string).collect(),
    );
    list("dialling", settings.monitors.iter().map(spelled).collect());
    text
}

fn spelled(monitor: &Monitor) -> String {
    match monitor {
        Monitor::Address(address) => address.to_string(),
        Monitor::Glob(glob) => glob.as_str().to_owned(),
    }
}
