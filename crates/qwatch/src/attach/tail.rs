//! What was seen at the head of a socket, what of it is in the journal, and what may be read off.
//!
//! Pure: whoever drives it looks at the socket, commits and consumes; see [`Tail::take_in`],
//! [`Tail::next_batch`] and [`Tail::may_consume`]. The rule that nothing is lost by:
//!
//! ```text
//! stream:  … consumed │ committed, to be consumed │ made into records │ half a message │ not seen yet …
//!                   head                     in flight              cut              fed
//! ```
//!
//! * Events become records; the bytes from the head to the last of them are a chunk; records and chunk are
//!   committed together, and only then the chunk is consumed. Whoever comes after a crash compares the head
//!   with the last chunk, and knows. (Two chunks of equal bytes, one right after the other, would be taken
//!   for one. QEMU's stamps make every line differ.)
//! * What has no event in it (answers, blanks) is consumed without a commit, once nothing before it waits.
//! * Half a message stays where it is, but for three cases. The beginning of a long answer makes room for the
//!   rest: if we are killed then, an answer is lost, which is asked for again. Half an event that stands
//!   still, or is longer than what can be seen at once, is committed as it is, then consumed.

use std::mem;
use std::num::NonZeroI64;
use std::time::Instant;

use qmp_client::Greeting;
use qmp_protocol::{ClientSession, CloseReason, Output, State};

use super::attention::Attention;
use super::hash::xxh64;
use super::interview::Answers;
use super::loss::Loss;
use super::notes;
use crate::journal::{Chunk, Connected, ConnectionId, Entry, Mark, Memory, Note};
use crate::limits::{HALF_ANSWER_MAX_BYTES, HALF_MESSAGE_WAIT, PEEK_WINDOW_MAX_BYTES};

/// The stream of one connection.
#[derive(Debug)]
pub(super) struct Tail {
    id: ConnectionId,
    session: ClientSession,
    attention: Attention,
    /// Where in the stream the head of the socket stands, counted from where the session began.
    head: u64,
    /// Up to where the session has been given the stream.
    fed: u64,
    custody: Custody,
    /// The records that are being committed.
    in_flight: Option<InFlight>,
    /// Records that wait for their turn.
    entries: Vec<Entry>,
    /// Up to where nothing waits for a commit any more, as far as commits have told.
    free: u64,
    /// What the journal has been told to remember.
    memory: Memory,
    /// Where [`Memory::partial`] begins.
    partial_at: u64,
    /// When half a message at the head will have stood still for long enough.
    half_until: Option<Instant>,
    half_is_due: bool,
    /// Another recorder may have read the beginning of what comes first.
    is_broken_in: bool,
    loss: Option<Box<Loss>>,
    identity: Option<Box<Identity>>,
    closed: Option<Box<CloseReason>>,
    /// When the last event happened, microseconds since 1970.
    heard_us: Option<NonZeroI64>,
}

/// Who answers for what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Custody {
    /// The socket: there is no run to record under yet.
    Socket,
    /// We: there is no run yet, and what was seen had to make room.
    Ours,
    /// The journal.
    Journal,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    /// Where in the stream the head may stand once it is committed.
    end: u64,
    since: Instant,
    since_us: i64,
}

/// The time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) instant: Instant,
    /// Microseconds since 1970.
    pub(super) us: i64,
}

/// Who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: Option<String>,
    pub(super) uuid: Option<String>,
}

/// What is to be committed in one transaction.
#[derive(Debug)]
pub(super) struct Portion {
    pub(super) entries: Vec<Entry>,
    /// The bytes at the head of the socket that are done with by it.
    pub(super) chunk: Option<Chunk>,
    /// What is to be remembered, if that has changed.
    pub(super) memory: Option<Memory>,
}

impl Portion {
    /// The records, and what they say of their connection; all about it if it is new.
    pub(super) fn into_mark(
        self,
        id: ConnectionId,
        new: Option<Box<Connected>>,
    ) -> (Vec<Entry>, Mark) {
        let Self {
            entries,
            chunk,
            memory,
        } = self;
        let mark = match new {
            Some(mut connected) => {
                connected.memory = memory.unwrap_or_default();
                let chunk = chunk.unwrap_or_default();
                Mark::Begin { connected, chunk }
            }
            None => Mark::Chunk { id, chunk, memory },
        };
        (entries, mark)
    }
}

/// The chunk that these bytes at the head of a socket are.
pub(super) fn chunk_of(bytes: &[u8], id: ConnectionId) -> Chunk {
    Chunk {
        length: bytes.len() as u64,
        hash: xxh64(bytes, id.number()),
    }
}

