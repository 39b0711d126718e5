//! What is shipped beside the program fits the program.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use qwatch::limits::ATTACHMENTS_MAX;

use crate::command::run;

fn packaging(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../packaging", name]
        .iter()
        .collect()
}

/// The settings of a unit, `Section.Name` to value; each is set once.
fn unit(name: &str) -> HashMap<String, String> {
    let text = fs::read_to_string(packaging(name)).expect("a unit");
    let mut section = String::new();
    let mut settings = HashMap::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            continue;
        }
        let (name, value) = line.split_once('=').expect("a setting");
        let before = settings.insert(format!("{section}.{name}"), value.to_owned());
        assert_eq!(before, None, "{name} twice");
    }
    settings
}

#[test]
fn the_service_runs_a_command_that_exists_with_settings_that_are_good() {
    let unit = unit("systemd/qwatch.service");
    let command = &unit["Service.ExecStart"];
    let arguments: Vec<&str> = command.split(' ').collect();
    assert_eq!(
        arguments,
        [
            "/usr/bin/qwatch",
            "record",
            "--config",
            "/etc/qwatch/qwatch.toml"
        ]
    );
    let config = packaging("qwatch.toml");
    let config = config.to_str().expect("UTF-8");
    let said = run(&["record", "--config", config, "--check"]);
    assert_eq!(said.code, 0, "{}", said.err);
    // Both name the socket that the other opens.
    let socket = self::unit("systemd/qwatch.socket");
    let path = &socket["Socket.ListenStream"];
    assert!(
        said.err.contains(&format!("listening at unix:{path}")),
        "{}",
        said.err
    );
    let folder = format!("/run/{}/", unit["Service.RuntimeDirectory"]);
    assert!(path.starts_with(&folder), "{path}");
    assert_eq!(unit["Service.RuntimeDirectoryPreserve"], "yes");
}

#[test]
fn systemd_keeps_a_descriptor_for_every_machine_and_starts_the_recorder_again() {
    let unit = unit("systemd/qwatch.service");
    let number = |name: &str| unit[name].parse::<usize>().expect("a number");
    assert!(number("Service.FileDescriptorStoreMax") > ATTACHMENTS_MAX);
    // The journal, its log, and sockets that are being dialled come on top.
    assert!(number("Service.LimitNOFILE") > 2 * ATTACHMENTS_MAX);
    assert_eq!(unit["Service.Type"], "notify");
    assert_eq!(unit["Service.Restart"], "always");
    assert_eq!(unit["Unit.StartLimitIntervalSec"], "0");
}
