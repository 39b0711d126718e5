//! `qemu.qmp` from PyPI, which is QEMU's own: its client, and its shell with a script of commands.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::same_with_both;

/// Runs a Python module or program that knows the client. It gives up by itself, hence `timeout`.
fn python(arguments: &[&str], socket: &Path, input: &str) -> String {
    let client = qemu_lab::cached("python-client").unwrap_or_else(|error| panic!("{error}"));
    // The shell keeps its history there.
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut child = Command::new("timeout")
        .args(["60", "python3", "-X", "utf8"])
        .args(arguments)
        .arg(socket)
        .env("PYTHONPATH", client)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("timeout of coreutils");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("a reader");
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{arguments:?}: {}\n{stdout}\n{stderr}",
        output.status
    );
    stdout + &stderr
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_python_client_drives_it() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/drive.py");
    let seen = same_with_both(|socket| python(&[script], socket, ""));
    for part in [
        "STOP",
        "RESUME",
        "CommandNotFound",
        "200 in order",
        "hung up",
    ] {
        assert!(seen.contains(part), "no {part}:\n{seen}");
    }
}

#[test]
fn the_shell_runs_a_script() {
    let commands = "query-status\nquery-name\nstop\n\nquery-status x=1\nno-such-command\n\
        system_powerdown\ncont\n\nquery-version\n";
    for flags in [&[][..], &["-v"], &["-p"], &["-v", "-p"]] {
        let arguments = [&["-m", "qemu.qmp.qmp_shell"], flags].concat();
        let seen = same_with_both(|socket| python(&arguments, socket, commands));
        for part in [
            "Connected to QEMU 10.0.",
            "'event': 'STOP'",
            "'event': 'RESUME'",
            "vm1",
        ] {
            assert!(seen.contains(part), "no {part}:\n{seen}");
        }
        assert!(seen.contains("Parameter 'x' is unexpected"), "{seen}");
    }
}
