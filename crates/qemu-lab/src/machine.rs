//! A running machine.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    process::ExitStatus,
    thread,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    LabError, LabEvent, Qemu, QemuBinary, Qtest, Version,
    limits::{EXIT_TIMEOUT, REPORT_LINES_MAX},
    linux::{self, Shell},
    monitor::Monitor,
    process::Process,
};

/// A QEMU of the lab: commands and events over the lab's own monitor, the guest over qtest.
///
/// Dropping it kills QEMU and whatever it started and removes its folder. If that happens
/// because a test failed, its [report](Machine::report) is printed first.
#[derive(Debug)]
pub struct Machine {
    pub(crate) binary: QemuBinary,
    pub(crate) arguments: Vec<String>,
    pub(crate) port: u16,
    pub(crate) monitor: Monitor,
    pub(crate) qtest: Qtest,
    pub(crate) shell: Option<Shell>,
    // Dropped in this order: first the process, then the folder it lives in.
    pub(crate) process: Process,
    pub(crate) folder: TempDir,
}

impl Machine {
    /// The version of its QEMU.
    #[must_use]
    pub fn version(&self) -> Version {
        self.binary.version
    }

    /// A second machine of the same QEMU, without what makes this one special.
    pub fn another(&self) -> Qemu {
        Qemu::new(&self.binary)
    }

    /// QEMU's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its folder, QEMU's working directory.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The socket of a monitor made with [`Qemu::monitor`](crate::Qemu::monitor).
    #[must_use]
    pub fn monitor_path(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.sock"))
    }

    /// The guest's side of the machine.
    pub fn qtest(&mut self) -> &mut Qtest {
        &mut self.qtest
    }

    /// The TCP port that `{port}` in its arguments stands for.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs a line in the shell of the machine's [Linux](crate::Qemu::linux), once that is up;
    /// gives what the line printed. Beside the usual commands there are `load DRIVER...` and
    /// `until_ok COMMAND`.
    ///
    /// # Errors
    ///
    /// If the line's status is not 0, it does not end in time, or there is no Linux.
    pub fn shell(&mut self, line: &str) -> Result<String, LabError> {
        self.in_shell(|shell| shell.run(line))
    }

    /// Types a line into the shell of the machine's Linux and does not wait for its end: it may
    /// switch the machine off, or wait for something. [`Machine::shell_end`] may follow.
    ///
    /// # Errors
    ///
    /// If QEMU is gone, or there is no Linux.
    pub fn shell_start(&mut self, line: &str) -> Result<(), LabError> {
        self.in_shell(|shell| shell.start(line))
    }

    /// Waits for the end of a line that was started; gives what it printed.
    ///
    /// # Errors
    ///
    /// As [`Machine::shell`].
    pub fn shell_end(&mut self, line: &str) -> Result<String, LabError> {
        self.in_shell(|shell| shell.finish(line))
    }

    /// Waits until the machine's Linux is up, for the first time or after a reset.
    ///
    /// # Errors
    ///
    /// If that does not happen in time, or there is no Linux.
    pub fn boot(&mut self) -> Result<(), LabError> {
        self.in_shell(Shell::boot)
    }

    /// Runs a command without arguments and returns what it returned.
    ///
    /// # Errors
    ///
    /// [`LabError::Command`] if QEMU refuses, in a [`LabError::Machine`] with the report.
    pub fn run(&mut self, command: &str) -> Result<Value, LabError> {
        self.execute(command, json!({}))
    }

    /// Runs a command and returns what it returned.
    ///
    /// # Errors
    ///
    /// [`LabError::Command`] if QEMU refuses, in a [`LabError::Machine`] with the report.
    // By value: callers build the arguments in place.
    #[expect(clippy::needless_pass_by_value)]
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, LabError> {
        let result = self.monitor.execute(command, &arguments);
        self.reported(result)
    }

    /// Runs a command of the human monitor and returns what it printed.
    ///
    /// # Errors
    ///
    /// As [`Machine::execute`].
    pub fn human(&mut self, line: &str) -> Result<String, LabError> {
        let printed = self.execute("human-monitor-command", json!({ "command-line": line }))?;
        Ok(printed.as_str().unwrap_or_default().to_owned())
    }

