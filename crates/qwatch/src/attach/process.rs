//! The process at the other end of a socket.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::time::{sleep, timeout};

use super::autopsy::{self, Evidence, Watch};
use crate::limits::{EXIT_LOOK, EXIT_WAIT, SAME_START_US};
use crate::time;

/// Ticks of `/proc/PID/stat` in a second: 100 on every architecture QEMU runs KVM on.
const TICKS_PER_SECOND: i64 = 100;

/// A process, held on to so that its number cannot be taken over by another.
#[derive(Debug)]
pub(crate) struct Process {
    pub(super) pid: u32,
    /// When it started, microseconds since 1970, UTC.
    pub(super) started_us: Option<i64>,
    handle: Option<OwnedFd>,
    /// It had exited before it was held on to.
    is_gone: bool,
    watch: Watch,
}

impl Process {
    pub(crate) fn of(pid: u32) -> Self {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        Self {
            pid,
            handle: number.and_then(|number| pidfd_open(number, PidfdFlags::NONBLOCK).ok()),
            started_us: started_us(pid),
            is_gone: false,
            watch: autopsy::before(pid),
        }
    }

    /// One that was known before, unless another has its number by now.
    pub(super) fn again(pid: u32, known_start_us: Option<i64>) -> Self {
        let process = Self::of(pid);
        let is_same = match (known_start_us, process.started_us) {
            (Some(then), Some(now)) => then.abs_diff(now) < SAME_START_US.unsigned_abs(),
            (Some(_), None) => false,
            (None, _) => true,
        };
        if is_same {
            return process;
        }
        Self {
            pid,
            started_us: known_start_us,
            handle: None,
            is_gone: true,
            watch: process.watch,
        }
    }

    /// What it left behind when it ended.
    pub(super) fn evidence(&self) -> Option<Evidence> {
        // Its number may be another's by now.
        if self.is_gone {
            return None;
        }
        self.watch.after()
    }

    /// Waits a moment for the process to exit; false if it lives on.
    ///
    /// It is looked at, not waited on: a thread for each of many machines that end at once costs more.
    pub(crate) async fn exits_soon(&self) -> bool {
        let exits = async {
            while !self.has_exited() {
                sleep(EXIT_LOOK).await;
            }
        };
        timeout(EXIT_WAIT, exits).await.is_ok()
    }

    /// The handle is readable from the exit on, also while the process waits to be reaped.
    fn has_exited(&self) -> bool {
        match &self.handle {
            _ if self.is_gone => true,
            Some(handle) => {
                let mut fds = [PollFd::new(handle, PollFlags::IN)];
                matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1..))
            }
            None => !is_running(self.pid),
        }
    }
}

/// Whether there is a process of this number.
pub(super) fn is_running(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}/stat")).unwrap_or(true)
}

fn started_us(pid: u32) -> Option<i64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    start_from(&stat, &uptime, time::now_us())
}

/// From `/proc/PID/stat` and `/proc/uptime` read at `now_us`.
fn start_from(stat: &str, uptime: &str, now_us: i64) -> Option<i64> {
    // The second member is the program's name in parentheses, which may hold anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks: i64 = after_name.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let (seconds, hundredths) = uptime.split_ascii_whitespace().next()?.split_once('.')?;
    let uptime_us = seconds
        .parse::<i64>()
        .ok()?
        .checked_mul(1_000_000)?
        .checked_add(hundredths.parse::<i64>().ok()?.checked_mul(10_000)?)?;
    let start_us = ticks.checked_mul(1_000_000 / TICKS_PER_SECOND)?;
    now_us.checked_sub(uptime_us)?.checked_add(start_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_is_read_past_any_name() {
        let stat = "4242 (q) emu (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 1500 20 21";
        let start = start_from(stat, "100.25 300.00\n", 1_000_000_000);
        assert_eq!(start, Some(1_000_000_000 - 100_250_000 + 15_000_000));
        assert_eq!(start_from("4242 (short)", "100.25 1", 0), None);
    }

    #[test]
    fn our_own_start_lies_in_the_recent_past() {
        let start = started_us(std::process::id()).expect("our own entry in /proc");
        let age = time::now_us() - start;
        assert!((-1_000_000..86_400_000_000).contains(&age), "{age}");
    }

    #[tokio::test]
    async fn an_exit_is_seen() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep runs");
        let process = Process::of(child.id());
        child.kill().expect("killed");
        assert!(process.exits_soon().await);
        child.wait().expect("reaped");
        assert!(Process::of(child.id()).exits_soon().await);
    }

    #[tokio::test(start_paused = true)]
    async fn another_process_of_the_same_number_is_not_taken_for_the_one_that_was() {
        let me = Process::of(std::process::id());
        let again = Process::again(me.pid, me.started_us);
        assert!(!again.exits_soon().await);
        let other = Process::again(me.pid, me.started_us.map(|us| us - 10_000_000));
        assert!(other.exits_soon().await);
    }
}
