//! A virtual machine monitor in miniature: it runs or it does not, and says so over QMP.
//!
//! `cargo run --example vmm -- /tmp/vmm.sock 7.2`, then connect with any QMP client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use qmp_events::vocabulary::{Resume, Shutdown, ShutdownCause, Stop};
use qmp_monitor::{CommandTable, Monitor, Object};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: vmm SOCKET [VERSION]")?;
    let version = arguments.next().unwrap_or_else(|| "10.0.2".to_owned());

    let running = Arc::new(AtomicBool::new(false));
    let (asked, stopped, resumed) = (Arc::clone(&running), Arc::clone(&running), running);
    let commands = CommandTable::new()
        .with("query-status", move |call| {
            call.arguments().finish()?;
            let running = asked.load(Ordering::SeqCst);
            let status = if running { "running" } else { "paused" };
            Ok(Object::new()
                .with("running", running)
                .with("status", status)
                .into())
        })
        .with("stop", move |call| {
            call.arguments().finish()?;
            if stopped.swap(false, Ordering::SeqCst) {
                call.emit(Stop::default());
            }
            Ok(Object::new().into())
        })
        .with("cont", move |call| {
            call.arguments().finish()?;
            if !resumed.swap(true, Ordering::SeqCst) {
                call.emit(Resume::default());
            }
            Ok(Object::new().into())
        })
        .with("quit", |call| {
            call.arguments().finish()?;
            call.emit(Shutdown {
                guest: Some(false),
                reason: Some(ShutdownCause::HostQmpQuit),
                ..Shutdown::default()
            });
            call.emitter().close();
            Ok(Object::new().into())
        });

    let monitor = Monitor::builder()
        .version(&version)
        .name("vmm")
        .commands(commands);
    Ok(monitor.listen_unix(path).build()?.wait()?)
}
