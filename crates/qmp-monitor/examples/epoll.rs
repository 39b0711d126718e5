//! A monitor inside an event loop of the embedder's own: no thread, no async runtime.
//!
//! `cargo run --example epoll -- /tmp/vmm.sock`, then connect with any QMP client. What a VMM has besides
//! (vCPU exits, devices) stands here as a timer that ticks every second.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use qmp_events::vocabulary::RtcChange;
use qmp_monitor::{CommandTable, Monitor, Object};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: epoll SOCKET")?;
    let commands = CommandTable::new().with("quit", |call| {
        call.arguments().finish()?;
        call.emitter().close();
        Ok(Object::new().into())
    });
    let monitor = Monitor::builder().name("vmm").commands(commands);
    let (mut monitor, emitter) = monitor.listen_unix(path).build_driver()?;

    // The loop's own set; the monitor is one descriptor in it, whatever number of clients it has.
    let set = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&set, monitor.as_fd(), EventData::new_u64(0), EventFlags::IN)?;
    let mut ready = Vec::with_capacity(8);
    let (mut tick, mut ticks) = (Instant::now(), 0);
    loop {
        let due = monitor.deadline().map_or(tick, |due| due.min(tick));
        let timeout = due.saturating_duration_since(Instant::now()).try_into()?;
        ready.clear();
        match epoll::wait(&set, spare_capacity(&mut ready), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if tick <= Instant::now() {
            tick += Duration::from_secs(1);
            ticks += 1;
            emitter.emit(RtcChange {
                offset: ticks,
                ..RtcChange::default()
            });
        }
        // Cheap when there is nothing to do: it looks at its own descriptors and never blocks.
        if !monitor.handle()? {
            return Ok(());
        }
    }
}