    /// Waits for an event that no earlier call took; returns it.
    ///
    /// # Errors
    ///
    /// If it does not come in time, or QEMU ends before.
    pub fn event(&mut self, name: &str) -> Result<LabEvent, LabError> {
        self.event_where(name, |_| true)
    }

    /// As [`Machine::event`], but only one whose data are as wanted.
    ///
    /// # Errors
    ///
    /// If it does not come in time, or QEMU ends before.
    pub fn event_where(
        &mut self,
        name: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<LabEvent, LabError> {
        let result = self
            .monitor
            .take_event(name, |event| event.name == name && wanted(&event.data));
        self.reported(result)
    }

    /// Waits until the list of all events so far is as wanted. `what` is for the error message.
    ///
    /// # Errors
    ///
    /// If that does not happen in time, or QEMU ends before.
    pub fn events_where(
        &mut self,
        what: &str,
        wanted: impl Fn(&[&LabEvent]) -> bool,
    ) -> Result<(), LabError> {
        let result = self.monitor.wait_events(what, wanted);
        self.reported(result)
    }

    /// All events so far, in the order they came.
    #[must_use]
    pub fn events(&self) -> Vec<LabEvent> {
        self.monitor.events()
    }

    /// Every byte that QEMU sent to the lab's monitor so far: greeting, replies, events.
    #[must_use]
    pub fn captured(&self) -> Vec<u8> {
        self.monitor.captured()
    }

    /// The run state, as `query-status` calls it.
    ///
    /// # Errors
    ///
    /// As [`Machine::execute`].
    pub fn status(&mut self) -> Result<String, LabError> {
        let status = self.run("query-status")?;
        Ok(status["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Asks QEMU to end, as a service manager would: SIGTERM.
    ///
    /// # Errors
    ///
    /// If the signal cannot be sent.
    pub fn terminate(&mut self) -> Result<(), LabError> {
        self.process.signal(Signal::TERM)
    }

    /// Ends QEMU as a crash would: SIGKILL, no event, no goodbye.
    ///
    /// # Errors
    ///
    /// If the signal cannot be sent or QEMU does not end.
    pub fn kill(&mut self) -> Result<(), LabError> {
        self.process.signal(Signal::KILL)?;
        self.wait_exit().map(drop)
    }

    /// Waits until QEMU has ended and all it sent has been received.
    ///
    /// # Errors
    ///
    /// If it does not end in time.
    pub fn wait_exit(&mut self) -> Result<ExitStatus, LabError> {
        let status = self.process.wait(EXIT_TIMEOUT);
        let status = self.reported(status)?;
        let end = self.monitor.wait_end(EXIT_TIMEOUT);
        self.reported(end)?;
        Ok(status)
    }

    /// Command line, the last lines of the transcript and standard error: what a person needs
    /// who wants to know why a test failed.
    #[must_use]
    pub fn report(&self) -> String {
        let captured = self.monitor.captured();
        let transcript = String::from_utf8_lossy(&captured);
        let lines: Vec<&str> = transcript.lines().collect();
        let hidden = lines.len().saturating_sub(REPORT_LINES_MAX);
        let mut report = format!(
            "QEMU {}: qemu {}\n",
            self.version(),
            self.arguments.join(" ")
        );
        // Writing to a string cannot fail.
        let _ = writeln!(
            report,
            "what its monitor sent, without the first {hidden} lines:"
        );
        for line in lines.iter().skip(hidden) {
            let _ = writeln!(report, "  {line}");
        }
        if let Some(console) = linux::console(self.folder()) {
            let _ = writeln!(report, "what its guest printed last:\n{console}");
        }
        let _ = write!(report, "stderr:\n{}", self.process.stderr());
        report
    }

    fn in_shell<T>(
        &mut self,
        job: impl FnOnce(&mut Shell) -> Result<T, LabError>,
    ) -> Result<T, LabError> {
        let result = match &mut self.shell {
            Some(shell) => job(shell),
            None => Err(LabError::Unexpected("a machine without Linux".to_owned())),
        };
        self.reported(result)
    }

    fn reported<T>(&mut self, result: Result<T, LabError>) -> Result<T, LabError> {
        result.map_err(|error| {
            self.process.let_go(&error);
            error.with_report(|| self.report())
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            #[expect(
                clippy::print_stderr,
                reason = "the test runner shows it with the failure"
            )]
            {
                eprintln!("{}", self.report());
            }
        }
    }
}
