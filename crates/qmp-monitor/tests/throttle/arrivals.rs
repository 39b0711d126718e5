//! What arrives at two clients, and when.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// No answer within this is no answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Real,
    Ours,
}

/// A message, or the end of the connection.
pub(crate) struct Arrival {
    pub(crate) at: At,
    pub(crate) when: Instant,
    pub(crate) message: Option<Value>,
}

/// Both clients.
pub(crate) struct Arrivals {
    streams: [UnixStream; 2],
    queue: Receiver<Arrival>,
    /// Events and ends, in the order they came.
    pub(crate) heard: Vec<Arrival>,
    replies: [usize; 2],
}

impl Arrivals {
    /// Connects to both, and waits for both greetings.
    pub(crate) fn connect(real: &Path, ours: &Path) -> Self {
        let (sender, queue) = mpsc::channel();
        let streams = [(At::Real, real), (At::Ours, ours)].map(|(at, path)| {
            let stream = UnixStream::connect(path).expect("a listening monitor");
            let copy = stream.try_clone().expect("a descriptor");
            let sender = sender.clone();
            thread::spawn(move || listen(at, copy, &sender));
            stream
        });
        let mut arrivals = Self {
            streams,
            queue,
            heard: Vec::new(),
            replies: [0, 0],
        };
        arrivals.wait_for_replies(1);
        arrivals
    }

    /// Negotiates with both, and waits for both answers.
    pub(crate) fn negotiate(&mut self) {
        for stream in &mut self.streams {
            stream
                .write_all(b"{\"execute\": \"qmp_capabilities\"}")
                .expect("a listening monitor");
        }
        self.wait_for_replies(2);
    }

    /// Takes what arrives until then.
    pub(crate) fn listen_until(&mut self, end: Instant) {
        while let Ok(arrival) = self
            .queue
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            self.take(arrival);
        }
    }

    /// Takes what arrives until both connections ended.
    pub(crate) fn listen_to_the_end(&mut self) {
        while self
            .heard
            .iter()
            .filter(|arrival| arrival.message.is_none())
            .count()
            < 2
        {
            let arrival = self
                .queue
                .recv_timeout(PATIENCE)
                .expect("the end of both connections");
            self.take(arrival);
        }
    }

    fn wait_for_replies(&mut self, count: usize) {
        while self.replies.iter().any(|replies| *replies < count) {
            let arrival = self
                .queue
                .recv_timeout(PATIENCE)
                .expect("a greeting or an answer");
            self.take(arrival);
        }
    }

    fn take(&mut self, arrival: Arrival) {
        let reply = arrival
            .message
            .as_ref()
            .is_some_and(|message| message.get("event").is_none());
        match (reply, arrival.at) {
            (true, At::Real) => self.replies[0] += 1,
            (true, At::Ours) => self.replies[1] += 1,
            (false, _) => self.heard.push(arrival),
        }
    }
}

/// Ends with the connection.
fn listen(at: At, stream: UnixStream, sender: &Sender<Arrival>) {
    for line in BufReader::new(stream).lines() {
        let when = Instant::now();
        let message = line.ok().and_then(|line| serde_json::from_str(&line).ok());
        // Nobody listens any more once the run is over.
        if message.is_none() || sender.send(Arrival { at, when, message }).is_err() {
            break;
        }
    }
    let _ = sender.send(Arrival {
        at,
        when: Instant::now(),
        message: None,
    });
}
