//! A connected socket and its [`Tail`]: looks, consumes and sends, and never waits but in
//! [`Line::readable`] and [`Line::writable`].

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;

use qmp_client::{CloseReason, Socket};
use tokio::time::Instant;

use super::tail::{Now, Portion, Tail, in_journal};
use crate::journal::KeptConnection;
use crate::limits::PEEK_WINDOW_MAX_BYTES;
use crate::time;

/// What is asked of a socket. Nothing waits.
pub(super) trait Wire {
    /// The time.
    fn now(&self) -> Now;
    /// [`Socket::peek`].
    fn peek(&self, window: &mut [u8], known: usize) -> io::Result<usize>;
    /// [`Socket::look`].
    fn look(&self, window: &mut [u8]) -> io::Result<usize>;
    /// [`Socket::consume`].
    fn consume(&self, place: &mut [u8]) -> io::Result<()>;
    /// [`Socket::send`].
    fn send(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// One connection.
#[derive(Debug)]
pub(super) struct Line<W = Socket> {
    pub(super) socket: W,
    pub(super) tail: Tail,
    /// What is to be sent.
    outbox: Vec<u8>,
    is_writable: bool,
    /// The stream has ended, or reading failed: why, if it was an error.
    is_at_end: bool,
    broken: Option<Box<CloseReason>>,
    /// More may stand behind what can be seen at once.
    is_full: bool,
}

/// What there is to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Something new, as [`Line::readable`] told; whether the other side has closed.
    New {
        /// It has.
        closed: bool,
    },
    /// What is there, known or not.
    Again,
}

thread_local! {
    /// Where the head of a socket is looked at: one place for all connections of a thread, for no longer than
    /// the look takes.
    static WINDOW: RefCell<Vec<u8>> = RefCell::new(vec![0; PEEK_WINDOW_MAX_BYTES]);
}

#[cfg(test)]
thread_local! {
    /// How often anything was looked at.
    pub(super) static TURNS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// The time.
pub(super) fn now() -> Now {
    Now {
        instant: Instant::now().into_std(),
        us: time::now_us(),
    }
}

impl Wire for Socket {
    fn now(&self) -> Now {
        now()
    }

    fn peek(&self, window: &mut [u8], known: usize) -> io::Result<usize> {
        Socket::peek(self, window, known)
    }

    fn look(&self, window: &mut [u8]) -> io::Result<usize> {
        Socket::look(self, window)
    }

    fn consume(&self, place: &mut [u8]) -> io::Result<()> {
        Socket::consume(self, place)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        Socket::send(self, bytes)
    }
}

/// Lends the place where heads of sockets are looked at.
fn with_window<T>(look: impl FnOnce(&mut [u8]) -> T) -> T {
    WINDOW.with_borrow_mut(|window| look(window))
}

impl Line {
    /// Waits for something to look at; true if the other side has closed. Cancel safe.
    pub(super) async fn readable(&self) -> bool {
        // An error is that of a runtime about to end.
        self.socket.readable().await.unwrap_or(true)
    }

    /// Waits until more can be sent. Cancel safe.
    pub(super) async fn writable(&self) {
        // The next attempt to send tells the error.
        let _ = Box::pin(self.socket.writable()).await;
    }

    /// How many bytes wait in the socket.
    pub(super) fn waiting_bytes(&self) -> u64 {
        rustix::io::ioctl_fionread(self.socket.as_fd()).unwrap_or(0)
    }
}

impl<W: Wire> Line<W> {
    pub(super) fn new(socket: W, tail: Tail) -> Self {
        Self {
            socket,
            tail,
            outbox: Vec::new(),
            is_writable: true,
            is_at_end: false,
            broken: None,
            is_full: false,
        }
    }

    /// The conversation from where the journal has it; what it has is consumed.
    pub(super) fn resume(
        socket: W,
        known: &KeptConnection,
        first_id: u64,
        was_letting_go: bool,
    ) -> Self {
        let connected = &known.connected;
        let done = with_window(|window| {
            let seen = socket.look(window).unwrap_or(0);
            let done = in_journal(&window[..seen], known.chunk, connected.id);
            socket.consume(&mut window[..done]).map(|()| done)
        });
        match done {
            Ok(bytes) => tracing::debug!(bytes, "were committed and not consumed"),
            Err(error) => tracing::error!("bytes that were seen cannot be read: {error}"),
        }
        Self::new(socket, Tail::resume(connected, first_id, was_letting_go))
    }

    /// Whether looking may show anything new.
    pub(super) fn wants_to_read(&self) -> bool {
        !self.is_at_end && !self.is_full && self.tail.wants_more()
    }

    pub(super) fn wants_to_write(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Why reading failed, if it did.
    pub(super) fn broken(&self) -> Option<&CloseReason> {
        self.broken.as_deref()
    }

    /// All that the window shows was seen, and it shows no more.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Takes in what there is, consumes what may be consumed, sends what is to be sent; gives what is to be
    /// committed next.
    pub(super) fn turn(&mut self, look: Look) -> Option<Portion> {
        #[cfg(test)]
        TURNS.set(TURNS.get() + 1);
        let now = self.socket.now();
        let portion = with_window(|window| {
            self.consume(window);
            let seen = self.look(look, window, now)?;
            let consumed = self.consume_seen(window, seen);
            self.tail.next_batch(&window[consumed..seen], now)
        });
        self.flush();
        portion
    }

    /// Tells the time.
    pub(super) fn handle_timeout(&mut self) -> Option<Portion> {
        self.tail.handle_timeout(self.socket.now());
        self.turn(Look::Again)
    }

    /// What was under way is committed: consumes it; gives what is to be committed next.
    pub(super) fn committed(&mut self) -> Option<Portion> {
        self.tail.committed();
        if self.tail.has_waiting() {
            return self.turn(Look::Again);
        }
        self.settle();
        None
    }

    /// Consumes what may be consumed, and looks at nothing new.
    pub(super) fn settle(&mut self) {
        with_window(|window| self.consume(window));
    }

    /// Sends what the socket takes.
    pub(super) fn flush(&mut self) {
        loop {
            if self.outbox.is_empty() {
                match self.tail.poll_transmit() {
                    Some(commands) if self.is_writable => self.outbox = commands,
                    Some(_) => continue,
                    None => return,
                }
            }
            match self.socket.send(&self.outbox) {
                Ok(sent) if sent == self.outbox.len() => self.outbox = Vec::new(),
                Ok(sent) => drop(self.outbox.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // What QEMU sent before it went away can still be read.
                    self.is_writable = false;
                    self.outbox = Vec::new();
                }
            }
        }
    }

    /// Gives how much of the window is filled; `None` if there is nothing new.
    fn look(&mut self, look: Look, window: &mut [u8], now: Now) -> Option<usize> {
        let known = self.tail.known();
        let seen = match look {
            Look::New { .. } if !self.is_at_end => self.socket.peek(window, known),
            _ => self.socket.look(window),
        };
        match seen {
            Ok(0) => self.end(None, now),
            Ok(seen) => {
                self.tail.take_in(&window[..seen], now);
                self.is_full = seen == window.len();
                return Some(seen);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match look {
                Look::New { closed: true } => self.end(None, now),
                Look::New { closed: false } => return None,
                Look::Again => return Some(0),
            },
            Err(error) => self.end(CloseReason::of_io(&error), now),
        }
        // What is known still stands there.
        Some(self.socket.look(window).unwrap_or(0))
    }

    fn end(&mut self, broken: Option<CloseReason>, now: Now) {
        if !self.is_at_end {
            self.is_at_end = true;
            self.broken = broken.map(Box::new);
            self.tail.handle_eof(now);
        }
    }

    /// Consumes with the beginning of the window as the place for the bytes.
    fn consume(&mut self, window: &mut [u8]) {
        loop {
            let count = self.tail.may_consume().min(window.len());
            if count == 0 {
                return;
            }
            self.consume_count(&mut window[..count]);
        }
    }

    /// Consumes what was just seen: those bytes are written over themselves. Gives how many.
    fn consume_seen(&mut self, window: &mut [u8], seen: usize) -> usize {
        let count = self.tail.may_consume().min(seen);
        if count > 0 {
            self.consume_count(&mut window[..count]);
        }
        count
    }

    fn consume_count(&mut self, place: &mut [u8]) {
        // That they are gone already cannot be: we are the only ones who read. If it is so all the same, they
        // are consumed.
        if let Err(error) = self.socket.consume(place) {
            tracing::error!("bytes that were seen cannot be read: {error}");
        }
        self.is_full = false;
        self.tail.consumed(place.len());
    }
}
