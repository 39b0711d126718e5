//! The fold over the recorder's own notes.

use serde_json::Value;

use super::disks::Disks;
use super::fact::{Fact, Mark, Unheard};
use super::migration::Migration;
use super::run::{Effect, RunState, Turn, push_bounded};
use super::text::clipped;
use super::{Previous, Qemu, State, queries};
use crate::limits::STATE_GAPS_MAX;
use crate::record::Record;
use crate::time;

impl State {
    pub(super) fn apply_note(&mut self, record: &Record) {
        match record.name.as_str() {
            "attached" => self.attached(record),
            "detached" => self.detached(record),
            "gap" => self.not_heard(record),
            "state" => self.asked(record),
            _ => {}
        }
    }

    /// A new process has nothing of the old one but its end.
    pub(super) fn begin_run(&mut self, run: Option<u64>) {
        let previous = std::mem::take(self);
        self.succeed(&previous);
        self.qemu.run = run;
    }

    /// Takes over what there is to know of the process before.
    pub fn succeed(&mut self, before: &Self) {
        self.previous = before.since.is_some().then(|| {
            Box::new(Previous {
                run: before.run,
                since: before.since.clone(),
                cause: before.cause(),
            })
        });
    }

    fn attached(&mut self, record: &Record) {
        let data = data_of(record);
        let text = |member| {
            queries::text(&data, member)
                .map(clipped)
                .unwrap_or_default()
        };
        let pid = queries::number(&data, "pid");
        // Without a journal nobody numbers the processes.
        if record.run.is_none() && (pid.is_none() || pid != self.qemu.pid) {
            self.begin_run(None);
        }
        self.qemu = Qemu {
            run: record.run,
            version: text("version"),
            address: text("address"),
            dialled_in: queries::truth(&data, "dialled_in").unwrap_or(false),
            free_monitor: self.qemu.free_monitor.take(),
            pid,
            attached: Mark::of(record),
        };
        self.heard = true;
        self.told = false;
    }

    fn detached(&mut self, record: &Record) {
        self.heard = false;
        self.told = false;
        let fact = Fact::of(record);
        if fact.member("ended").is_some() {
            self.was_asleep = false;
            self.turned(RunState::Gone, Effect::End, fact);
        }
    }

    fn not_heard(&mut self, record: &Record) {
        let data = data_of(record);
        let at = |member| queries::text(&data, member).and_then(time::of_rfc3339);
        let unheard = Unheard {
            mark: Mark::of(record),
            from_us: at("from"),
            until_us: at("until").unwrap_or(record.received_us),
            reason: queries::text(&data, "reason")
                .map(clipped)
                .unwrap_or_default(),
        };
        push_bounded(&mut self.unheard, unheard, STATE_GAPS_MAX);
        self.unasked = true;
        self.told = false;
        // What was to follow may have been missed.
        self.leads.clear();
    }

    /// What the queries said: all of them after an attachment, a few after a STOP.
    fn asked(&mut self, record: &Record) {
        let data = data_of(record);
        let mark = Mark::of(record);
        self.heard = true;
        let unheard = std::mem::take(&mut self.unasked)
            .then(|| self.unheard.last().cloned())
            .flatten();
        if let Some(status) = data
            .get("query-status")
            .and_then(|s| queries::text(s, "status"))
        {
            self.found(status, fact_of(record, &data, status), unheard.clone());
        }
        self.disks.found(&data);
        self.jobs.found(&data, unheard.as_ref(), &mark);
        self.screens.found(&data, &mark);
        Migration::found(&mut self.migration, &data, &mark);
        self.devices.found(&data, &mark);
        if let Some(chardevs) = data.get("query-chardev") {
            self.qemu.free_monitor = free_monitor(chardevs);
        }
        self.memory.found(&data);
    }

    fn found(&mut self, status: &str, fact: Fact, unheard: Option<Unheard>) {
        let state = RunState::of_status(status);
        // A guest that is asleep and stopped is `suspended` to older releases, `paused` to others.
        let is_same = state == self.run
            && (state != RunState::Waiting || self.waits_for.as_deref() == Some(status))
            && (unheard.is_none() || self.is_as_shown(status));
        if is_same {
            if let Some(turn) = &mut self.turn {
                turn.show(fact);
            }
            return;
        }
        // Answers are put together while events come. What the events say is newer.
        let crosses = (state == RunState::Running) != (self.run == RunState::Running);
        if self.told && crosses {
            return;
        }
        let effect = match state {
            RunState::Unknown => return,
            RunState::Running => Effect::Run,
            RunState::Paused | RunState::Panicked => Effect::Stop,
            RunState::Suspended => Effect::Sleep,
            RunState::Waiting => Effect::Wait,
            RunState::ShutDown => Effect::Shutdown,
            RunState::Gone => Effect::End,
        };
        let mark = fact.mark.clone();
        let told = self.told;
        let leads = std::mem::take(&mut self.leads);
        let mut turn = Turn::new(effect, fact.clone(), leads);
        turn.show(fact);
        turn.unheard = unheard;
        self.turn = Some(turn);
        self.told = told;
        self.waits_for = (state == RunState::Waiting).then(|| clipped(status));
        self.become_at(state, &mark);
    }

    /// Whether it was shown to be in the same state before, so that nothing need have happened since.
    fn is_as_shown(&self, status: &str) -> bool {
        let shown = self.turn.iter().flat_map(|turn| &turn.shown);
        let mut statuses = shown.filter_map(|fact| fact.member("status")).peekable();
        statuses.peek().is_none() || statuses.any(|own| own == status)
    }
}

/// The members of a `state` record that rules ask for.
fn fact_of(record: &Record, data: &Value, status: &str) -> Fact {
    let mut fact = Fact::bare(record).with("status", status);
    if let Some(asked) = queries::text(data, "asked") {
        fact = fact.with("asked", asked);
    }
    if let Some((io_status, disk)) = Disks::worst(data) {
        fact = fact.with("io-status", io_status);
        if let Some(disk) = disk {
            fact = fact.with("disk", disk);
        }
    }
    fact
}

/// The first monitor made by `-qmp` or `-monitor` that listens at an absolute path and has no client.
fn free_monitor(chardevs: &Value) -> Option<String> {
    queries::items(chardevs).find_map(|chardev| {
        let label = queries::text(chardev, "label")?;
        let name = queries::text(chardev, "filename")?;
        let (path, options) = name.strip_prefix("disconnected:unix:")?.split_once(',')?;
        let is_free = label.starts_with("compat_monitor") && options.starts_with("server");
        (is_free && path.starts_with('/')).then(|| clipped(&format!("unix:{path}")))
    })
}

fn data_of(record: &Record) -> Value {
    let data = record.data.as_deref();
    data.and_then(|data| serde_json::from_str(data).ok())
        .unwrap_or_default()
}
