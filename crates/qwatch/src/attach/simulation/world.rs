//! A QEMU and a kernel's socket that exist in memory only, with a recorder that can be killed at every touch.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::attach::line::Wire;
use crate::attach::tail::Now;

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Below `sides`.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ z >> 31) % sides
    }

    pub(super) fn size(&mut self, below: u64) -> usize {
        usize::try_from(self.roll(below)).unwrap_or(0)
    }

    /// Once in so many times.
    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }
}

/// What outlives the recorder.
#[derive(Debug)]
pub(super) struct World {
    pub(super) dice: RefCell<Dice>,
    start: Instant,
    clock_us: Cell<i64>,
    /// What QEMU has written and the socket has no room for.
    unsent: RefCell<VecDeque<u8>>,
    /// What is in the socket.
    socket: RefCell<VecDeque<u8>>,
    room: usize,
    /// The edge: something has come since the last look that found nothing new.
    is_ready: Cell<bool>,
    is_closed: Cell<bool>,
    /// What the recorder has sent.
    commands: RefCell<String>,
    is_negotiated: Cell<bool>,
    /// Bytes of the answer to query-block.
    answer_bytes: usize,
    /// The number of the next event.
    next: Cell<u64>,
    /// How often the recorder may touch the world before it is killed.
    fuel: Cell<Option<u64>>,
    is_killed: Cell<bool>,
    /// The recorder has read something off this connection.
    pub(super) is_touched: Cell<bool>,
}

const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, \"major\": 10}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n";

impl World {
    pub(super) fn new(seed: u64) -> Rc<Self> {
        let mut dice = Dice::new(seed);
        // From less than a greeting to more than the largest answer.
        let room = [150, 400, 3_000, 40_000, 300_000][dice.size(5)];
        let answer_bytes = match dice.roll(16) {
            0 => 150_000,
            1..=3 => 20_000,
            4..=9 => 500,
            _ => 10,
        };
        let world = Self {
            dice: RefCell::new(dice),
            start: Instant::now(),
            clock_us: Cell::new(1_700_000_000_000_000),
            unsent: RefCell::default(),
            socket: RefCell::default(),
            room,
            is_ready: Cell::new(false),
            is_closed: Cell::new(false),
            commands: RefCell::default(),
            is_negotiated: Cell::new(false),
            answer_bytes,
            next: Cell::new(1),
            fuel: Cell::new(None),
            is_killed: Cell::new(false),
            is_touched: Cell::new(false),
        };
        world.write(GREETING);
        Rc::new(world)
    }

    pub(super) fn roll(&self, sides: u64) -> u64 {
        self.dice.borrow_mut().roll(sides)
    }

    pub(super) fn once_in(&self, times: u64) -> bool {
        self.dice.borrow_mut().once_in(times)
    }

    /// How many numbered events there were.
    pub(super) fn emitted(&self) -> u64 {
        self.next.get() - 1
    }

    /// QEMU emits some events, if it is to: none before it has been asked for its capabilities.
    pub(super) fn emit(&self) {
        if !self.is_negotiated.get() || self.is_closed.get() {
            return;
        }
        for _ in 0..=self.roll(12) {
            let n = self.next.get();
            self.next.set(n + 1);
            let name = ["NUMBER", "STOP", "RESUME", "SHUTDOWN", "NUMBER", "NUMBER"]
                [self.dice.borrow_mut().size(6)];
            let padding = "x".repeat(self.dice.borrow_mut().size(300));
            let end = if self.once_in(20) { "\n \r\n" } else { "\r\n" };
            self.write(&format!(
                "{{\"timestamp\": {{\"seconds\": {n}, \"microseconds\": 0}}, \"event\": \"{name}\", \"data\": {{\"n\": {n}, \"p\": \"{padding}\"}}}}{end}"
            ));
        }
    }

    /// QEMU answers the commands it has got.
    pub(super) fn answer(&self) {
        let commands = self.commands.take();
        for command in commands.lines() {
            let command: Value = serde_json::from_str(command).expect("whole commands");
            let id = &command["id"];
            let answer = match command["execute"].as_str() {
                Some("qmp_capabilities") if self.is_negotiated.replace(true) => {
                    "\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"negotiated already\"}"
                        .to_owned()
                }
                Some("query-name") => "\"return\": {\"name\": \"web\"}".to_owned(),
                Some("query-block") => format!(
                    "\"return\": [{{\"a\": 1}}, {{\"b\": {{}}}}, \"{}\"]",
                    "{\\\"event\\\": y} ".repeat(self.answer_bytes / 15)
                ),
                _ => "\"return\": {}".to_owned(),
            };
            self.write(&format!("{{{answer}, \"id\": {id}}}\r\n"));
        }
    }

