//! The thread that lets things happen in time.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::Fate;
use super::timeline::{Sequence, Timeline};

/// Plays a timeline to a machine, on a thread of its own. Time begins with [`Player::start`].
#[derive(Clone, Debug)]
pub struct Player {
    orders: Sender<Order>,
}

#[derive(Debug)]
enum Order {
    Start,
    /// Begin this so long from now.
    Add(Duration, Arc<Sequence>),
}

impl Player {
    /// A player for a machine to come; hand the rest to [`Waiting::play`].
    pub fn new(timeline: Timeline, speed: f64) -> (Self, Waiting) {
        let (orders, inbox) = mpsc::channel();
        let waiting = Waiting {
            timeline,
            speed,
            inbox,
        };
        (Self { orders }, waiting)
    }

    /// Time begins, if it has not.
    pub fn start(&self) {
        // A player that has ended has a machine that has ended.
        let _ = self.orders.send(Order::Start);
    }

    /// A sequence begins now.
    pub fn add(&self, sequence: Arc<Sequence>) {
        self.add_after(Duration::ZERO, sequence);
    }

    /// A sequence begins so long from now.
    pub fn add_after(&self, delay: Duration, sequence: Arc<Sequence>) {
        let _ = self.orders.send(Order::Add(delay, sequence));
    }
}

/// A player whose machine is not there yet.
#[derive(Debug)]
pub struct Waiting {
    timeline: Timeline,
    /// So many times faster than written.
    speed: f64,
    inbox: Receiver<Order>,
}

impl Waiting {
    /// Plays until the process ends or every [`Player`] is gone.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn play(mut self, fate: Fate) -> io::Result<()> {
        let thread = thread::Builder::new().name("player".to_owned());
        thread.spawn(move || {
            let clock = Instant::now();
            let mut begun = None;
            while let Some(order) = self.order(clock, begun) {
                let now = clock.elapsed();
                match order {
                    Some(Order::Start) if begun.is_none() => begun = Some(now),
                    Some(Order::Start) | None => {}
                    // What follows a command does so even before time begins.
                    Some(Order::Add(delay, sequence)) => {
                        let at = self.script_time(begun, now);
                        self.timeline.add(at + delay, sequence);
                        begun = begun.or(Some(now));
                    }
                }
                let at = self.script_time(begun, clock.elapsed());
                while let Some(deed) = begun.and_then(|_| self.timeline.pop_due(at)) {
                    fate.perform(&deed);
                }
            }
        })?;
        Ok(())
    }

    /// Waits for an order or for the next deed; `None` at the end.
    fn order(&self, clock: Instant, begun: Option<Duration>) -> Option<Option<Order>> {
        let next = self.timeline.next_at().zip(begun);
        let Some((next, begun)) = next else {
            return self.inbox.recv().ok().map(Some);
        };
        let due = begun + next.div_f64(self.speed);
        match self.inbox.recv_timeout(due.saturating_sub(clock.elapsed())) {
            Ok(order) => Some(Some(order)),
            Err(RecvTimeoutError::Timeout) => Some(None),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// The time of the script.
    fn script_time(&self, begun: Option<Duration>, now: Duration) -> Duration {
        let since = begun.map_or(Duration::ZERO, |begun| now.saturating_sub(begun));
        since.mul_f64(self.speed)
    }
}
