//! Between an emulated machine's monitor and its clients: makes faults, and tells what is said.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use qmp_monitor::compact;
use qmp_protocol::monitor::Parser;
use qmp_protocol::{Frame, Framer};
use rustix::net::{Shutdown, shutdown};

use super::faults::{Fault, Faulty, Then};
use crate::limits::RELAY_DRAIN;
use crate::time;

/// Told what clients and monitor say. Called from several threads.
pub type Listening = Arc<dyn Fn(&Said<'_>) + Send + Sync>;

/// Something that happened on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// The connection, counted from 1.
    pub client: u64,
    /// What.
    pub what: What<'a>,
}

/// See [`Said`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// A client connected.
    Connected,
    /// It is gone.
    Gone,
    /// It sent this message, on one line.
    Received(String),
    /// It sent something that is no message; why.
    Malformed(String),
    /// The monitor sent this message; faults come after this.
    Sent(&'a str),
}

/// Where a relay's clients are.
#[derive(Debug)]
pub enum Door {
    /// It listens there, one client at a time.
    Unix(UnixListener),
    /// It listens there, one client at a time.
    Tcp(TcpListener),
    /// It dials, with this pause between tries.
    Dial(PathBuf, Duration),
}

/// What all relays of a machine have in common.
#[derive(Clone)]
pub struct Relays {
    faults: Arc<[Fault]>,
    listening: Option<Listening>,
    clients: Arc<AtomicU64>,
    busy: Arc<(Mutex<usize>, Condvar)>,
}

impl Door {
    /// Listens on a UNIX socket; one that lies there is replaced.
    ///
    /// # Errors
    /// The system refuses.
    pub fn unix(path: &Path) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket()) {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        rustix::net::listen(&listener, 1)?;
        Ok(Self::Unix(listener))
    }

    /// Listens on a TCP port.
    ///
    /// # Errors
    /// The system refuses.
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        rustix::net::listen(&listener, 1)?;
        Ok(Self::Tcp(listener))
    }

    /// The port it listens on.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(|address| address.port()),
            _ => None,
        }
    }

    /// The next client.
    fn next(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Unix(listener) => Ok(listener.accept()?.0.into()),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                // Faults say what comes in one piece, not the system.
                stream.set_nodelay(true)?;
                Ok(stream.into())
            }
            Self::Dial(path, pause) => loop {
                match UnixStream::connect(path) {
                    Ok(stream) => return Ok(stream.into()),
                    Err(_) => thread::sleep(*pause),
                }
            },
        }
    }
}

impl Relays {
    /// Relays with these faults.
    pub fn new(faults: &[Fault], listening: Option<Listening>) -> Self {
        Self {
            faults: faults.into(),
            listening,
            clients: Arc::default(),
            busy: Arc::default(),
        }
    }

