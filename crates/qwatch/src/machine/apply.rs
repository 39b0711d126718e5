//! The fold over QEMU's events.

use qmp_events::Event;
use qmp_events::vocabulary::{GuestPanicAction, GuestPanicked};

use super::fact::{Fact, Mark};
use super::jobs::Progress;
use super::migration::Migration;
use super::run::{Effect, Pause, RunState, Turn, push_bounded};
use super::{Panic, State, panic, rules};
use crate::limits::{LEAD_WINDOW_US, MOMENT_US, STATE_PAUSES_MAX, TURN_LEADS_MAX};
use crate::record::Record;

impl State {
    pub(super) fn apply_event(&mut self, record: &Record) {
        self.heard = true;
        self.events = self.events.saturating_add(1);
        self.last_event = Some(Mark::bare(record));
        if rules::may_lead(&record.name) {
            self.lead(Fact::of(record));
        }
        // What is not JSON, or not in a known shape, tells nothing.
        let Ok(event) = Event::from_json(record.name.as_str(), record.data.as_deref()) else {
            return;
        };
        self.apply_run(&event, record);
        self.apply_job(&event, record);
        self.apply_disk(&event, record);
        self.apply_screen(&event, record);
        self.apply_other(&event, record);
    }

    fn apply_run(&mut self, event: &Event<'_>, record: &Record) {
        match event {
            Event::Stop(_) => self.stopped(record),
            Event::Resume(_) => self.resumed(record),
            Event::Suspend(_) => {
                self.turned(RunState::Suspended, Effect::Sleep, Fact::of(record));
            }
            Event::Wakeup(_) => self.turned(RunState::Running, Effect::Run, Fact::of(record)),
            Event::Reset(_) => self.was_reset(record),
            Event::Shutdown(_) => {
                self.turned(RunState::ShutDown, Effect::Shutdown, Fact::of(record));
                self.shutdown = self.turn.clone();
            }
            Event::GuestPanicked(panicked) => self.panicked(panicked, record),
            Event::GuestCrashloaded(_) => {
                if let Some(panic) = &mut self.panic {
                    panic.crash_kernel = true;
                }
            }
            _ => {}
        }
    }

    /// STOP. What a panic or a shutdown has begun stays what it is.
    fn stopped(&mut self, record: &Record) {
        let state = match self.run {
            kept @ (RunState::Panicked | RunState::ShutDown) => kept,
            _ => RunState::Paused,
        };
        self.was_asleep = self.run == RunState::Suspended;
        self.turned(state, Effect::Stop, Fact::of(record));
    }

    fn resumed(&mut self, record: &Record) {
        self.resumed_us = Some(record.time_us());
        if self.run == RunState::Running {
            self.told = true;
            return;
        }
        let mut fact = Fact::of(record).with(
            "before",
            self.waits_for.as_deref().unwrap_or(self.run.word()),
        );
        if let Some(turn) = self.turn.take_if(|turn| turn.effect == Effect::Stop) {
            let length = fact.mark.time_us.saturating_sub(turn.time_us());
            // Where the stop was missed, nobody knows how long it lasted.
            if turn.what.is("STOP") && (0..=MOMENT_US).contains(&length) {
                fact = fact.with("moment", "true");
            }
            self.paused = self.paused.saturating_add(1);
            let end = fact.mark.clone();
            push_bounded(
                &mut self.pauses,
                Pause { stop: turn, end },
                STATE_PAUSES_MAX,
            );
        }
        let (state, effect) = match std::mem::take(&mut self.was_asleep) {
            true => (RunState::Suspended, Effect::Sleep),
            false => (RunState::Running, Effect::Run),
        };
        self.shutdown = None;
        self.turned(state, effect, fact);
    }

