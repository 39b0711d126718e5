//! How long an emulated machine lives: until it ends by itself, is told to by a signal, or has lost the
//! process that started it.

use std::future;
use std::io;
use std::os::fd::OwnedFd;
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
    parent: Parent,
) -> io::Result<()> {
    let fate = machine.fate();
    let mut ended = tokio::task::spawn_blocking(|| machine.wait());
    tokio::select! {
        ended = &mut ended => return ended.map_err(io::Error::other)?,
        _ = signals.terminate.recv() => {}
        _ = signals.interrupt.recv() => {}
        () = parent.gone() => {}
    }
    fate.act(&Action::Signal);
    ended.await.map_err(io::Error::other)?
}

/// The process that started this one.
pub(super) enum Parent {
    /// It can be seen to end.
    Seen(OwnedFd),
    /// It has ended already.
    Gone,
    /// It does not matter, or cannot be seen.
    Ignored,
}

impl Parent {
    /// Takes hold of it. To be called before anyone is told that the machine is there: from then on it
    /// may end at any moment, and its number be another's.
    pub(super) fn take() -> Self {
        let Some(parent) = getppid() else {
            return Self::Ignored;
        };
        match pidfd_open(parent, PidfdFlags::empty()) {
            Ok(_) if getppid() != Some(parent) => Self::Gone,
            Ok(handle) => Self::Seen(handle),
            Err(_) => Self::Ignored,
        }
    }

    /// Waits for its end.
    async fn gone(self) {
        let handle = match self {
            Self::Seen(handle) => handle,
            Self::Gone => return,
            Self::Ignored => return future::pending().await,
        };
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
}
