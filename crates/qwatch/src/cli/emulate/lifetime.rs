//! How long an emulated machine lives: until it ends by itself, is told to by a signal, or has lost the
//! process that started it.

use std::future;
use std::io;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getppid, pidfd_open};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::emulate::{Action, Emulated};

/// The signals that end a machine. From when they are taken on, none ends the process unheard.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes them, inside a runtime.
    pub(super) fn take() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Waits for the end of the machine.
pub(super) async fn wait(
    machine: Emulated,
    mut signals: Signals,
    outlive_parent: bool,
) -> io::Result<()> {
    let fate = machine.fate();
    let mut ended = tokio::task::spawn_blocking(|| machine.wait());
    tokio::select! {
        ended = &mut ended => return ended.map_err(io::Error::other)?,
        _ = signals.terminate.recv() => {}
        _ = signals.interrupt.recv() => {}
        () = parent_gone(), if !outlive_parent => {}
    }
    fate.act(&Action::Signal);
    ended.await.map_err(io::Error::other)?
}

/// Waits for the end of the process that started this one; for ever where that cannot be seen.
async fn parent_gone() {
    let Some(parent) = getppid() else {
        return future::pending().await;
    };
    let Ok(handle) = pidfd_open(parent, PidfdFlags::empty()) else {
        return future::pending().await;
    };
    if getppid() != Some(parent) {
        // It ended before the handle was made, which may be another process's.
        return;
    }
    let (gone, wait) = oneshot::channel();
    // A thread of its own, which may be left waiting when this process ends.
    let thread = thread::Builder::new().name("parent".to_owned());
    let thread = thread.spawn(move || {
        let mut handles = [PollFd::new(&handle, PollFlags::IN)];
        while let Err(Errno::INTR) = poll(&mut handles, None) {}
        let _ = gone.send(());
    });
    if thread.is_err() || wait.await.is_err() {
        future::pending::<()>().await;
    }
}