    /// RESET. It ends sleep; a machine that stands still goes on standing, but for another reason.
    fn was_reset(&mut self, record: &Record) {
        let fact = Fact::of(record);
        self.reset = Some(Turn::new(Effect::Reset, fact.clone(), self.leads.clone()));
        self.shutdown = None;
        match self.run {
            RunState::Suspended => self.turned(RunState::Running, Effect::Run, fact),
            RunState::Paused | RunState::Panicked | RunState::ShutDown => {
                self.turned(RunState::Paused, Effect::Stop, fact);
            }
            _ => {}
        }
    }

    fn panicked(&mut self, event: &GuestPanicked<'_>, record: &Record) {
        self.panic = Some(Panic {
            mark: Mark::of(record),
            action: super::text::clipped(event.action.as_str()),
            told: event.info.as_ref().map(panic::decoded).unwrap_or_default(),
            crash_kernel: false,
        });
        if event.action != GuestPanicAction::Run {
            self.turned(RunState::Panicked, Effect::Stop, Fact::of(record));
        }
    }

    /// The machine does something else from here on.
    pub(super) fn turned(&mut self, state: RunState, effect: Effect, what: Fact) {
        let mark = what.mark.clone();
        let mut leads = std::mem::take(&mut self.leads);
        let goes_on = matches!(effect, Effect::Stop | Effect::Shutdown | Effect::End);
        if let Some(old) = self
            .turn
            .take_if(|old| goes_on && matches!(old.effect, Effect::Stop | Effect::Shutdown))
        {
            // One thing leads to the next: panic, stop, shutdown, end.
            leads.extend(old.leads);
            leads.push(old.what);
            leads.sort_by_key(|lead| (lead.mark.received_us, lead.mark.seq));
            leads.dedup();
            let surplus = leads.len().saturating_sub(TURN_LEADS_MAX);
            leads.drain(..surplus);
        }
        self.turn = Some(Turn::new(effect, what, leads));
        self.told = true;
        self.become_at(state, &mark);
        if state != RunState::Waiting {
            self.waits_for = None;
        }
    }

    pub(super) fn become_at(&mut self, state: RunState, mark: &Mark) {
        if self.run != state || self.since.is_none() {
            self.run = state;
            self.since = Some(mark.clone());
        }
    }

    /// An event that may lead to something, or, held back by QEMU's rate limit, has led to it.
    fn lead(&mut self, lead: Fact) {
        let at_us = lead.mark.time_us;
        if let Some(reset) = &mut self.reset
            && (0..=LEAD_WINDOW_US).contains(&reset.time_us().saturating_sub(at_us))
        {
            reset.lead(lead.clone());
        }
        let is_old = self.resumed_us.is_some_and(|resumed| at_us <= resumed);
        match (&mut self.turn, self.pauses.last_mut()) {
            (_, Some(pause)) if is_old => pause.stop.lead(lead),
            (Some(turn), _) if turn.effect == Effect::Stop => {
                turn.lead(lead.clone());
                self.remember(lead);
            }
            _ => self.remember(lead),
        }
    }

    fn remember(&mut self, lead: Fact) {
        push_bounded(&mut self.leads, lead, TURN_LEADS_MAX);
    }

