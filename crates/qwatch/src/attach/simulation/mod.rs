//! The recorder killed at every moment, with a QEMU, a kernel and a journal that exist in memory only. What is
//! tested is real: [`Line`], [`Tail`](super::tail::Tail) and all they use.
//!
//! `QWATCH_SIMULATION_SEED` plays one seed, `QWATCH_SIMULATION_SEEDS` so many.

mod book;
mod world;

use std::rc::Rc;
use std::time::Duration;

use qmp_protocol::{ClientSession, SessionOptions};

use self::book::{Book, JournalBook, MemoryBook, Written};
use self::world::World;
use super::line::{Line, Look, Wire};
use super::notes;
use super::tail::{Portion, Tail};
use crate::journal::{Connected, ConnectionId, Entry, Memory, Note};

/// A recorder at work.
struct Process {
    id: ConnectionId,
    line: Line<Rc<World>>,
    is_recording: bool,
    new: Option<Box<Connected>>,
    /// What the journal has been given and has not committed.
    pending: Option<Portion>,
}

/// A whole story.
struct Story<B> {
    world: Rc<World>,
    book: B,
    /// The id of the connection, and since when its name says that events are let go.
    kept: Option<(ConnectionId, Option<i64>)>,
    process: Option<Process>,
    /// This seed lets events go.
    lets_go: bool,
    kills: u64,
}

impl<B: Book> Story<B> {
    fn new(seed: u64, book: B) -> Self {
        let world = World::new(seed);
        let lets_go = world.once_in(3);
        Self {
            world,
            book,
            kept: None,
            process: None,
            lets_go,
            kills: 0,
        }
    }

    fn play(&mut self) {
        for _ in 0..150 {
            self.step();
            self.mourn();
        }
        self.world.kill_after(None);
        if self.world.once_in(2) {
            self.world.close();
        }
        self.finish();
        self.check();
    }

    fn step(&mut self) {
        let world = Rc::clone(&self.world);
        match world.roll(12) {
            0..=2 => world.emit(),
            3 | 4 => world.answer(),
            5 | 6 => {
                let at_most = world.dice.borrow_mut().size(600);
                world.pump(at_most);
            }
            7 => world.pump(usize::MAX),
            8 if world.once_in(3) => world.kill_after(Some(world.roll(8))),
            9 => world.pass(Duration::from_millis(world.roll(1_500))),
            10 if self.lets_go && world.once_in(3) => self.let_go(),
            _ => drop(self.act()),
        }
    }

    /// The recorder does what it would do next; false if that is nothing.
    fn act(&mut self) -> bool {
        let world = Rc::clone(&self.world);
        let Some(process) = &mut self.process else {
            // A book needs the first connection's id to be opened, too.
            self.kept.get_or_insert((ConnectionId::random(), None));
            self.start();
            return true;
        };
        if !process.is_recording {
            self.identify();
            return true;
        }
        if process.pending.is_some() && !world.once_in(4) {
            self.commit();
        } else if world.is_ready() && process.line.wants_to_read() {
            let closed = world.is_closed() && world.is_quiet();
            let portion = process.line.turn(Look::New { closed });
            self.append(portion);
        } else if self.is_time() {
            let process = self.process.as_mut().expect("it lives");
            let portion = process.line.handle_timeout();
            self.append(portion);
            assert!(!self.is_time() || world.is_killed(), "it would spin");
        } else {
            return false;
        }
        true
    }

    fn is_time(&self) -> bool {
        let now = self.world.now().instant;
        let process = self.process.as_ref();
        let deadline = process.and_then(|process| process.line.tail.poll_timeout());
        deadline.is_some_and(|deadline| deadline <= now)
    }

    fn append(&mut self, portion: Option<Portion>) {
        if let (Some(portion), Some(process)) = (portion, &mut self.process)
            && !self.world.is_killed()
        {
            assert!(process.pending.is_none(), "one at a time");
            process.pending = Some(portion);
        }
    }

    fn commit(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        if let Some(portion) = process.pending.take() {
            let (entries, mark) = portion.into_mark(process.id, process.new.take());
            self.book.commit(entries, mark);
            if !process.line.tail.is_letting_go() {
                self.kept = Some((process.id, None));
            }
            let portion = process.line.committed();
            self.append(portion);
        }
    }

    /// Patience is over.
    fn let_go(&mut self) {
        if let Some(process) = &mut self.process
            && process.pending.is_some()
            && !process.line.tail.is_letting_go()
        {
            let since_us = process.line.tail.let_go(self.world.now());
            self.kept = Some((process.id, Some(since_us)));
            let portion = process.line.turn(Look::Again);
            assert!(portion.is_none(), "something is under way");
        }
    }

