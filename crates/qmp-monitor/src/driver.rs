//! The shell around the [`Hub`]: sockets, and whose turn it is.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use qmp_protocol::monitor::{Arguments, Closed, Mode, Request};
use qmp_protocol::{CommandError, ErrorClass};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

use crate::builtin::Builtins;
use crate::commands::{Call, Commands};
use crate::dialer::Dialer;
use crate::emitter::Emitter;
use crate::hub::SessionId;
use crate::limits::{ACCEPT_RETRY, READ_CHUNK_SIZE_BYTES, READY_MAX_SOURCES};
use crate::line::Line;
use crate::listener::Listener;
use crate::observer::Observer;

/// Does the work of a monitor, a turn at a time, in an event loop of the embedder's:
///
/// * poll [`Driver::as_fd`] for reading, at most until [`Driver::deadline`];
/// * then call [`Driver::handle`], which never blocks.
///
/// [`Monitor`](crate::Monitor) is a thread that does just that.
pub struct Driver {
    emitter: Emitter,
    commands: Box<dyn Commands>,
    builtins: Builtins,
    observer: Box<dyn Observer>,
    epoll: OwnedFd,
    listeners: Vec<Listener>,
    dialers: Vec<Dialer>,
    clients: BTreeMap<SessionId, Client>,
    /// Who came last through each listener and dialer.
    last: BTreeMap<Origin, SessionId>,
    /// When to accept again after accepting failed.
    accept_again: Option<Instant>,
}

/// One connection.
#[derive(Debug)]
struct Client {
    line: Line,
    origin: Origin,
    /// What its descriptor is watched for.
    interest: EventFlags,
    /// The descriptor will take no more, or is in error.
    broken: bool,
    /// It has negotiated, and the observer was told.
    ready: bool,
}

/// Where a connection came from, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// This listener, which waits until it leaves.
    Listener(usize),
    /// This dialer, which waits until it leaves.
    Dialer(usize),
    /// The embedder.
    Given,
}

