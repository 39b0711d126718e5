//! What emitting costs: `cargo bench -p qmp-monitor`.
//!
//! * `queued/…`: from a typed event to its bytes in the output of one client that is ready; writing to
//!   the socket is not in it.
//! * `held`: an event that the rate limiter keeps back.
//! * `delivered`: through the monitor's thread and a socket, into a client that reads, per event.
//! * At the end, what idle machines with a client each take of memory.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use qmp_events::Event;
use qmp_events::vocabulary::{
    BlockErrorAction, BlockIoError, IoOperationType, Stop, Watchdog, WatchdogAction,
};
use qmp_monitor::{Driver, Emitter, Monitor};

/// Events between two times that the output is emptied.
const ROUND: u64 = 1000;

/// Machines whose memory is measured.
const IDLE_MACHINES: usize = 1000;

criterion_group!(emitting, queued, held, delivered, memory);
criterion_main!(emitting);

/// A machine without a thread, and its only client, negotiated. As QEMU 9.1, which does not limit
/// BLOCK_IO_ERROR.
struct Scene {
    driver: Driver,
    emitter: Emitter,
    client: UnixStream,
}

impl Scene {
    fn new() -> Self {
        let (ours, client) = UnixStream::pair().expect("a pair of sockets");
        let builder = Monitor::builder().version("9.1").stream(ours);
        let (driver, emitter) = builder.build_driver().expect("a monitor");
        client.set_nonblocking(true).expect("an option");
        let mut scene = Self {
            driver,
            emitter,
            client,
        };
        scene.settle();
        (&scene.client)
            .write_all(b"{'execute': 'qmp_capabilities'}")
            .expect("room for a command");
        scene.settle();
        scene
    }

    /// Lets the driver write and the client read until both are idle.
    fn settle(&mut self) {
        let mut buffer = [0; 1 << 16];
        loop {
            self.driver.handle().expect("a working monitor");
            match self.client.read(&mut buffer) {
                Ok(bytes) if bytes > 0 => {}
                _ => return,
            }
        }
    }
}

fn io_error() -> Event<'static> {
    BlockIoError {
        qom_path: Some("/machine/peripheral/disk0/virtio-backend".into()),
        device: "".into(),
        node_name: Some("disk0".into()),
        operation: IoOperationType::Write,
        action: BlockErrorAction::Stop,
        nospace: Some(true),
        reason: Some("No space left on device".into()),
        ..BlockIoError::default()
    }
    .into()
}

fn queued(c: &mut Criterion) {
    let mut group = c.benchmark_group("queued");
    let mut scene = Scene::new();
    group.bench_function("STOP", |b| {
        b.iter_custom(|count| emit_in_rounds(&mut scene, count, || Stop::default().into()));
    });
    group.bench_function("BLOCK_IO_ERROR", |b| {
        b.iter_custom(|count| emit_in_rounds(&mut scene, count, io_error));
    });
    group.finish();
}

/// The time `count` events take to be queued, the output being emptied off the clock.
fn emit_in_rounds(scene: &mut Scene, count: u64, event: impl Fn() -> Event<'static>) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = count;
    while left > 0 {
        let round = left.min(ROUND);
        let begun = Instant::now();
        for _ in 0..round {
            scene.emitter.emit(event());
        }
        spent += begun.elapsed();
        scene.settle();
        left -= round;
    }
    spent
}

fn held(c: &mut Criterion) {
    let scene = Scene::new();
    c.bench_function("held", |b| {
        b.iter(|| {
            scene.emitter.emit(Watchdog {
                action: WatchdogAction::Pause,
                ..Watchdog::default()
            });
        });
    });
}

fn delivered(c: &mut Criterion) {
    let (ours, client) = UnixStream::pair().expect("a pair of sockets");
    let monitor = Monitor::builder().version("10.0").stream(ours);
    let monitor = monitor.build().expect("a monitor");
    let mut lines = BufReader::with_capacity(1 << 16, client.try_clone().expect("a descriptor"));
    let mut line = String::new();
    (&client)
        .write_all(b"{'execute': 'qmp_capabilities'}")
        .expect("room for a command");
    for _ in 0..2 {
        lines.read_line(&mut line).expect("a line");
    }
    c.bench_function("delivered", |b| {
        b.iter_custom(|count| {
            let begun = Instant::now();
            let emitter = monitor.emitter();
            let sender = std::thread::spawn(move || {
                for _ in 0..count {
                    emitter.emit(Stop::default());
                }
            });
            for _ in 0..count {
                line.clear();
                lines.read_line(&mut line).expect("a line");
            }
            let spent = begun.elapsed();
            sender.join().expect("a sender");
            spent
        });
    });
}

/// Not a time: printed once.
#[expect(clippy::print_stdout, reason = "the figures of a benchmark go there")]
fn memory(_: &mut Criterion) {
    let before = resident_bytes();
    let scenes: Vec<Scene> = (0..IDLE_MACHINES).map(|_| Scene::new()).collect();
    let each = resident_bytes().saturating_sub(before) / IDLE_MACHINES;
    println!(
        "memory: {each} bytes resident per idle machine with one client, over {IDLE_MACHINES}"
    );
    drop(scenes);
}

/// Of this process: `VmRSS`, which is in KiB.
fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}
