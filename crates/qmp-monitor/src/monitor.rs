//! A monitor with a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use qmp_events::Version;
use qmp_protocol::monitor::Personality;
use thiserror::Error;

use crate::builtin::Builtins;
use crate::commands::{CommandTable, Commands};
use crate::dialer::Dialer;
use crate::driver::{Driver, Parts};
use crate::emitter::Emitter;
use crate::hub::Hub;
use crate::line::Line;
use crate::listener::Listener;
use crate::observer::{NoObserver, Observer};
use crate::waker::Waker;

/// A machine's monitor, served by a thread of its own. Dropped, it ends as [`Emitter::close`] says, and
/// its socket files are gone.
///
/// Everything an [`Emitter`] does, it does as well.
#[derive(Debug)]
pub struct Monitor {
    emitter: Emitter,
    tcp_addresses: Vec<SocketAddr>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Monitor {
    /// Says what the monitor is to be.
    pub fn builder() -> Builder {
        Builder {
            version: DEFAULT_VERSION.to_owned(),
            package: String::new(),
            name: None,
            uuid: None,
            oob: None,
            pretty: false,
            output_max_bytes: None,
            commands: Box::new(CommandTable::new()),
            observer: Box::new(NoObserver),
            endpoints: Vec::new(),
        }
    }

    /// A handle for other threads.
    pub fn emitter(&self) -> Emitter {
        self.emitter.clone()
    }

    /// Waits until the monitor has ended: an emitter closed it.
    ///
    /// # Errors
    /// The kernel refused to poll.
    ///
    /// # Panics
    /// The embedder's commands or observer panicked; that ends a monitor.
    pub fn wait(mut self) -> io::Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }

    /// The addresses of the TCP listeners, in the order they were asked for.
    pub fn tcp_addresses(&self) -> &[SocketAddr] {
        &self.tcp_addresses
    }
}

impl Deref for Monitor {
    type Target = Emitter;

    fn deref(&self) -> &Emitter {
        &self.emitter
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.emitter.close();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // An error or a panic there ended the monitor before; this only makes sure that it has ended.
            let _ = thread.join();
        }
    }
}

/// What a [`Monitor`] is to be.
pub struct Builder {
    version: String,
    package: String,
    name: Option<String>,
    uuid: Option<String>,
    oob: Option<bool>,
    pretty: bool,
    output_max_bytes: Option<usize>,
    commands: Box<dyn Commands>,
    observer: Box<dyn Observer>,
    endpoints: Vec<Endpoint>,
}

/// The release emulated unless told otherwise.
const DEFAULT_VERSION: &str = "10.0.0";

/// Where clients come from.
#[derive(Debug)]
enum Endpoint {
    Unix(PathBuf),
    Tcp(SocketAddr),
    Dial(PathBuf, Duration),
    Given(Line),
}

/// Why a monitor could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The version is none.
    #[error("`{0}` is no version of QEMU: give one such as 7.2 or 7.2.22")]
    Version(String),
    /// A socket could not be made.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where it should have listened.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The system refused something every process needs.
    #[error("cannot start the monitor: {0}")]
    System(#[from] io::Error),
}

impl Builder {
    /// The release of QEMU to be: `7.2`, or `7.2.22`. It decides about rate limits, built-in commands and
    /// whether out-of-band execution is offered. QEMU 10.0.0 if not said.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// The packager's version in the greeting; none if not said.
    #[must_use]
    pub fn package(mut self, package: &str) -> Self {
        package.clone_into(&mut self.package);
        self
    }

    /// The machine's name, the answer to `query-name`.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The machine's UUID, the answer to `query-uuid`.
    #[must_use]
    pub fn uuid(mut self, uuid: &str) -> Self {
        self.uuid = Some(uuid.to_owned());
        self
    }

    /// Offer out-of-band execution or do not; if not said, as the release does on a socket.
    #[must_use]
    pub fn oob(mut self, oob: bool) -> Self {
        self.oob = Some(oob);
        self
    }

    /// Print each message over several lines, as QEMU's `pretty=on`.
    #[must_use]
    pub fn pretty(mut self, pretty: bool) -> Self {
        self.pretty = pretty;
        self
    }