/// What a descriptor belongs to, as kept in the `epoll` set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Waker,
    Listener(usize),
    Client(SessionId),
}

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) emitter: Emitter,
    pub(crate) commands: Box<dyn Commands>,
    pub(crate) builtins: Builtins,
    pub(crate) observer: Box<dyn Observer>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) dialers: Vec<Dialer>,
    pub(crate) lines: Vec<Line>,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let waker = parts.emitter.waker();
        epoll::add(&epoll, waker, Source::Waker.data(), EventFlags::IN)?;
        for (index, listener) in parts.listeners.iter().enumerate() {
            epoll::add(
                &epoll,
                listener,
                Source::Listener(index).data(),
                EventFlags::IN,
            )?;
        }
        let mut driver = Self {
            emitter: parts.emitter,
            commands: parts.commands,
            builtins: parts.builtins,
            observer: parts.observer,
            epoll,
            listeners: parts.listeners,
            dialers: parts.dialers,
            clients: BTreeMap::new(),
            last: BTreeMap::new(),
            accept_again: None,
        };
        for line in parts.lines {
            driver.connect(line, Origin::Given)?;
        }
        driver.dial(Instant::now())?;
        driver.flush_all()?;
        Ok(driver)
    }

    /// When [`Driver::handle`] is due even if the descriptor stays silent; `None`: not before.
    pub fn deadline(&self) -> Option<Instant> {
        let held = self.emitter.hub().poll_timeout();
        let dials = self.dialers.iter().filter_map(Dialer::due);
        dials.chain(held).chain(self.accept_again).min()
    }

    /// Does what there is to do: accepts, reads, runs commands, sends what was held back, writes.
    ///
    /// # Returns
    /// False once [`Emitter::close`] was called and the driver should be dropped.
    ///
    /// # Errors
    /// The kernel refused to poll; nothing a client does leads to that.
    pub fn handle(&mut self) -> io::Result<bool> {
        self.turn(Some(Duration::ZERO))
    }

    /// Waits for something to do, until the deadline, and does it.
    pub(crate) fn wait_and_handle(&mut self) -> io::Result<bool> {
        let timeout = self
            .deadline()
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        self.turn(timeout)
    }

    /// The addresses of the TCP listeners, in the order they were asked for.
    pub fn tcp_addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.listeners.iter().map(Listener::tcp_address);
        addresses.flatten().collect()
    }

    fn turn(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        for (source, flags) in self.ready(timeout)? {
            match source {
                Source::Waker => self.emitter.waker().clear(),
                Source::Listener(index) => self.accept(index)?,
                Source::Client(id) => self.receive(id, flags),
            }
        }
        let now = Instant::now();
        self.emitter.hub().handle_timeout(now);
        self.dial(now)?;
        if self.accept_again.is_some_and(|again| again <= now) {
            self.accept_again = None;
            self.watch_free_listeners()?;
        }
        self.run_commands();
        // Asked before writing: what was emitted before the end is written before it, even by a thread
        // that does both while this one writes.
        let closing = self.emitter.is_closing();
        self.flush_all()?;
        Ok(!closing)
    }

    /// The descriptors with something to do.
    fn ready(&self, timeout: Option<Duration>) -> io::Result<Vec<(Source, EventFlags)>> {
        // A timeout beyond what the kernel can count is as good as none.
        let timeout = timeout.and_then(|timeout| timeout.try_into().ok());
        let mut events = Vec::with_capacity(READY_MAX_SOURCES);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let events = events.iter().map(|event| {
            let (data, flags) = (event.data, event.flags);
            (Source::from_data(data), flags)
        });
        Ok(events.collect())
    }

    fn accept(&mut self, index: usize) -> io::Result<()> {
        let busy = self
            .clients
            .values()
            .any(|client| client.origin == Origin::Listener(index));
        let Some(listener) = self.listeners.get(index).filter(|_| !busy) else {
            return Ok(());
        };
        match listener.accept() {
            Ok(Some(stream)) => {
                let data = Source::Listener(index).data();
                epoll::modify(&self.epoll, listener, data, EventFlags::empty())?;
                self.connect(Line::Socket(stream), Origin::Listener(index))
            }
            Ok(None) => Ok(()),
            Err(error) => {
                // The client still waits, and would be told of again at once, over and over.
                let data = Source::Listener(index).data();
                epoll::modify(&self.epoll, listener, data, EventFlags::empty())?;
                self.accept_again = Some(Instant::now() + ACCEPT_RETRY);
                self.observer.accept_failed(&error);
                Ok(())
            }
        }
    }

    fn watch_free_listeners(&self) -> io::Result<()> {
        for (index, listener) in self.listeners.iter().enumerate() {
            let mut clients = self.clients.values();
            if clients.all(|client| client.origin != Origin::Listener(index)) {
                let data = Source::Listener(index).data();
                epoll::modify(&self.epoll, listener, data, EventFlags::IN)?;
            }
        }
        Ok(())
    }

    /// Dials where it is time to.
    fn dial(&mut self, now: Instant) -> io::Result<()> {
        for index in 0..self.dialers.len() {
            let dialer = self.dialers.get_mut(index);
            if let Some(stream) = dialer.and_then(|dialer| dialer.dial(now)) {
                self.connect(Line::Socket(stream), Origin::Dialer(index))?;
            }
        }
        Ok(())
    }

    fn connect(&mut self, line: Line, origin: Origin) -> io::Result<()> {
        let before = self.last.get(&origin).filter(|_| origin != Origin::Given);
        let id = match before {
            Some(before) => self.emitter.hub().connect_after(*before),
            None => self.emitter.hub().connect(),
        };
        self.last.insert(origin, id);
        line.watch(&self.epoll, Source::Client(id).data())?;
        let client = Client {
            line,
            origin,
            interest: EventFlags::IN,
            broken: false,
            ready: false,
        };
        self.clients.insert(id, client);
        self.observer.client_connected(id);
        Ok(())
    }

    fn receive(&mut self, id: SessionId, flags: EventFlags) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let mut hub = self.emitter.hub();
        let Some(session) = hub.session(id) else {
            return;
        };
        if client.line.is_cut(flags) {
            client.broken = true;
        } else if session.wants_input() {
            let mut chunk = [0; READ_CHUNK_SIZE_BYTES];
            match client.line.receive(&mut chunk) {
                Ok(0) => session.handle_eof(),
                Ok(length) => session.handle_input(chunk.get(..length).unwrap_or(&[])),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => client.broken = true,
            }
        } else if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
            // Nobody is left to read what the running command will answer.
            client.broken = true;
        }
        if client.broken {
            // At once: what is queued must not run any more, even if the running command ends now.
            session.close(Closed::Left);
        }
    }

    /// Runs the commands that wait, until every session is idle, suspended or answered later.
    fn run_commands(&mut self) {
        loop {
            // The lock must not be held while the embedder's code runs.
            let request = self.emitter.hub().poll_request();
            let Some((id, request)) = request else { return };
            self.observer.command(id, &request.name);
            let ticket = request.ticket;
            if let Some(result) = self.execute(id, &request) {
                self.emitter.hub().reply(id, ticket, result);
            }
        }
    }

    /// Runs one command; `None`: it will be answered later.
    fn execute(&mut self, id: SessionId, request: &Request) -> Option<crate::CommandResult> {
        let name = request.name.as_str();
        let Some(info) = self.builtins.info(name) else {
            let error = CommandError {
                class: ErrorClass::CommandNotFound,
                desc: format!("The command {name} has not been found"),
            };
            return Some(Err(error));
        };
        if request.oob && !info.oob {
            let desc = format!("The command {name} does not support OOB");
            return Some(Err(crate::generic_error(desc)));
        }
        if self.builtins.is_own(name) {
            let arguments = Arguments::new(&request.arguments);
            return Some(self.builtins.execute(name, arguments));
        }
        let call = Call {
            name,
            arguments: &request.arguments,
            emitter: &self.emitter,
            session: id,
            ticket: request.ticket,
        };
        self.commands.execute(call).0
    }

    /// Writes what the clients take, lets go of those who are done, and watches the others for what they
    /// need next.
    fn flush_all(&mut self) -> io::Result<()> {
        let (mut gone, mut ready) = (Vec::new(), Vec::new());
        for (id, client) in &mut self.clients {
            let mut hub = self.emitter.hub();
            let Some(session) = hub.session(*id) else {
                continue;
            };
            while !client.broken && !session.output().is_empty() {
                match client.line.send(session.output()) {
                    Ok(length) => session.consume_output(length),
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => break,
                    Err(_) => client.broken = true,
                }
            }
            if !client.ready && matches!(session.mode(), Mode::Ready { .. }) {
                client.ready = true;
                ready.push(*id);
            }
            if client.broken {
                session.close(Closed::Left);
            }
            if let Some(why) = session.closed() {
                gone.push((*id, why.clone()));
                continue;
            }
            let mut interest = EventFlags::empty();
            interest.set(EventFlags::IN, session.wants_input());
            interest.set(EventFlags::OUT, !session.output().is_empty());
            if interest != client.interest {
                let data = Source::Client(*id).data();
                client.line.rewatch(&self.epoll, data, interest)?;
                client.interest = interest;
            }
        }
        for id in ready {
            self.observer.client_ready(id);
        }
        for (id, why) in gone {
            self.disconnect(id, &why)?;
        }
        Ok(())
    }

    fn disconnect(&mut self, id: SessionId, why: &Closed) -> io::Result<()> {
        self.emitter.hub().disconnect(id);
        // Closing the descriptor takes it out of the epoll set.
        let client = self.clients.remove(&id);
        self.observer.client_gone(id, why);
        match client.map(|client| client.origin) {
            Some(Origin::Listener(index)) => {
                if let Some(listener) = self.listeners.get(index) {
                    let data = Source::Listener(index).data();
                    epoll::modify(&self.epoll, listener, data, EventFlags::IN)?;
                }
            }
            Some(Origin::Dialer(index)) => {
                if let Some(dialer) = self.dialers.get_mut(index) {
                    dialer.ended(Instant::now());
                }
            }
            Some(Origin::Given) | None => {}
        }
        Ok(())
    }
}

impl AsFd for Driver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Driver")
            .field("listeners", &self.listeners)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// Clients have the odd numbers, listeners the even ones above the waker's zero.
    fn data(self) -> EventData {
        EventData::new_u64(match self {
            Self::Waker => 0,
            Self::Listener(index) => 2 * (index as u64 + 1),
            Self::Client(SessionId(number)) => 2 * number + 1,
        })
    }

    fn from_data(data: EventData) -> Self {
        match data.u64() {
            0 => Self::Waker,
            odd if odd % 2 == 1 => Self::Client(SessionId(odd / 2)),
            even => Self::Listener(usize::try_from(even / 2 - 1).unwrap_or(usize::MAX)),
        }
    }
}
