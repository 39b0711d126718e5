//! One machine's monitors, without their sockets: the rate limiter and the sessions behind it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Instant;

use qmp_protocol::CommandError;
use qmp_protocol::monitor::{
    Admission, Ended, LatchKey, Latches, LimitKey, Limiter, MonitorSession, Personality, Rearm,
    Request, Ticket, Value,
};

/// Names one session of a [`Hub`]; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) u64);

/// An event ready to go out: its message on one line, without line end, and what limits it.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The message as QEMU prints it.
    pub line: String,
    /// The rate limit it falls under in the emulated release; `None`: sent at once.
    pub limit: Option<LimitKey>,
    /// What it is about if it is sent once only, until a command re-arms it; `None`: each time.
    pub latch: Option<LatchKey>,
}

/// What became of the events of one machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events emitted.
    pub emitted: u64,
    /// Of them sent, at once or later; to whoever listened, perhaps nobody.
    pub sent: u64,
    /// Of them never sent, because a newer one replaced them while they were held.
    pub replaced: u64,
    /// Of them never sent, because one of their kind was and no command has re-armed it since.
    pub latched: u64,
}

impl Stats {
    /// Events held back at this moment.
    pub fn held(&self) -> u64 {
        self.emitted - self.sent - self.replaced - self.latched
    }
}

/// The pure core: no sockets, no clock, no threads. The [`Driver`](crate::Driver) is its shell.
#[derive(Debug)]
pub struct Hub {
    personality: Personality,
    output_max_bytes: Option<usize>,
    limiter: Limiter<String>,
    latches: Latches,
    /// What running commands re-arm if they succeed.
    rearming: BTreeMap<(SessionId, Ticket), Rearm>,
    sessions: BTreeMap<SessionId, MonitorSession>,
    connected: u64,
    /// The in-band command being run; there is one at a time for the whole machine.
    running: Option<Running>,
    /// The session that command was of, once its client is gone and until another takes its place.
    left: Option<MonitorSession>,
    /// Whose request was handed out last; the next in line is looked at first.
    last_served: SessionId,
    stats: Stats,
}

/// A command in band.
#[derive(Debug)]
struct Running {
    /// Whose command it is.
    asked: SessionId,
    /// Who is to get the reply: the same, or the last that came in its place.
    told: SessionId,
    ticket: Ticket,
}

impl Hub {
    /// A machine nobody is connected to.
    pub fn new(personality: Personality) -> Self {
        Self {
            personality,
            output_max_bytes: None,
            limiter: Limiter::default(),
            latches: Latches::default(),
            rearming: BTreeMap::new(),
            sessions: BTreeMap::new(),
            connected: 0,
            running: None,
            left: None,
            last_served: SessionId(0),
            stats: Stats::default(),
        }
    }

    /// How many bytes may wait for a client; see [`MonitorSession::with_output_limit`].
    #[must_use]
    pub fn with_output_limit(mut self, bytes: usize) -> Self {
        self.output_max_bytes = Some(bytes);
        self
    }

    /// What the machine says it is.
    pub fn personality(&self) -> &Personality {
        &self.personality
    }

    /// What became of the events.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// A client connected; its greeting waits in the session's output.
    pub fn connect(&mut self) -> SessionId {
        self.connected += 1;
        let id = SessionId(self.connected);
        let mut session = MonitorSession::new(self.personality.clone());
        if let Some(bytes) = self.output_max_bytes {
            session = session.with_output_limit(bytes);
        }
        self.sessions.insert(id, session);
        id
    }

    /// A client connected where this other one was before. If a command of that one still runs, this one
    /// will be sent the reply, as by QEMU: [`MonitorSession::take_over`].
    pub fn connect_after(&mut self, before: SessionId) -> SessionId {
        let id = self.connect();
        if let Some(running) = &mut self.running
            && running.told == before
            && let Some(left) = self.left.take()
            && let Some(session) = self.sessions.get_mut(&id)
        {
            running.told = id;
            session.take_over(left);
        }
        id
    }

    /// A client is gone; its running command goes on. The reply will be thrown away unless another client
    /// comes in its place: [`Hub::connect_after`].
    pub fn disconnect(&mut self, id: SessionId) {
        let session = self.sessions.remove(&id);
        if self
            .running
            .as_ref()
            .is_some_and(|running| running.told == id)
        {
            self.left = session;
        }
    }

    /// The session of a client: to hand in what it sent and take what it is to be sent.
    pub fn session(&mut self, id: SessionId) -> Option<&mut MonitorSession> {
        self.sessions.get_mut(&id)
    }

    /// An event happened.
    ///
    /// # Returns
    /// Whether any client has something to be written now.
    pub fn emit(&mut self, now: Instant, event: Outgoing) -> bool {
        let mut any = self.handle_timeout(now);
        self.stats.emitted += 1;
        if event.latch.is_some_and(|key| !self.latches.admit(key)) {
            self.stats.latched += 1;
            return any;
        }
        let admission = match event.limit {
            Some(key) => self.limiter.admit(now, key, event.line),
            None => Admission::Send(event.line),
        };
        match admission {
            Admission::Send(line) => any |= self.send(&line),
            Admission::Held => {}
            Admission::Replaced(_) => self.stats.replaced += 1,
        }
        any
    }

    /// When [`Hub::handle_timeout`] is due; `None` while no event's window is open.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.limiter.poll_timeout()
    }

    /// Sends the held events whose time has come.
    ///
    /// # Returns
    /// Whether any client has something to be written now.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(ended) = self.limiter.handle_timeout(now) {
            if let Ended::Send(line) = ended {
                any |= self.send(&line);
            }
        }
        any
    }

    /// The next command to run, the sessions taking turns. In-band commands come one at a time:
    /// [`Hub::reply`] to one before the next.
    pub fn poll_request(&mut self) -> Option<(SessionId, Request)> {
        let last = self.last_served;
        let after = (Bound::Excluded(last), Bound::Unbounded);
        let mut order: Vec<SessionId> = self.sessions.range(after).map(|(id, _)| *id).collect();
        order.extend(self.sessions.range(..=last).map(|(id, _)| *id));
        for id in order {
            let in_band = self.running.is_none();
            let session = self.sessions.get_mut(&id)?;
            let request = match in_band {
                true => session.poll_request(),
                false => session.poll_oob_request(),
            };
            let Some(request) = request else { continue };
            if !request.oob {
                self.running = Some(Running {
                    asked: id,
                    told: id,
                    ticket: request.ticket,
                });
            }
            if let Some(rearm) = Rearm::of(&request.name, &request.arguments) {
                self.rearming.insert((id, request.ticket), rearm);
            }
            self.last_served = id;
            return Some((id, request));
        }
        None
    }

    /// Answers a command; passed over if its client is gone.
    pub fn reply(&mut self, id: SessionId, ticket: Ticket, result: Result<Value, CommandError>) {
        let mut told = id;
        let is_this = |running: &mut Running| running.asked == id && running.ticket == ticket;
        if let Some(running) = self.running.take_if(is_this) {
            told = running.told;
            self.left = None;
        }
        let rearm = self.rearming.remove(&(id, ticket));
        if let Some(rearm) = rearm.filter(|_| result.is_ok()) {
            self.latches.rearm(&rearm);
        }
        if let Some(session) = self.sessions.get_mut(&told) {
            session.reply(ticket, result);
        }
    }

    fn send(&mut self, line: &str) -> bool {
        self.stats.sent += 1;
        let mut any = false;
        for session in self.sessions.values_mut() {
            any |= session.handle_event(line);
        }
        any
    }
}
