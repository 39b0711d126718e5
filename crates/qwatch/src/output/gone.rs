//! Noticing that nobody reads our output any more.

use std::io;
use std::os::fd::AsFd;

use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

/// Ends when the reader of standard output has left, as after `qwatch watch … | head -1`, so that a program
/// that waits for an event does not have to meet one first. For a file it never ends.
pub(crate) async fn reader_gone() {
    match watched() {
        // The system reports an error on the pipe once its last reader has closed it.
        Ok(stdout) if stdout.ready(Interest::ERROR).await.is_ok() => {}
        // A plain file cannot be watched and has no reader.
        _ => std::future::pending().await,
    }
}

/// Unchecked means: not made non-blocking, which other writers to the same pipe would feel. It is only
/// looked at, never written to, and what is no pipe is refused or never in error.
fn watched() -> io::Result<Sender> {
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    Sender::from_owned_fd_unchecked(stdout)
}