    fn apply_job(&mut self, event: &Event<'_>, record: &Record) {
        let jobs = &mut self.jobs;
        let mark = || Mark::of(record);
        macro_rules! progress {
            ($of:expr) => {
                &Progress {
                    kind: $of.r#type.as_str(),
                    offset: $of.offset,
                    len: $of.len,
                }
            };
        }
        match event {
            Event::JobStatusChange(job) => jobs.status(&job.id, &job.status, &mark()),
            Event::BlockJobReady(job) => jobs.ready(&job.device, progress!(job), &mark()),
            Event::BlockJobPending(job) => jobs.pending(&job.id, job.r#type.as_str(), &mark()),
            Event::BlockJobError(job) => jobs.error(&job.device, &job.action, &mark()),
            Event::BlockJobCompleted(job) => {
                let error = job.error.as_deref();
                jobs.completed(&job.device, progress!(job), error, &mark());
            }
            Event::BlockJobCancelled(job) => jobs.cancelled(&job.device, progress!(job), &mark()),
            _ => {}
        }
    }

    fn apply_disk(&mut self, event: &Event<'_>, record: &Record) {
        let disks = &mut self.disks;
        match event {
            Event::BlockIoError(error) => disks.failed(error, &Mark::of(record)),
            Event::BlockImageCorrupted(found) => disks.corrupted(found, &Mark::of(record)),
            Event::BlockWriteThreshold(passed) => disks.passed(passed, &Mark::of(record)),
            Event::DeviceTrayMoved(moved) => {
                let qdev = moved.id.as_deref().unwrap_or_default();
                disks.tray(&moved.device, qdev, moved.tray_open);
            }
            _ => {}
        }
    }

    fn apply_screen(&mut self, event: &Event<'_>, record: &Record) {
        let screens = &mut self.screens;
        let mark = || Mark::of(record);
        match event {
            Event::VncConnected(vnc) => {
                let auth = vnc.server.auth.as_deref();
                screens.vnc_connected(&vnc.client.host, &vnc.client.service, auth, &mark());
            }
            Event::VncInitialized(vnc) => {
                screens.vnc_initialized(&vnc.client, vnc.server.auth.as_deref(), &mark());
            }
            Event::VncDisconnected(vnc) => {
                screens.vnc_disconnected(&vnc.client.host, &vnc.client.service, &mark());
            }
            Event::SpiceInitialized(spice) => {
                screens.spice_initialized(&spice.client, spice.server.auth.as_deref(), &mark());
            }
            Event::SpiceDisconnected(spice) => {
                screens.spice_disconnected(&spice.client.host, &spice.client.port, &mark());
            }
            _ => {}
        }
    }

    fn apply_other(&mut self, event: &Event<'_>, record: &Record) {
        let mark = || Mark::of(record);
        let devices = &mut self.devices;
        match event {
            Event::Migration(migration) => {
                let comes = self.run == RunState::Waiting || self.run == RunState::Unknown;
                Migration::status(&mut self.migration, &migration.status, comes, &mark());
            }
            Event::MigrationPass(pass) => {
                Migration::pass(&mut self.migration, pass.pass, &mark());
            }
            Event::DeviceDeleted(gone) => {
                devices.removed(gone.device.as_deref(), &gone.path, &mark());
            }
            Event::DeviceUnplugGuestError(refused) => {
                devices.refused(refused.device.as_deref(), &refused.path, &mark());
            }
            Event::MemUnplugError(refused) => {
                devices.refused(Some(&refused.device), &refused.msg, &mark());
            }
            Event::AcpiDeviceOst(report) => devices.reported(&report.info, &mark()),
            Event::VserportChange(port) => devices.port(&port.id, port.open, &mark()),
            Event::NetdevStreamConnected(net) => devices.netdev(&net.netdev_id, true, &mark()),
            Event::NetdevStreamDisconnected(net) => devices.netdev(&net.netdev_id, false, &mark()),
            Event::NetdevVhostUserConnected(net) => devices.netdev(&net.netdev_id, true, &mark()),
            Event::NetdevVhostUserDisconnected(net) => {
                devices.netdev(&net.netdev_id, false, &mark());
            }
            Event::BalloonChange(balloon) => {
                self.memory.balloon = u64::try_from(balloon.actual).ok();
            }
            Event::HvBalloonStatusReport(report) => {
                self.memory.hyper_v = Some((report.committed, report.available));
            }
            Event::MemoryDeviceSizeChange(device) => {
                let name = device.id.as_deref().or(device.qom_path.as_deref());
                self.memory.size(name.unwrap_or_default(), device.size);
            }
            Event::MemoryFailure(_) => self.memory.failed(&mark()),
            Event::RtcChange(clock) => self.rtc = Some((clock.offset, mark())),
            _ => {}
        }
    }
}
