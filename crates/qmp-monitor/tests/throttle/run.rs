//! One schedule, carried out on both sides at once.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use qemu_lab::{LabError, Qemu, QemuBinary};
use qmp_monitor::Monitor;
use serde_json::{Value, json};

use crate::arrivals::{Arrival, Arrivals, At};
use crate::subjects::Subject;

/// When what happens. Nothing happens near the end of a window, 1 s after an event was sent.
pub(crate) struct Schedule {
    pub(crate) name: &'static str,
    /// Milliseconds from the start at which the subject is triggered.
    triggers_ms: &'static [u64],
    /// When the clients negotiate; before the first trigger if not said.
    negotiate_ms: Option<u64>,
    /// When the machine quits.
    quit_ms: Option<u64>,
}

const PLAIN: Schedule = Schedule {
    name: "",
    triggers_ms: &[],
    negotiate_ms: None,
    quit_ms: None,
};

/// As fast as it goes.
pub(crate) const BURST: Schedule = Schedule {
    name: "burst",
    triggers_ms: &[0; 20],
    ..PLAIN
};

/// Every 100 ms.
pub(crate) const STREAM: Schedule = Schedule {
    name: "stream",
    triggers_ms: &[
        0, 150, 250, 350, 450, 550, 650, 750, 850, 1150, 1250, 1350, 1450, 1550, 1650, 1750, 1850,
        2150, 2250, 2350, 2450, 2550,
    ],
    ..PLAIN
};

/// One held, one held in the window that its sending opened, then one at once after a quiet window.
pub(crate) const GAPS: Schedule = Schedule {
    name: "gaps",
    triggers_ms: &[0, 500, 1200, 3400, 3500, 3600, 5700],
    ..PLAIN
};

/// Some of each.
pub(crate) const MIXED: Schedule = Schedule {
    name: "mixed",
    triggers_ms: &[0, 0, 0, 500, 700, 1200, 1400, 1600, 3800, 3900],
    ..PLAIN
};

/// The first event opens the window unheard, the newest of those held is heard.
pub(crate) const EARLY: Schedule = Schedule {
    name: "before negotiation",
    triggers_ms: &[0, 100, 200, 500],
    negotiate_ms: Some(300),
    ..PLAIN
};

/// What is held at the end is lost.
pub(crate) const QUIT: Schedule = Schedule {
    name: "quit while one is held",
    triggers_ms: &[0, 100, 200],
    quit_ms: Some(300),
    ..PLAIN
};

/// A window and a little: what is still held at the last trigger has come by then.
const AFTERWARDS: Duration = Duration::from_millis(1300);

/// How far apart the same event may arrive, beside what this process was late itself.
pub(crate) const APART_MAX: Duration = Duration::from_millis(20);

/// How often a schedule is carried out until it comes out the same. A busy machine delays one side or the
/// other now and then; a difference in the rules is there every time.
const ATTEMPTS_MAX: u32 = 5;

/// What came of a schedule.
pub(crate) struct Outcome {
    pub(crate) attempts: u32,
    /// How far apart each event arrived, in microseconds.
    pub(crate) apart_us: Vec<u128>,
    pub(crate) failure: Option<String>,
}

/// Carries out a schedule on both sides and compares what arrived.
pub(crate) fn compare(
    binary: &QemuBinary,
    subject: &Subject,
    schedule: &Schedule,
) -> Result<Outcome, LabError> {
    let mut attempts = 1;
    loop {
        let (arrivals, late) = carry_out(binary, subject, schedule)?;
        let outcome = judge(&arrivals, subject, schedule, late);
        if outcome.failure.is_none() || attempts == ATTEMPTS_MAX {
            return Ok(Outcome {
                attempts,
                ..outcome
            });
        }
        attempts += 1;
    }
}