/// How many bytes at the head of the socket are in the journal already, as the last chunk says.
pub(super) fn in_journal(window: &[u8], last: Chunk, id: ConnectionId) -> usize {
    let length = usize::try_from(last.length).unwrap_or(usize::MAX);
    match window.get(..length) {
        Some(head) if chunk_of(head, id) == last => length,
        _ => 0,
    }
}

impl Tail {
    /// Of a connection at its beginning: first of all it is asked who it is.
    pub(super) fn new(id: ConnectionId, session: ClientSession) -> Self {
        let mut attention = Attention::default();
        attention.ask_identity();
        Self::of(id, session, attention, Custody::Socket)
    }

    /// Of a connection that another recorder had, and perhaps let events go of. The socket's head stands
    /// behind the last chunk.
    pub(super) fn resume(connected: &Connected, first_id: u64, was_letting_go: bool) -> Self {
        let greeting = Greeting::read(&connected.greeting).unwrap_or_default();
        let session = ClientSession::resume(greeting, connected.oob, first_id);
        let memory = connected.memory.clone();
        let attention = Attention::recall(&memory);
        let mut tail = Self::of(connected.id, session, attention, Custody::Journal);
        match &memory.partial {
            Some(partial) if !was_letting_go => {
                tail.session.handle_input(partial);
                tail.fed = partial.len() as u64;
                tail.head = tail.fed;
            }
            // If there is one, it was gone on with and let go: the gap is about it, too.
            _ => {
                tail.is_broken_in = true;
                tail.partial_at = u64::MAX;
            }
        }
        tail.memory = memory;
        tail
    }

    fn of(
        id: ConnectionId,
        session: ClientSession,
        attention: Attention,
        custody: Custody,
    ) -> Self {
        Self {
            id,
            session,
            attention,
            head: 0,
            fed: 0,
            custody,
            in_flight: None,
            free: 0,
            entries: Vec::new(),
            memory: Memory::default(),
            partial_at: 0,
            half_until: None,
            half_is_due: false,
            is_broken_in: false,
            loss: None,
            identity: None,
            closed: None,
            heard_us: None,
        }
    }

    /// How many bytes at the head of the socket were seen already.
    pub(super) fn known(&self) -> usize {
        usize::try_from(self.fed - self.head).unwrap_or(usize::MAX)
    }

    /// Takes in what stands at the head of the socket, the known part included.
    pub(super) fn take_in(&mut self, window: &[u8], now: Now) {
        let new = window.get(self.known()..).unwrap_or_default();
        if !new.is_empty() {
            self.session.handle_input(new);
            self.fed += new.len() as u64;
            self.half_until = now.instant.checked_add(HALF_MESSAGE_WAIT);
            self.half_is_due = false;
        }
        self.listen(now);
        if window.len() >= PEEK_WINDOW_MAX_BYTES && !self.session.unfinished().is_empty() {
            self.half_is_due = true;
        }
    }

    /// The stream has ended behind what was taken in.
    pub(super) fn handle_eof(&mut self, now: Now) {
        self.session.handle_eof();
        self.listen(now);
    }

    /// Tells the time. What may be consumed or committed may have become more.
    pub(super) fn handle_timeout(&mut self, now: Now) {
        self.session.handle_timeout(now.instant);
        self.attention
            .handle_timeout(&mut self.session, now.instant);
        if self.half_until.is_some_and(|until| until <= now.instant) {
            self.half_until = None;
            self.half_is_due = true;
        }
        self.listen(now);
    }

