//! Emulated machines that emit numbers, on our own monitor.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qmp_monitor::{Builder, Closed, Monitor, Observer, SessionId};

use super::numbers;

/// Unread output of so many bytes is held for a client; more than any test here sends at once.
const OUTPUT_LIMIT_BYTES: usize = 1 << 30;

/// A machine that counts aloud.
pub(crate) struct Sender {
    monitor: Monitor,
    seen: Arc<Seen>,
    stamps_us: Mutex<Vec<i64>>,
}

/// What the monitor saw of its clients.
#[derive(Default)]
struct Seen {
    connected: AtomicUsize,
    ready: AtomicUsize,
    gone: AtomicUsize,
}

impl Sender {
    /// It dials the recorder.
    pub(crate) fn dialling(name: &'static str, socket: &Path) -> Self {
        Self::build(name, |builder| {
            builder.dial_unix(socket, Duration::from_millis(5))
        })
    }

    /// The recorder dials it, over TCP; the address is as the recorder wants it.
    pub(crate) fn on_tcp(name: &'static str) -> (Self, String) {
        let any = "127.0.0.1:0".parse().expect("an address");
        let sender = Self::build(name, |builder| builder.listen_tcp(any));
        let address = format!("tcp:{}", sender.monitor.tcp_addresses()[0]);
        (sender, address)
    }

    fn build(name: &'static str, place: impl FnOnce(Builder) -> Builder) -> Self {
        let seen = Arc::new(Seen::default());
        let builder = Monitor::builder()
            .version("10.0.2")
            .name(name)
            .output_limit(OUTPUT_LIMIT_BYTES)
            .observer(Watching(Arc::clone(&seen)));
        Self {
            monitor: place(builder).build().expect("a monitor"),
            seen,
            stamps_us: Mutex::default(),
        }
    }

    /// So many more numbers are emitted, as fast as it goes.
    pub(crate) fn send(&self, count: u64) {
        let emitter = self.monitor.emitter();
        let mut stamps_us = self.stamps_us.lock().expect("no panic");
        for _ in 0..count {
            let (text, stamp_us) = numbers::event(stamps_us.len() as u64 + 1);
            emitter.emit_unlimited(&text).expect("an event");
            stamps_us.push(stamp_us);
        }
    }

    /// When each number was emitted.
    pub(crate) fn stamps_us(&self) -> Vec<i64> {
        self.stamps_us.lock().expect("no panic").clone()
    }

    /// Clients that connected, negotiated, went.
    pub(crate) fn sessions(&self) -> (usize, usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        (
            count(&self.seen.connected),
            count(&self.seen.ready),
            count(&self.seen.gone),
        )
    }
}

struct Watching(Arc<Seen>);

impl Observer for Watching {
    fn client_connected(&mut self, _client: SessionId) {
        self.0.connected.fetch_add(1, Ordering::Relaxed);
    }

    fn client_ready(&mut self, _client: SessionId) {
        self.0.ready.fetch_add(1, Ordering::Relaxed);
    }

    fn client_gone(&mut self, _client: SessionId, _why: &Closed) {
        self.0.gone.fetch_add(1, Ordering::Relaxed);
    }
}
