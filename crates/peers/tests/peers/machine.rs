//! The commands the clients use, as a QEMU 10.0 with nothing in it answers them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use qmp_events::vocabulary::{Powerdown, Resume, Shutdown, Stop};
use qmp_monitor::{CommandInfo, CommandTable, Object, generic_error};

pub(crate) fn commands() -> CommandTable {
    let running = Arc::new(AtomicBool::new(true));
    let [stopped, resumed] = [Arc::clone(&running), Arc::clone(&running)];
    CommandTable::new()
        .with("query-status", move |call| {
            call.arguments().finish()?;
            let running = running.load(Ordering::Relaxed);
            let status = if running { "running" } else { "paused" };
            Ok(Object::new()
                .with("running", running)
                .with("status", status)
                .into())
        })
        .with("stop", move |call| {
            call.arguments().finish()?;
            if stopped.swap(false, Ordering::Relaxed) {
                call.emit(Stop::default());
            }
            Ok(Object::new().into())
        })
        .with("cont", move |call| {
            call.arguments().finish()?;
            if !resumed.swap(true, Ordering::Relaxed) {
                call.emit(Resume::default());
            }
            Ok(Object::new().into())
        })
        .with("system_powerdown", |call| {
            call.arguments().finish()?;
            call.emit(Powerdown::default());
            Ok(Object::new().into())
        })
        .with("quit", |call| {
            call.arguments().finish()?;
            call.emit(Shutdown {
                guest: Some(false),
                reason: Some("host-qmp-quit".into()),
                ..Default::default()
            });
            call.emitter().close();
            Ok(Object::new().into())
        })
        .with_info(CommandInfo::new("migrate-pause").with_oob(), |call| {
            call.arguments().finish()?;
            Err(generic_error(
                "migrate-pause is currently only supported during postcopy-active or \
                 postcopy-recover state",
            ))
        })
}