    fn start(&mut self) {
        self.world.restart();
        let known = self.kept.and_then(|(id, _)| self.book.recover(id));
        let first_id = self.world.clock_us().unsigned_abs();
        // No process starts in less.
        self.world.pass(Duration::from_millis(1));
        let wire = Rc::clone(&self.world);
        if let (Some(known), Some((id, drained_since_us))) = (known, self.kept) {
            let mut line = Line::resume(wire, &known, first_id, drained_since_us.is_some());
            if let Some(since_us) = drained_since_us {
                let gap = notes::overflow_unknown(since_us, self.world.clock_us());
                line.tail.note_gap(gap);
            }
            let portion = line.handle_timeout();
            self.process = Some(Process {
                id,
                line,
                is_recording: true,
                new: None,
                pending: None,
            });
            self.append(portion);
            return;
        }
        if self.world.is_touched.get() {
            // It had to make room before there was a run: the connection is of no use.
            self.world.reconnect();
        }
        let now = self.world.now().instant;
        let options = SessionOptions {
            greeting_timeout: Duration::from_secs(1_000_000),
            ..SessionOptions::default()
        };
        let session = ClientSession::take_over(options, now, first_id);
        let id = ConnectionId::random();
        self.kept = Some((id, None));
        self.process = Some(Process {
            id,
            line: Line::new(wire, Tail::new(id, session)),
            is_recording: false,
            new: None,
            pending: None,
        });
    }

    /// As `Beginning` does it.
    fn identify(&mut self) {
        let time_for_room = self.world.once_in(20);
        let is_time = self.is_time();
        let Some(process) = &mut self.process else {
            return;
        };
        let line = &mut process.line;
        if let Some(identity) = line.tail.take_identity() {
            let attached = Entry::note(Note::Attached, "{}".to_owned(), self.world.clock_us());
            line.tail.begin(vec![attached]);
            process.new = Some(Box::new(Connected {
                id: process.id,
                claimed: identity.name.unwrap_or_default(),
                greeting: line.tail.greeting().expect("greeted").to_json(),
                oob: false,
                dialled_in: true,
                memory: Memory::default(),
            }));
            process.is_recording = true;
            let portion = line.handle_timeout();
            self.append(portion);
        } else if time_for_room || is_time {
            line.tail.make_room();
            line.handle_timeout();
            assert!(!self.is_time() || self.world.is_killed(), "it would spin");
        } else if self.world.is_ready() && line.wants_to_read() {
            line.turn(Look::New { closed: false });
        } else {
            line.flush();
        }
    }

    fn mourn(&mut self) {
        if self.world.is_killed() {
            self.process = None;
            self.kills += 1;
            self.world.restart();
        }
    }

    /// No more faults: everything must come to its end by itself.
    fn finish(&mut self) {
        for _ in 0..20_000 {
            self.world.answer();
            self.world.pump(usize::MAX);
            let acted = self.act();
            if !acted && self.world.is_quiet() && self.is_settled() {
                return;
            }
            if !acted {
                self.world.pass(Duration::from_millis(100));
            }
        }
        let line = self.process.as_ref().map(|process| &process.line);
        let line: String = format!("{line:?}").chars().take(4_000).collect();
        panic!("it never comes to rest: {line}");
    }

    fn is_settled(&self) -> bool {
        self.process.as_ref().is_some_and(|process| {
            let tail = &process.line.tail;
            process.is_recording
                && process.pending.is_none()
                && tail.known() == 0
                && tail.poll_timeout().is_none()
                && !self.world.is_ready()
                || tail.is_done()
        })
    }

    /// Every event is there once and in order, or a gap says that it is not.
    fn check(&mut self) {
        let mut last = 0;
        let mut excuse: Option<Option<u64>> = None;
        let mut is_state_due = true;
        for written in self.book.read() {
            match written {
                Written::Number(n) => {
                    assert!(n > last, "{n} comes after {last}");
                    match (n - last - 1, excuse.take()) {
                        (0, _) | (_, Some(None)) => {}
                        (missing, Some(Some(counted))) => assert_eq!(missing, counted),
                        (_, None) => {
                            panic!("between {last} and {n} there is neither event nor gap")
                        }
                    }
                    last = n;
                }
                Written::Gap(count) => {
                    is_state_due = true;
                    // Two gaps in a row: what one knows, the other does not.
                    excuse = Some(match excuse {
                        Some(before) => before.zip(count).map(|(a, b)| a + b),
                        None => count,
                    });
                }
                Written::Attached => excuse = Some(None),
                Written::State => is_state_due = false,
                Written::Garbage(data) => panic!("no garbage was sent: {data}"),
            }
        }
        let missing = self.world.emitted() - last;
        let excused = match excuse {
            Some(None) => true,
            Some(Some(count)) => count == missing,
            None => missing == 0,
        };
        assert!(excused, "the last {missing} are missing");
        let is_closed = self.world.is_closed();
        assert!(!is_state_due || is_closed, "the state was not asked for");
    }
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Plays the seeds, and names the one that fails.
fn play<B: Book>(seeds: u64, mut book: impl FnMut() -> B) {
    let only = number_of("QWATCH_SIMULATION_SEED");
    let seeds = match only {
        Some(seed) => seed..seed + 1,
        None => 0..number_of("QWATCH_SIMULATION_SEEDS").unwrap_or(seeds),
    };
    let (mut kills, mut events) = (0, 0);
    for seed in seeds {
        let named = Named(seed);
        let mut story = Story::new(seed, book());
        story.play();
        kills += story.kills;
        events += story.world.emitted();
        drop(named);
    }
    println!("{events} events, {kills} kills");
    assert!(only.is_some() || kills > 0 && events > 0);
}

/// Says which seed it was, if the test fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was seed {0}: QWATCH_SIMULATION_SEED={0}", self.0);
        }
    }
}

#[test]
fn killed_at_any_moment_nothing_is_lost_and_nothing_twice() {
    play(3_000, MemoryBook::default);
}

#[test]
fn killed_at_any_moment_with_a_journal_on_disk() {
    play(25, JournalBook::new);
}
