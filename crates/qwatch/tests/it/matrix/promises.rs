//! What one event promises about others, checked in every stream.

use qemu_lab::Version;
use qmp_events::EventKind;
use qmp_events::facts::{EventFacts, LIMIT_PERIOD};
use serde_json::Value;

use super::{Play, Stored};

/// Clocks of the host are read at different moments; nothing is compared closer than this.
const CLOCK_SLACK_US: i64 = 5_000;

/// Checks all promises.
pub(super) fn kept(play: &Play, stored: &[Stored]) -> Result<(), String> {
    let events: Vec<Event> = stored.iter().map(Event::new).collect();
    for (at, event) in events.iter().enumerate() {
        followed(play, &events, at, event)?;
    }
    limits_respected(play.version, &events)?;
    counted(play, &events)
}

struct Event {
    name: String,
    data: Value,
    /// QEMU's stamp and the recorder's receipt, microseconds since 1970.
    stamp_us: i64,
    received_us: i64,
}

impl Event {
    fn new(stored: &Stored) -> Self {
        let record = &stored.record;
        let data = record.data.as_deref().unwrap_or("null");
        Self {
            name: record.name.clone(),
            data: serde_json::from_str(data).expect("JSON"),
            stamp_us: record.time_us(),
            received_us: record.received_us,
        }
    }
}

/// What has to follow an event, or must not.
fn followed(play: &Play, events: &[Event], at: usize, event: &Event) -> Result<(), String> {
    let later = &events[at + 1..];
    let by_arrival = |name: &str| later.iter().any(|later| later.name == name);
    // A held-back event arrives after its consequences, but its stamp is older.
    let by_stamp = |name: &str| {
        let after = |other: &&Event| other.name == name && other.stamp_us >= event.stamp_us;
        events.iter().any(|other| after(&other))
    };
    let action = event.data["action"].as_str().unwrap_or_default();
    let no_shutdown = play.recipe.arguments.contains(&"-no-shutdown");
    let kept = match (event.name.as_str(), action) {
        ("BLOCK_IO_ERROR", "stop") if may_be_late(play.version) => by_stamp("STOP"),
        ("BLOCK_IO_ERROR", "stop") => by_arrival("STOP"),
        ("GUEST_PANICKED", "pause") => by_arrival("STOP"),
        ("GUEST_PANICKED", "poweroff") => by_arrival("SHUTDOWN"),
        ("WATCHDOG", "reset") => by_stamp("RESET"),
        ("WATCHDOG", "pause") => by_stamp("STOP"),
        // The power button is pressed; whether the guest then ends is the guest's affair.
        ("WATCHDOG", "shutdown") => {
            by_stamp("POWERDOWN") && by_stamp("SHUTDOWN") == play.recipe.linux.is_some()
        }
        ("WATCHDOG", "poweroff") => later.is_empty(),
        ("WATCHDOG", _) => later.iter().all(|later| later.name == "WATCHDOG"),
        ("SUSPEND_DISK", _) => by_arrival("SHUTDOWN"),
        ("SHUTDOWN", _) if no_shutdown => by_arrival("STOP"),
        ("SHUTDOWN", _) => later.is_empty(),
        ("WAKEUP", _) => events[..at].iter().any(|before| before.name == "SUSPEND"),
        _ => true,
    };
    match kept {
        true => Ok(()),
        false => Err(format!(
            "{} broke its promise: {}",
            event.name,
            listed(events)
        )),
    }
}

/// Whether this QEMU may hold back the error that stops the machine: 9.2 up to 11.0.
fn may_be_late(version: Version) -> bool {
    let facts = EventKind::BlockIoError.facts();
    let limit = facts.limit_at(vocabulary(version));
    limit.is_some_and(|limit| limit.except.is_none())
}

/// Between two events of one key is a period at least. QEMU sends an event after its stamp and
/// before its receipt, so the second is received that much later than the first was stamped.
fn limits_respected(version: Version, events: &[Event]) -> Result<(), String> {
    let period_us = i64::try_from(LIMIT_PERIOD.as_micros()).expect("a short period");
    for (at, event) in events.iter().enumerate() {
        let Some(key) = limited_by(version, event) else {
            continue;
        };
        let same = |later: &&Event| limited_by(version, later).as_ref() == Some(&key);
        let mut earliest_us = event.stamp_us - CLOCK_SLACK_US;
        for later in events[at + 1..].iter().filter(same) {
            earliest_us += period_us;
            if later.received_us < earliest_us {
                let why = format!("two {} too close together: {}", event.name, listed(events));
                return Err(why);
            }
        }
    }
    Ok(())
}

/// What an event shares its rate limit with, by name and value of the key; `None` if it has none.
fn limited_by(version: Version, event: &Event) -> Option<(String, Value)> {
    let facts: &EventFacts = EventKind::from_name(&event.name)?.facts();
    let limit = facts.limit_at(vocabulary(version))?;
    if let Some((member, value)) = limit.except
        && event.data[member] == value
    {
        return None;
    }
    let key = limit.key.map(|key| event.data[key].clone());
    Some((event.name.clone(), key.unwrap_or_default()))
}

/// Recipes that cause an event so often that what is not sent matters, too.
fn counted(play: &Play, events: &[Event]) -> Result<(), String> {
    let name = play.recipe.event();
    let count = events.iter().filter(|event| event.name == name).count();
    let limited = EventKind::from_name(name)
        .and_then(|kind| kind.facts().limit_at(vocabulary(play.version)))
        .is_some();
    let (least, most) = match play.recipe.name {
        // Two to four of each twenty; more only if making them took seconds.
        "VSERPORT_CHANGE.burst" => (4, 12),
        _ if play.recipe.name.ends_with(".burst") && limited => (2, 8),
        _ if play.recipe.name.ends_with(".burst") => (20, 20),
        // One, and another after the query, of six changes.
        "NIC_RX_FILTER_CHANGED.query" => (2, 2),
        _ => return Ok(()),
    };
    match (least..=most).contains(&count) {
        true => Ok(()),
        false => Err(format!(
            "{count} {name}, not {least} to {most}: {}",
            listed(events)
        )),
    }
}

fn vocabulary(version: Version) -> qmp_events::Version {
    qmp_events::Version {
        major: version.major,
        minor: version.minor,
    }
}

fn listed(events: &[Event]) -> String {
    let line = |event: &Event| {
        let late_ms = (event.received_us - event.stamp_us) / 1000;
        format!(
            "  {} {} stamped {}, {late_ms} ms under way",
            event.name, event.data, event.stamp_us
        )
    };
    let lines: Vec<String> = events.iter().map(line).collect();
    format!("\n{}", lines.join("\n"))
}