    /// When to call [`Tail::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.closed.is_some() {
            return None;
        }
        let attention = self.attention.poll_timeout(self.may_ask());
        let half = self
            .half_until
            .filter(|_| self.known() > 0 && self.in_flight.is_none());
        [self.session.poll_timeout(), attention, half]
            .into_iter()
            .flatten()
            .min()
    }

    /// Bytes to send.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.session.poll_transmit()
    }

    /// The next records to be committed, if none are under way. The window shows all that was taken in.
    pub(super) fn next_batch(&mut self, window: &[u8], now: Now) -> Option<Portion> {
        if self.custody != Custody::Journal || self.in_flight.is_some() {
            return None;
        }
        self.end_loss(now);
        if !self.must_commit() {
            return None;
        }
        let end = match self.half_event_is_due() {
            true => self.fed,
            false => self.cut(),
        };
        let length = usize::try_from(end - self.head).unwrap_or(usize::MAX);
        let bytes = window.get(..length)?;
        let chunk = (!bytes.is_empty()).then(|| chunk_of(bytes, self.id));
        self.in_flight = Some(InFlight {
            end,
            since: now.instant,
            since_us: now.us,
        });
        Some(Portion {
            entries: mem::take(&mut self.entries),
            chunk,
            memory: self.next_memory(end),
        })
    }

    /// The records under way are committed; [`Tail::may_consume`] says what that frees.
    pub(super) fn committed(&mut self) {
        if let Some(InFlight { end, .. }) = self.in_flight.take() {
            self.free = end;
        }
    }

    /// How many bytes are to be read off the socket now.
    pub(super) fn may_consume(&self) -> usize {
        let end = match self.custody {
            Custody::Socket => self.head,
            Custody::Ours => self.fed,
            Custody::Journal if self.loss.is_some() => self.fed,
            Custody::Journal if self.in_flight.is_some() || self.must_commit() => self.free,
            Custody::Journal if self.half_answer_may_go() => self.fed,
            Custody::Journal => self.cut(),
        };
        usize::try_from(end.saturating_sub(self.head)).unwrap_or(usize::MAX)
    }

    /// They were read off.
    pub(super) fn consumed(&mut self, count: usize) {
        self.head += count as u64;
        assert!(self.head <= self.fed, "only what was seen is consumed");
    }

    /// Whether it makes sense to look for more while records are under way: an answer may come.
    pub(super) fn wants_more(&self) -> bool {
        self.in_flight.is_none() || self.loss.is_some() || self.attention.is_waiting()
    }

    /// Whether there is something to commit at once.
    pub(super) fn has_waiting(&self) -> bool {
        self.in_flight.is_none() && (self.must_commit() || self.loss.is_some())
    }

    /// The connection is at its end, and all that came of it is committed and consumed.
    pub(super) fn is_done(&self) -> bool {
        self.closed.is_some()
            && self.in_flight.is_none()
            && self.known() == 0
            && !self.must_commit()
            && self.loss.is_none()
    }

    /// When the last event happened that was heard, microseconds since 1970.
    pub(super) fn heard_us(&self) -> Option<i64> {
        self.heard_us.map(NonZeroI64::get)
    }

    /// Why the connection is at its end.
    pub(super) fn closed(&self) -> Option<&CloseReason> {
        self.closed.as_deref()
    }

    /// Who it is, once it has said so; given once.
    pub(super) fn take_identity(&mut self) -> Option<Identity> {
        self.identity.take().map(|identity| *identity)
    }

    /// What QEMU said first.
    pub(super) fn greeting(&self) -> Option<&Greeting> {
        self.session.greeting()
    }

    /// The reason of the last SHUTDOWN that nothing followed; empty if it gave none.
    pub(super) fn shutdown(&self) -> Option<&str> {
        self.attention.shutdown()
    }

    /// There is a run from now on. These records come first.
    pub(super) fn begin(&mut self, first: Vec<Entry>) {
        let heard = mem::replace(&mut self.entries, first);
        self.entries.extend(heard);
        self.custody = Custody::Journal;
        self.attention.ask_state();
    }

    /// A record that is made of nothing that was heard. What comes after it is asked for.
    pub(super) fn note_gap(&mut self, gap: Entry) {
        self.entries.push(gap);
        self.attention.ask_state();
    }

    /// The whole state is to be asked for.
    pub(super) fn ask_state(&mut self) {
        self.attention.ask_state();
    }

    /// It takes too long to learn who it is: what was seen is to make room, before there is a run.
    pub(super) fn make_room(&mut self) {
        if self.custody == Custody::Socket {
            self.custody = Custody::Ours;
        }
    }

    /// Since when records are under way, if events are not let go already.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.in_flight
            .filter(|_| self.loss.is_none())
            .map(|in_flight| in_flight.since)
    }

    /// The journal takes nothing: from now on events are counted and let go, until it takes again. Gives the
    /// time from which on events may be missing if we are killed meanwhile, microseconds since 1970.
    pub(super) fn let_go(&mut self, now: Now) -> i64 {
        let since_us = self
            .in_flight
            .map_or(now.us, |in_flight| in_flight.since_us);
        self.loss
            .get_or_insert_with(|| Box::new(Loss::since(now.us)));
        since_us
    }

    /// Events are being let go.
    pub(super) fn is_letting_go(&self) -> bool {
        self.loss.is_some()
    }

    /// Gives memory back that is not needed until more comes.
    pub(super) fn rest(&mut self) {
        if self.in_flight.is_none() {
            self.session.release_memory();
        }
    }

    /// Hears what was taken in, and asks what there is to ask.
    fn listen(&mut self, now: Now) {
        self.hear(now);
        if self.session.state() != State::Ready {
            return;
        }
        let may_ask = self.may_ask();
        let answers = self
            .attention
            .proceed(&mut self.session, may_ask, now.instant);
        match answers {
            Some(Answers::Identity { name, uuid }) => {
                self.identity = Some(Box::new(Identity { name, uuid }));
            }
            Some(Answers::State(data)) => {
                self.entries.push(Entry::note(Note::State, data, now.us));
                // There may be something else to ask by now.
                let more = self
                    .attention
                    .proceed(&mut self.session, may_ask, now.instant);
                assert!(more.is_none(), "nothing is answered before it is sent");
            }
            None => {}
        }
    }

    /// Whether what is not known yet may be asked.
    fn may_ask(&self) -> bool {
        self.custody == Custody::Journal
            && self.loss.is_none()
            && self.session.state() == State::Ready
    }

    fn hear(&mut self, now: Now) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Ready => {}
                Output::Event(text) => match Entry::event(text, now.us) {
                    Ok(event) => {
                        self.is_broken_in = false;
                        self.heard_us = NonZeroI64::new(event.time_us());
                        self.attention.hear(&event);
                        match (&mut self.loss, event.event_name()) {
                            (Some(loss), Some(name)) => loss.add(name, now.us),
                            _ => self.entries.push(event),
                        }
                    }
                    Err(error) => {
                        let note = notes::stray(&error.to_string(), text, now.us);
                        self.entries.push(note);
                    }
                },
                Output::Reply { id, result } => {
                    self.is_broken_in = false;
                    // One that nobody waits for any more is nobody's business.
                    self.attention.hear_reply(id, result);
                }
                // The end of an answer whose beginning another recorder has read.
                Output::Stray(_) | Output::Garbage(_) if self.is_broken_in => {}
                Output::Stray(text) => {
                    let note = notes::stray("neither an event nor an answer", text, now.us);
                    self.entries.push(note);
                }
                Output::Garbage(garbage) => self.entries.push(notes::garbage(&garbage, now.us)),
                Output::Closed(reason) => self.closed = Some(Box::new(reason)),
            }
        }
    }

    /// The journal takes records again.
    fn end_loss(&mut self, now: Now) {
        if let Some(loss) = self.loss.take()
            && loss.count > 0
        {
            self.note_gap(notes::overflow(&loss));
            self.listen(now);
        }
    }

    /// Where the first byte stands that is in no record and no answer yet.
    fn cut(&self) -> u64 {
        match self.closed {
            Some(_) => self.fed,
            None => self.session.offset().max(self.head),
        }
    }

    /// Whether anything that was seen must be in the journal before more is consumed.
    fn must_commit(&self) -> bool {
        // Half an event that is whole by now must not be taken for the beginning of the next.
        let partial_is_old =
            self.memory.partial.is_some() && self.session.offset() != self.partial_at;
        !self.entries.is_empty() || partial_is_old || self.half_event_is_due()
    }

    fn half_event_is_due(&self) -> bool {
        let half = self.session.unfinished();
        self.half_is_due
            && self.known() > 0
            && self.closed.is_none()
            && !half.is_empty()
            && !is_answer(half)
    }

    fn half_answer_may_go(&self) -> bool {
        let half = self.session.unfinished();
        is_answer(half) && (self.half_is_due || half.len() >= HALF_ANSWER_MAX_BYTES)
    }

    /// What is to be remembered once the head stands at `end`; `None` if that is remembered already.
    fn next_memory(&mut self, end: u64) -> Option<Memory> {
        let mut memory = self.attention.memory();
        let half = self.session.unfinished();
        let consumed = usize::try_from(end.saturating_sub(self.session.offset()))
            .ok()
            .and_then(|length| half.get(..length))
            .filter(|half| !half.is_empty() && !is_answer(half));
        if let Some(half) = consumed.filter(|_| self.closed.is_none()) {
            memory.partial = Some(half.to_vec());
            self.partial_at = self.session.offset();
        }
        if memory == self.memory {
            return None;
        }
        self.memory.clone_from(&memory);
        Some(memory)
    }
}

/// Whether a message that begins so is an answer or a greeting.
fn is_answer(half: &[u8]) -> bool {
    const BEGINNINGS: [&[u8]; 4] = [b"{\"return\"", b"{\"error\"", b"{\"id\"", b"{\"QMP\""];
    BEGINNINGS
        .iter()
        .any(|beginning| half.starts_with(beginning))
}
