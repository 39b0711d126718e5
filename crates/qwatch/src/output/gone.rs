//! Noticing that nobody reads our output any more.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

/// Ends when the reader of standard output has left, as after `qwatch watch … | head -1`, so that a
/// program that waits for an event does not have to meet one first. For a file it never ends.
pub(crate) async fn reader_gone() {
    match watched() {
        // The system reports an error on the pipe once its last reader has closed it.
        Ok(stdout) if stdout.ready(Interest::ERROR).await.is_ok() => {}
        // A plain file cannot be watched and has no reader.
        _ => std::future::pending().await,
    }
}

/// The same as a question, for those who wait for something else: true once nobody reads any more.
pub(crate) fn is_reader_gone() -> bool {
    const AT_ONCE: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let stdout = io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let answered = poll(&mut fds, Some(&AT_ONCE));
    answered.is_ok() && fds[0].revents().contains(PollFlags::ERR)
}

/// Unchecked means: not made non-blocking, which other writers to the same pipe would feel. It is
/// only looked at, never written to, and what is no pipe is refused or never in error.
fn watched() -> io::Result<Sender> {
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    Sender::from_owned_fd_unchecked(stdout)
}
