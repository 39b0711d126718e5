//! Runs the built program as a user does.

use std::io::Write;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// Where the program is.
pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_qwatch")
}

/// The program with arguments, with nothing of the caller's terminal or zone.
pub(crate) fn qwatch(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(args)
        .env("COLUMNS", "100")
        .env("TZ", "UTC")
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a finished program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: code(output.status),
            out: String::from_utf8(output.stdout).expect("output in UTF-8"),
            err: String::from_utf8(output.stderr).expect("messages in UTF-8"),
        }
    }
}

/// Runs to the end.
pub(crate) fn run(args: &[&str]) -> Said {
    qwatch(args).output().expect("qwatch runs").into()
}

/// Runs to the end with these bytes as standard input.
pub(crate) fn run_on(args: &[&str], input: &[u8]) -> Said {
    let mut child = start_piped(args);
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    let input = input.to_owned();
    // From another thread: the program may want to be read before it reads on.
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("qwatch ends");
    writer.join().expect("no panic").expect("qwatch reads all");
    output.into()
}

/// Starts with a pipe on every side.
pub(crate) fn start_piped(args: &[&str]) -> Child {
    let mut command = qwatch(args);
    command.stdin(Stdio::piped());
    command.spawn().expect("qwatch starts")
}

/// The exit code; a signal is a failed test.
pub(crate) fn code(status: ExitStatus) -> i32 {
    status.code().expect("qwatch is not killed by a signal")
}
