//! A terminal of a given size, with a program in it: tmux, driven from here.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// One terminal. Dropping it ends what runs there.
pub(crate) struct Screen {
    folder: TempDir,
    tmux: PathBuf,
    /// What the program writes, as it writes it.
    written: File,
    /// All of that so far.
    log: Vec<u8>,
}

impl Screen {
    /// Starts a program in a terminal of so many columns and lines.
    pub(crate) fn start(columns: u16, lines: u16, words: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let tmux = qemu_lab::cached("tmux").unwrap_or_else(|error| panic!("{error}"));
        let pipe = folder.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        // For both, so that opening waits for nobody.
        let written = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&pipe)
            .expect("the pipe");
        let screen = Self {
            folder,
            tmux: tmux.join("tmux"),
            written,
            log: Vec::new(),
        };
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        // It begins once it is listened to, and its exit code stays to be read.
        let program = format!(
            "read go; {}; echo \"ended with $?\"; read end",
            quoted.join(" ")
        );
        let (columns, lines) = (columns.to_string(), lines.to_string());
        screen.tmux(&["new-session", "-d", "-x", &columns, "-y", &lines, &program]);
        screen.tmux(&[
            "pipe-pane",
            "-O",
            &format!("exec cat >'{}'", pipe.display()),
        ]);
        screen.press("Enter");
        screen
    }

    /// Presses a key, by tmux's name of it.
    pub(crate) fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    pub(crate) fn resize(&self, columns: u16, lines: u16) {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &lines]);
    }

    /// Waits until the screen is as wanted; gives it.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let shown = self.tmux(&["capture-pane", "-p"]);
            if wanted(&shown) {
                return shown;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(self.read_more(left), "{what} is not shown:\n{shown}");
        }
    }

    /// How often so far the program had the whole screen erased.
    pub(crate) fn erased(&self) -> usize {
        let erase = b"\x1b[2J";
        self.log
            .windows(erase.len())
            .filter(|bytes| bytes == erase)
            .count()
    }

    /// The program's process.
    pub(crate) fn child(&self) -> u32 {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let children = format!("/proc/{0}/task/{0}/children", shell.trim());
        let children = std::fs::read_to_string(children).expect("the shell runs");
        children.trim().parse().expect("one child")
    }

    /// Reads what was written; false if nothing is within the time.
    fn read_more(&mut self, within: Duration) -> bool {
        let timeout = Timespec::try_from(within).expect("a short time");
        let mut fds = [PollFd::new(&self.written, PollFlags::IN)];
        if poll(&mut fds, Some(&timeout)).expect("a poll") == 0 {
            return false;
        }
        let mut buffer = [0; 65_536];
        let count = self.written.read(&mut buffer).expect("a pipe");
        self.log.extend_from_slice(&buffer[..count]);
        true
    }

    fn tmux(&self, words: &[&str]) -> String {
        let socket = self.folder.path().join("tmux");
        let output = Command::new(&self.tmux)
            .arg("-S")
            .arg(&socket)
            .args(["-u", "-f", "/dev/null"])
            .args(words)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .env_remove("NO_COLOR")
            .output()
            .expect("tmux runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {words:?}: {error}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Not through `tmux`, which may panic.
        let _ = Command::new(&self.tmux)
            .arg("-S")
            .arg(self.folder.path().join("tmux"))
            .arg("kill-server")
            .output();
    }
}