    /// How many bytes may wait for a client that does not read before its connection is closed.
    #[must_use]
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_max_bytes = Some(bytes);
        self
    }

    /// The machine's own commands; one of the name of a built-in command takes its place, except for
    /// `qmp_capabilities`.
    #[must_use]
    pub fn commands(mut self, commands: impl Commands + 'static) -> Self {
        self.commands = Box::new(commands);
        self
    }

    /// Who is told about clients and commands.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Listens on a UNIX socket. It serves one client at a time; the next waits, without a greeting, until
    /// that one leaves. A socket that lies at the path is replaced.
    #[must_use]
    pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.endpoints.push(Endpoint::Unix(path.into()));
        self
    }

    /// Listens on a TCP address, one client at a time. With port 0 [`Monitor::tcp_addresses`] tells which
    /// was chosen. QMP knows no passwords: who can connect owns the machine.
    #[must_use]
    pub fn listen_tcp(mut self, address: SocketAddr) -> Self {
        self.endpoints.push(Endpoint::Tcp(address));
        self
    }

    /// Dials a UNIX socket on which a client listens, at once and again after each pause while nobody does
    /// or after the connection ended: QEMU's `reconnect`.
    #[must_use]
    pub fn dial_unix(mut self, path: impl Into<PathBuf>, pause: Duration) -> Self {
        self.endpoints.push(Endpoint::Dial(path.into(), pause));
        self
    }

    /// Serves a client that is connected already: one end of a socket pair, or a connection that was
    /// dialled, as QEMU does without `server=on`.
    #[must_use]
    pub fn stream(mut self, stream: impl Into<OwnedFd>) -> Self {
        let line = Line::Socket(stream.into());
        self.endpoints.push(Endpoint::Given(line));
        self
    }

    /// Serves a client that writes into one descriptor and reads from another: two pipes, or standard
    /// input and output (as duplicates), as `-qmp stdio` does. Both are made non-blocking, also for
    /// others who have them open.
    ///
    /// `input` cannot be a regular file. SIGPIPE must be ignored, as it is in every Rust program that has
    /// not asked for it.
    #[must_use]
    pub fn pipes(mut self, input: impl Into<OwnedFd>, output: impl Into<OwnedFd>) -> Self {
        let (input, output) = (input.into(), output.into());
        let line = Line::Pipes { input, output };
        self.endpoints.push(Endpoint::Given(line));
        self
    }

    /// Starts the monitor on a thread of its own.
    ///
    /// # Errors
    /// The version is none, a socket cannot be made, or the system refuses a thread or descriptor.
    pub fn build(self) -> Result<Monitor, BuildError> {
        let (mut driver, emitter) = self.build_driver()?;
        let tcp_addresses = driver.tcp_addresses();
        let thread = thread::Builder::new().name("qmp-monitor".to_owned());
        let thread = thread.spawn(move || {
            while driver.wait_and_handle()? {}
            Ok(())
        })?;
        Ok(Monitor {
            emitter,
            tcp_addresses,
            thread: Some(thread),
        })
    }

    /// Makes the monitor for an event loop of the embedder's.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn build_driver(self) -> Result<(Driver, Emitter), BuildError> {
        let personality = self.personality()?;
        let mut hub = Hub::new(personality.clone());
        if let Some(bytes) = self.output_max_bytes {
            hub = hub.with_output_limit(bytes);
        }
        let (mut listeners, mut dialers, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        for endpoint in self.endpoints {
            match endpoint {
                Endpoint::Unix(path) => {
                    let listener = Listener::unix(&path);
                    listeners.push(listener.map_err(|source| BuildError::Listen {
                        address: path.display().to_string(),
                        source,
                    })?);
                }
                Endpoint::Tcp(address) => {
                    let listener = Listener::tcp(address);
                    listeners.push(listener.map_err(|source| BuildError::Listen {
                        address: address.to_string(),
                        source,
                    })?);
                }
                Endpoint::Dial(path, pause) => {
                    dialers.push(Dialer::new(path, pause, Instant::now()));
                }
                Endpoint::Given(line) => lines.push(line),
            }
        }
        let builtins = Builtins::new(personality, self.name, self.uuid, self.commands.list());
        let emitter = Emitter::new(hub, Waker::new()?);
        let driver = Driver::new(Parts {
            emitter: emitter.clone(),
            commands: self.commands,
            builtins,
            observer: self.observer,
            listeners,
            dialers,
            lines,
        })?;
        Ok((driver, emitter))
    }

    fn personality(&self) -> Result<Personality, BuildError> {
        let bad = || BuildError::Version(self.version.clone());
        let version: Version = self.version.parse().map_err(|_| bad())?;
        let micro = match self.version.splitn(3, '.').nth(2) {
            Some(micro) => micro.parse().map_err(|_| bad())?,
            None => 0,
        };
        let mut personality = Personality::of(version);
        personality.micro = micro;
        personality.package.clone_from(&self.package);
        personality.pretty = self.pretty;
        if let Some(oob) = self.oob {
            personality.oob = oob;
        }
        Ok(personality)
    }
}