/// Returns what arrived, and how late this process was at worst.
fn carry_out(
    binary: &QemuBinary,
    subject: &Subject,
    schedule: &Schedule,
) -> Result<(Vec<Arrival>, Duration), LabError> {
    let qemu = Qemu::new(binary).args(subject.arguments.iter().copied());
    let mut machine = qemu.files(subject.files).monitor("watched").start()?;
    let mut driver = (subject.prepare)(&mut machine)?;
    let folder = tempfile::tempdir().map_err(|error| LabError::Unexpected(error.to_string()))?;
    let path = folder.path().join("qmp");
    let builder = Monitor::builder().version(&binary.version.to_string());
    let monitor = builder.listen_unix(&path).build();
    let monitor = monitor.map_err(|error| LabError::Unexpected(error.to_string()))?;

    let mut arrivals = Arrivals::connect(&machine.monitor_path("watched"), &path);
    if schedule.negotiate_ms.is_none() {
        arrivals.negotiate();
    }
    let start = Instant::now();
    let mut late = Duration::ZERO;
    for (planned, action) in schedule.actions() {
        let planned = start + planned;
        // Of several at one time only the first can be on time.
        let in_time = planned > Instant::now();
        arrivals.listen_until(planned);
        if in_time {
            late = late.max(planned.elapsed());
        }
        let before = Instant::now();
        match action {
            Action::Trigger(number) => {
                (subject.trigger)(&mut machine, &mut driver, number)?;
                emit(&monitor, (subject.events)(number, binary.version));
            }
            Action::Negotiate => arrivals.negotiate(),
            Action::Quit => {
                machine.run("quit")?;
                let data = json!({ "guest": false, "reason": "host-qmp-quit" });
                emit(&monitor, vec![("SHUTDOWN", data)]);
                monitor.close();
            }
        }
        // It happened at some time in between.
        late = late.max(before.elapsed());
    }
    match schedule.quit_ms {
        Some(_) => arrivals.listen_to_the_end(),
        None => arrivals.listen_until(Instant::now() + AFTERWARDS),
    }
    Ok((arrivals.heard, late))
}

fn judge(arrivals: &[Arrival], subject: &Subject, schedule: &Schedule, late: Duration) -> Outcome {
    let heard_at = |at: At| -> Vec<(String, Instant)> {
        let arrivals = arrivals.iter().filter(|arrival| arrival.at == at);
        arrivals
            .map(|arrival| (tell(arrival, subject), arrival.when))
            .collect()
    };
    let (real, ours) = (heard_at(At::Real), heard_at(At::Ours));
    let names = |heard: &[(String, Instant)]| -> Vec<String> {
        heard.iter().map(|(name, _)| name.clone()).collect()
    };
    let apart = real.iter().zip(&ours).map(|((_, real), (_, ours))| {
        real.saturating_duration_since(*ours)
            .max(ours.saturating_duration_since(*real))
    });
    let apart: Vec<Duration> = apart.collect();
    let worst = apart.iter().max().copied().unwrap_or_default();
    let name = schedule.name;
    let failure = if real.is_empty() || names(&real) != names(&ours) {
        Some(format!(
            "{name}:\n  QEMU: {:?}\n  ours: {:?}",
            names(&real),
            names(&ours)
        ))
    } else if worst > APART_MAX + late {
        Some(format!(
            "{name}: {worst:?} apart, on a machine late by {late:?}: {apart:?}"
        ))
    } else {
        None
    };
    Outcome {
        attempts: 1,
        apart_us: apart.iter().map(Duration::as_micros).collect(),
        failure,
    }
}

fn tell(arrival: &Arrival, subject: &Subject) -> String {
    match &arrival.message {
        None => "the end".to_owned(),
        Some(message) if message["event"] == "SHUTDOWN" => message["data"].to_string(),
        Some(message) => format!(
            "{} {}",
            message["event"],
            (subject.identity)(&message["data"])
        ),
    }
}

/// Emits events that happen now.
fn emit(monitor: &Monitor, events: Vec<(&str, Value)>) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock that is set");
    for (name, data) in events {
        let timestamp = json!({ "seconds": now.as_secs(), "microseconds": now.subsec_micros() });
        let event = json!({ "timestamp": timestamp, "event": name, "data": data });
        monitor.emit_text(&event.to_string()).expect("an event");
    }
}

enum Action {
    Trigger(u8),
    Negotiate,
    Quit,
}

impl Schedule {
    /// What is to be done and when, in order.
    fn actions(&self) -> Vec<(Duration, Action)> {
        let triggers = self.triggers_ms.iter().zip(0..);
        let mut actions: Vec<(u64, Action)> = triggers
            .map(|(at_ms, number)| (*at_ms, Action::Trigger(number)))
            .collect();
        actions.extend(self.negotiate_ms.map(|at_ms| (at_ms, Action::Negotiate)));
        actions.extend(self.quit_ms.map(|at_ms| (at_ms, Action::Quit)));
        actions.sort_by_key(|(at_ms, _)| *at_ms);
        let timed = |(at_ms, action)| (Duration::from_millis(at_ms), action);
        actions.into_iter().map(timed).collect()
    }
}
