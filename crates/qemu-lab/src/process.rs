//! The QEMU process: started in a group of its own, ended with everything it started.

use std::{
    io::{self, ErrorKind, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{
    LabError,
    limits::{EXIT_TIMEOUT, LOOK_INTERVAL, STDERR_SIZE_MAX_BYTES},
};

/// A running QEMU. Dropping it kills its whole process group.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    group: Pid,
    reaper: Child,
    /// Never written to: the reaper waits for its end, which comes even if the test is killed.
    _lifeline: Option<ChildStdin>,
    stderr: Arc<Stderr>,
    exited: Option<ExitStatus>,
}

#[derive(Debug, Default)]
struct Stderr {
    state: Mutex<StderrState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct StderrState {
    bytes: Vec<u8>,
    ended: bool,
}

impl Process {
    /// Starts `command`, its standard error kept, its other streams empty. Its folder is the
    /// process's own: it goes when this process is killed.
    pub(crate) fn start(command: &mut Command) -> Result<Process, LabError> {
        let program = command.get_program().to_owned();
        let mut child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(LabError::io(format!("start {}", program.display())))?;
        let group = Pid::from_child(&child);
        let stderr = Arc::new(Stderr::default());
        if let Some(stream) = child.stderr.take() {
            let stderr = Arc::clone(&stderr);
            thread::spawn(move || stderr.fill(stream));
        }
        let mut reaper = match start_reaper(group, command.get_current_dir()) {
            Ok(reaper) => reaper,
            Err(error) => {
                // Best effort: the error that is returned is the one that counts.
                let _ = child.kill().and_then(|()| child.wait());
                return Err(LabError::io("start sh")(error));
            }
        };
        let lifeline = reaper.stdin.take();
        Ok(Process {
            child,
            group,
            reaper,
            _lifeline: lifeline,
            stderr,
            exited: None,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to QEMU alone; nothing happens if it has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), LabError> {
        if self.exited.is_some() {
            return Ok(());
        }
        kill_process(self.group, signal)
            .map_err(|error| LabError::io("send a signal to QEMU")(error.into()))
    }

    /// The exit status, if QEMU has ended.
    pub(crate) fn exited(&mut self) -> Result<Option<ExitStatus>, LabError> {
        if self.exited.is_none() {
            self.exited = self
                .child
                .try_wait()
                .map_err(LabError::io("wait for QEMU"))?;
        }
        Ok(self.exited)
    }

    /// Waits for QEMU to end by itself.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Result<ExitStatus, LabError> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(LabError::TimedOut {
                    what: "QEMU's end".to_owned(),
                    within: timeout,
                });
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// If `problem` is that QEMU hung up, waits for its end: only then are its last words complete.
    pub(crate) fn let_go(&mut self, problem: &LabError) {
        if matches!(problem, LabError::Gone(_)) {
            // A QEMU that hangs up and lives on is reported as it is.
            let _ = self.wait(EXIT_TIMEOUT);
        }
    }

    /// What QEMU wrote to its standard error; all of it if it has ended.
    pub(crate) fn stderr(&self) -> String {
        let mut state = self
            .stderr
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.exited.is_some() {
            // The last words may still be in the pipe. A program that QEMU started may hold
            // the pipe open, hence the limit.
            let last_words = |state: &mut StderrState| !state.ended;
            state = self
                .stderr
                .changed
                .wait_timeout_while(state, Duration::from_secs(1), last_words)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        String::from_utf8_lossy(&state.bytes).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and there is nothing to fail: the reaper
        // keeps the group alive, so that its number cannot belong to anyone else.
        let _ = kill_process_group(self.group, Signal::KILL);
        let _ = self.child.wait();
        let _ = self.reaper.wait();
    }
}

impl Stderr {
    fn fill(&self, mut stream: ChildStderr) {
        let mut buffer = [0; 4096];
        loop {
            let got = match stream.read(&mut buffer) {
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => 0,
            };
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if got == 0 {
                state.ended = true;
                self.changed.notify_all();
                return;
            }
            let room = STDERR_SIZE_MAX_BYTES - state.bytes.len();
            state.bytes.extend(buffer.iter().take(got.min(room)));
        }
    }
}

/// Starts a shell in QEMU's group that removes the folder and kills the group when this process
/// ends in whatever way: a test stopped with Ctrl-C or killed must leave no QEMU behind, and then
/// no destructor runs.
fn start_reaper(group: Pid, folder: Option<&Path>) -> io::Result<Child> {
    let mut reaper = Command::new("sh");
    reaper.args([
        "-c",
        "read -r line; [ $# = 0 ] || rm -rf -- \"$1\"; kill -KILL 0",
        "reaper",
    ]);
    reaper.args(folder);
    reaper
        .process_group(group.as_raw_nonzero().get())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