    /// Moves some of what QEMU has written into the socket.
    pub(super) fn pump(&self, at_most: usize) {
        let mut socket = self.socket.borrow_mut();
        let mut unsent = self.unsent.borrow_mut();
        let room = self.room.saturating_sub(socket.len());
        let count = unsent.len().min(room).min(at_most);
        socket.extend(unsent.drain(..count));
        if count > 0 {
            self.is_ready.set(true);
        }
    }

    /// QEMU has exited.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.is_ready.set(true);
    }

    /// The connection is lost, with all that was in it; another one is made.
    pub(super) fn reconnect(&self) {
        self.unsent.borrow_mut().clear();
        self.socket.borrow_mut().clear();
        self.commands.borrow_mut().clear();
        self.is_negotiated.set(false);
        self.is_touched.set(false);
        self.write(GREETING);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.is_ready.get()
    }

    /// Nothing is left that QEMU has written, and the other side has written nothing.
    pub(super) fn is_quiet(&self) -> bool {
        self.unsent.borrow().is_empty() && self.commands.borrow().is_empty()
    }

    pub(super) fn kill_after(&self, touches: Option<u64>) {
        self.fuel.set(touches);
    }

    pub(super) fn is_killed(&self) -> bool {
        self.is_killed.get()
    }

    /// A new process.
    pub(super) fn restart(&self) {
        self.is_killed.set(false);
        self.fuel.set(None);
        // Whoever waits for a descriptor anew is told of what is there.
        self.is_ready.set(true);
    }

    pub(super) fn pass(&self, time: Duration) {
        let us = i64::try_from(time.as_micros()).expect("a short time");
        self.clock_us.set(self.clock_us.get() + us);
    }

    pub(super) fn clock_us(&self) -> i64 {
        self.clock_us.get()
    }

    fn write(&self, text: &str) {
        self.unsent.borrow_mut().extend(text.as_bytes());
    }

    /// False if the recorder was killed before it could do this.
    fn touch(&self) -> bool {
        match self.fuel.get() {
            Some(0) => self.is_killed.set(true),
            Some(fuel) => self.fuel.set(Some(fuel - 1)),
            None => {}
        }
        !self.is_killed.get()
    }

    fn show(&self, window: &mut [u8]) -> usize {
        let socket = self.socket.borrow();
        let count = socket.len().min(window.len());
        let (first, second) = socket.as_slices();
        let split = first.len().min(count);
        window[..split].copy_from_slice(&first[..split]);
        window[split..count].copy_from_slice(&second[..count - split]);
        count
    }
}

impl Wire for Rc<World> {
    fn now(&self) -> Now {
        self.clock_us.set(self.clock_us.get() + 1);
        let since = (self.clock_us.get() - 1_700_000_000_000_000).unsigned_abs();
        Now {
            instant: self.start + Duration::from_micros(since),
            us: self.clock_us.get(),
        }
    }

    fn peek(&self, window: &mut [u8], known: usize) -> io::Result<usize> {
        if !self.touch() || !self.is_ready.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.show(window);
        if count == 0 && self.is_closed.get() && self.unsent.borrow().is_empty() {
            return Ok(0);
        }
        if count <= known && count < window.len() {
            self.is_ready.set(false);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // A look may come while a message is being put there.
        let new = count - known;
        match self.once_in(3) {
            true if new > 1 => Ok(known + 1 + self.dice.borrow_mut().size(new as u64 - 1)),
            _ => Ok(count),
        }
    }

    fn look(&self, window: &mut [u8]) -> io::Result<usize> {
        if !self.touch() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match self.show(window) {
            0 if !self.is_closed.get() || !self.unsent.borrow().is_empty() => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            count => Ok(count),
        }
    }

    fn consume(&self, place: &mut [u8]) -> io::Result<()> {
        if place.is_empty() || !self.touch() {
            return Ok(());
        }
        self.is_touched.set(true);
        let mut socket = self.socket.borrow_mut();
        assert!(
            place.len() <= socket.len(),
            "only what is there is consumed"
        );
        socket.drain(..place.len());
        Ok(())
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.touch() {
            let text = std::str::from_utf8(bytes).expect("text");
            self.commands.borrow_mut().push_str(text);
        }
        Ok(bytes.len())
    }
}