    /// Connects the clients of a door, one after the other, to the monitor at `inner`.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn open(&self, door: Door, inner: PathBuf) -> io::Result<()> {
        let relays = self.clone();
        let thread = thread::Builder::new().name("relay".to_owned());
        thread.spawn(move || {
            while let Ok(client) = door.next() {
                relays.count(1);
                if let Err(error) = relays.serve(client.into(), &inner) {
                    tracing::debug!(%error, "a connection of an emulated machine");
                }
                relays.count(-1);
            }
        })?;
        Ok(())
    }

    /// The machine has ended: waits until its clients have read the rest, but not for long.
    pub fn drain(&self) {
        let (busy, changed) = &*self.busy;
        let deadline = Instant::now() + RELAY_DRAIN;
        let mut count = busy.lock().unwrap_or_else(PoisonError::into_inner);
        while *count > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = changed.wait_timeout(count, left);
            count = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn count(&self, by: isize) {
        let (busy, changed) = &*self.busy;
        let mut count = busy.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_add_signed(by);
        changed.notify_all();
    }

    /// Serves one client to its end.
    fn serve(&self, mut client: File, inner: &Path) -> io::Result<()> {
        let number = self.clients.fetch_add(1, Ordering::SeqCst) + 1;
        let mut monitor = UnixStream::connect(inner)?;
        self.say(number, What::Connected);
        let silent = Arc::new(AtomicBool::new(false));
        let commands = {
            let (relays, silent) = (self.clone(), Arc::clone(&silent));
            let (client, monitor) = (client.try_clone()?, monitor.try_clone()?);
            thread::spawn(move || relays.pass_commands(number, client, monitor, &silent))
        };
        let result = self.pass_messages(number, &mut client, &mut monitor, &silent);
        // An end that has been reached already is no error.
        let _ = shutdown(&client, Shutdown::Both);
        let _ = monitor.shutdown(std::net::Shutdown::Both);
        let _ = commands.join();
        self.say(number, What::Gone);
        result
    }

    /// From the client to the monitor, as it is.
    fn pass_commands(
        &self,
        number: u64,
        mut client: File,
        mut monitor: UnixStream,
        silent: &AtomicBool,
    ) {
        let mut parser = Parser::default();
        let mut chunk = vec![0; 16 << 10];
        while let Ok(length @ 1..) = client.read(&mut chunk) {
            let bytes = chunk.get(..length).unwrap_or(&[]);
            let mut rest = bytes;
            while self.listening.is_some()
                && let Some(message) = parser.next(&mut rest)
            {
                self.say(
                    number,
                    match message {
                        Ok(value) => What::Received(compact(&value)),
                        Err(error) => What::Malformed(error.to_string()),
                    },
                );
            }
            if !silent.load(Ordering::SeqCst) && monitor.write_all(bytes).is_err() {
                break;
            }
        }
        let _ = monitor.shutdown(std::net::Shutdown::Write);
        if silent.load(Ordering::SeqCst) {
            let _ = monitor.shutdown(std::net::Shutdown::Both);
        }
    }

    /// From the monitor to the client, with the faults.
    fn pass_messages(
        &self,
        number: u64,
        client: &mut File,
        monitor: &mut UnixStream,
        silent: &AtomicBool,
    ) -> io::Result<()> {
        let mut faulty = Faulty::new(&self.faults);
        let mut framer = Framer::new();
        let mut chunk = vec![0; 64 << 10];
        let mut batch: Option<(Instant, Vec<u8>)> = None;
        loop {
            let left = batch
                .as_ref()
                .map(|(until, _)| until.saturating_duration_since(Instant::now()));
            let length = match read(monitor, &mut chunk, left)? {
                Some(length) => length,
                None => {
                    let (_, bytes) = batch.take().unwrap_or((Instant::now(), Vec::new()));
                    self.write(client, &bytes)?;
                    continue;
                }
            };
            framer.push(chunk.get(..length).unwrap_or(&[]));
            while let Some(frame) = framer.next_frame() {
                let Frame::Message { text, .. } = frame else {
                    continue;
                };
                if silent.load(Ordering::SeqCst) {
                    continue;
                }
                self.say(number, What::Sent(text));
                let sent = faulty.send(text, time::now_us());
                match (self.batch(), &mut batch) {
                    (Some(_), Some((_, waiting))) => waiting.extend_from_slice(&sent.bytes),
                    (Some(time), None) => batch = Some((Instant::now() + time, sent.bytes)),
                    (None, _) => self.write(client, &sent.bytes)?,
                }
                match sent.then {
                    Then::GoOn => {}
                    Then::Silence => silent.store(true, Ordering::SeqCst),
                    Then::Close => {
                        return self.write(client, &batch.take().map_or(Vec::new(), |it| it.1));
                    }
                }
            }
            if length == 0 {
                return self.write(client, &batch.take().map_or(Vec::new(), |it| it.1));
            }
        }
    }

    fn batch(&self) -> Option<Duration> {
        self.faults.iter().find_map(|fault| match fault {
            Fault::Batch(time) => Some(*time),
            _ => None,
        })
    }

    fn write(&self, client: &mut File, bytes: &[u8]) -> io::Result<()> {
        let size = self.faults.iter().find_map(|fault| match fault {
            Fault::Split(size) => Some(*size),
            _ => None,
        });
        for piece in bytes.chunks(size.unwrap_or(bytes.len()).max(1)) {
            client.write_all(piece)?;
        }
        Ok(())
    }

    fn say(&self, client: u64, what: What<'_>) {
        if let Some(listening) = &self.listening {
            listening(&Said { client, what });
        }
    }
}

/// Reads, at most so long; `None`: the time is over. The end is a length of 0.
fn read(
    from: &mut UnixStream,
    into: &mut [u8],
    left: Option<Duration>,
) -> io::Result<Option<usize>> {
    // A time-out of zero is none at all.
    from.set_read_timeout(left.map(|left| left.max(Duration::from_millis(1))))?;
    match from.read(into) {
        Ok(length) => Ok(Some(length)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(None)
        }
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(Some(0)),
        Err(error) => Err(error),
    }
}
