//! The data of the events that people look for, in words.
//!
//! Only what is in the data is said; what an event means is in `qwatch events NAME`.

use super::Members;
use super::summary::shortened;

/// The data of a known event in words; `None` where members are missing or the event needs none.
pub(super) fn typed(name: &str, data: &Members<'_>) -> Option<String> {
    match name {
        "BLOCK_IO_ERROR" => io_error(data),
        "BLOCK_JOB_COMPLETED" | "BLOCK_JOB_CANCELLED" | "BLOCK_JOB_READY" => block_job(data),
        "BLOCK_JOB_ERROR" => Some(format!(
            "{} {} → {}",
            text(data, "device")?,
            text(data, "operation")?,
            text(data, "action")?
        )),
        "JOB_STATUS_CHANGE" => Some(format!("{} → {}", text(data, "id")?, text(data, "status")?)),
        "SHUTDOWN" | "RESET" => by_whom(data),
        "GUEST_PANICKED" | "GUEST_CRASHLOADED" => panic(data),
        "WATCHDOG" => Some(format!("→ {}", text(data, "action")?)),
        "MIGRATION" => Some(format!("→ {}", text(data, "status")?)),
        "MIGRATION_PASS" => Some(format!("pass {}", data.unsigned("pass")?)),
        "DEVICE_DELETED" | "DEVICE_UNPLUG_GUEST_ERROR" => Some(match text(data, "device") {
            Some(device) => format!("{device} ({})", text(data, "path")?),
            None => text(data, "path")?,
        }),
        "DEVICE_TRAY_MOVED" => {
            let tray = choose(data, "tray-open", "tray open", "tray closed")?;
            Some(format!("{} {tray}", first(data, &["id", "device"])?))
        }
        "VSERPORT_CHANGE" => {
            let port = choose(data, "open", "opened by the guest", "closed by the guest")?;
            Some(format!("{} {port}", text(data, "id")?))
        }
        "PR_MANAGER_STATUS_CHANGED" => {
            let state = choose(data, "connected", "connected", "disconnected")?;
            Some(format!("{} {state}", text(data, "id")?))
        }
        "RTC_CHANGE" => {
            let offset: i64 = data.raw("offset")?.parse().ok()?;
            Some(format!("offset {offset:+} s"))
        }
        "BALLOON_CHANGE" => Some(bytes(data.unsigned("actual")?)),
        "VNC_CONNECTED" | "VNC_INITIALIZED" | "VNC_DISCONNECTED" => peers(data, "service"),
        "SPICE_CONNECTED" | "SPICE_INITIALIZED" | "SPICE_DISCONNECTED" => peers(data, "port"),
        "attached" => Some(format!(
            "QEMU {}, {}",
            text(data, "version")?,
            text(data, "address")?
        )),
        "detached" => {
            let reason = text(data, "reason")?;
            Some(match text(data, "ended") {
                Some(ended) => format!("{reason}; it {ended}"),
                None => reason,
            })
        }
        "gap" => gap(data),
        "state" => state(data),
        _ => None,
    }
}

/// A size in binary units, exact where it is a whole number of them.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = (63 - count.max(1).leading_zeros()) / 10;
    let Some(unit) = usize::try_from(power)
        .ok()
        .and_then(|power| UNITS.get(power.checked_sub(1)?))
    else {
        return format!("{count} B");
    };
    let one = 1_u64 << (power * 10);
    let (whole, rest) = (count / one, count % one);
    // Tenths of what is left over, rounded down: 1023.9 never becomes 1024.0.
    let tenths = u128::from(rest) * 10 / u128::from(one);
    match tenths {
        0 => format!("{whole} {unit}"),
        _ => format!("{whole}.{tenths} {unit}"),
    }
}

/// `virtio0 write → stop: No space left on device`.
fn io_error(data: &Members<'_>) -> Option<String> {
    let path = text(data, "qom-path");
    let disk = first(data, &["device", "node-name"])
        .or_else(|| path.filter(|path| !path.is_empty()))
        .unwrap_or_else(|| "a disk".to_owned());
    let (operation, action) = (text(data, "operation")?, text(data, "action")?);
    let reason = text(data, "reason").map(|reason| format!(": {reason}"));
    Some(format!(
        "{disk} {operation} → {action}{}",
        reason.unwrap_or_default()
    ))
}

/// `backup job0 4 GiB of 4 GiB`, with the error if it failed.
fn block_job(data: &Members<'_>) -> Option<String> {
    let (kind, job) = (text(data, "type")?, text(data, "device")?);
    let (done, all) = (data.unsigned("offset")?, data.unsigned("len")?);
    let progress = if done == all {
        bytes(all)
    } else {
        format!("{} of {}", bytes(done), bytes(all))
    };
    let error = text(data, "error").map(|error| format!(" failed: {error}"));
    Some(format!(
        "{kind} {job} {progress}{}",
        error.unwrap_or_default()
    ))
}

/// `guest-reset, by the guest`; old releases say only who.
fn by_whom(data: &Members<'_>) -> Option<String> {
    let who = choose(data, "guest", "by the guest", "by the host")?;
    Some(match text(data, "reason") {
        Some(reason) => format!("{reason}, {who}"),
        None => who.to_owned(),
    })
}

/// `→ pause`, and what the guest told about its panic.
fn panic(data: &Members<'_>) -> Option<String> {
    let action = text(data, "action")?;
    let Some(info) = data.object("info") else {
        return Some(format!("→ {action}"));
    };
    let mut told: Vec<String> = info
        .0
        .iter()
        .filter(|(name, _)| name != "type")
        .map(|(name, value)| match value.get().parse::<u64>() {
            Ok(number) => format!("{}={number:#x}", shortened(name)),
            Err(_) => format!("{}={}", shortened(name), shortened(value.get())),
        })
        .collect();
    // QEMU sends them in the order of its hash table: arg5 first.
    told.sort();
    Some(format!(
        "→ {action}, {}: {}",
        text(&info, "type")?,
        told.join(" ")
    ))
}

/// `10.0.0.7:41234 → 0.0.0.0:5901`, client to server.
fn peers(data: &Members<'_>, port: &str) -> Option<String> {
    let end = |name: &str| {
        let end = data.object(name)?;
        let (host, port) = (text(&end, "host")?, text(&end, port)?);
        Some(match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        })
    };
    Some(format!("{} → {}", end("client")?, end("server")?))
}

/// `4m 3s unheard: the monitor was gone`.
fn gap(data: &Members<'_>) -> Option<String> {
    let at = |name: &str| data.text(name)?.parse::<jiff::Timestamp>().ok();
    let length = match (at("from"), at("until")) {
        (Some(from), Some(until)) => {
            let length = until.duration_since(from).unsigned_abs();
            crate::time::human_duration(length)
        }
        _ => "some time".to_owned(),
    };
    Some(format!("{length} unheard: {}", text(data, "reason")?))
}

/// `paused, virtio0 nospace, job0 running`: the run state, and of disks, jobs and migration what is
/// unusual.
fn state(data: &Members<'_>) -> Option<String> {
    let mut parts = vec![text(&data.object("query-status")?, "status")?];
    for disk in list(data, "query-block") {
        let status = text(&disk, "io-status").filter(|status| status != "ok");
        if let (Some(status), Some(name)) = (status, first(&disk, &["device", "qdev"])) {
            parts.push(format!("{name} {status}"));
        }
    }
    for job in list(data, "query-jobs") {
        parts.push(format!("{} {}", text(&job, "id")?, text(&job, "status")?));
    }
    if let Some(status) = data
        .object("query-migrate")
        .and_then(|m| text(&m, "status"))
    {
        parts.push(format!("migration {status}"));
    }
    Some(parts.join(", "))
}

/// The objects in a member that is a list.
fn list<'a>(data: &Members<'a>, name: &str) -> Vec<Members<'a>> {
    let list = data.raw(name).map(serde_json::from_str);
    list.and_then(Result::ok).unwrap_or_default()
}

/// A string member, safe to print.
fn text(data: &Members<'_>, name: &str) -> Option<String> {
    data.text(name).map(|text| shortened(&text))
}

/// The first of these members that is a string and not empty.
fn first(data: &Members<'_>, names: &[&str]) -> Option<String> {
    let mut texts = names.iter().filter_map(|name| text(data, name));
    texts.find(|text| !text.is_empty())
}

fn choose<'w>(data: &Members<'_>, name: &str, yes: &'w str, no: &'w str) -> Option<&'w str> {
    Some(if data.truth(name)? { yes } else { no })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(name: &str, data: &str) -> Option<String> {
        typed(name, &Members::read(data).expect("an object"))
    }

    #[test]
    fn events_in_words() {
        for (name, data, expected) in [
            (
                "BLOCK_IO_ERROR",
                r#"{"qom-path": "/machine/peripheral/virtio0", "device": "", "node-name": "disk0", "operation": "write", "action": "stop", "nospace": true, "reason": "No space left on device"}"#,
                "disk0 write → stop: No space left on device",
            ),
            (
                "BLOCK_IO_ERROR",
                r#"{"device": "ide0", "operation": "read", "action": "ignore"}"#,
                "ide0 read → ignore",
            ),
            (
                "BLOCK_JOB_COMPLETED",
                r#"{"device": "job0", "len": 4294967296, "offset": 1610612736, "speed": 0, "type": "backup", "error": "Input/output\u001b error"}"#,
                "backup job0 1.5 GiB of 4 GiB failed: Input/output\\x1b error",
            ),
            (
                "JOB_STATUS_CHANGE",
                r#"{"status": "concluded", "id": "job0"}"#,
                "job0 → concluded",
            ),
            (
                "SHUTDOWN",
                r#"{"guest": true, "reason": "guest-shutdown"}"#,
                "guest-shutdown, by the guest",
            ),
            ("RESET", r#"{"guest": false}"#, "by the host"),
            (
                "GUEST_PANICKED",
                r#"{"action": "pause", "info": {"type": "hyper-v", "arg1": 18446744073709551615, "arg2": 0}}"#,
                "→ pause, hyper-v: arg1=0xffffffffffffffff arg2=0x0",
            ),
            ("GUEST_PANICKED", r#"{"action": "run"}"#, "→ run"),
            ("RTC_CHANGE", r#"{"offset": 78}"#, "offset +78 s"),
            ("BALLOON_CHANGE", r#"{"actual": 944766976}"#, "901 MiB"),
            (
                "DEVICE_DELETED",
                r#"{"path": "/machine/peripheral/net0"}"#,
                "/machine/peripheral/net0",
            ),
            (
                "VNC_CONNECTED",
                r#"{"server": {"host": "::1", "service": "5901"}, "client": {"host": "10.0.0.7", "service": "41234"}}"#,
                "10.0.0.7:41234 → [::1]:5901",
            ),
        ] {
            assert_eq!(words(name, data).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn notes_in_words() {
        let gap = r#"{"from": "2026-01-01T00:00:00.000000Z", "until": "2026-01-01T00:04:03.500000Z", "reason": "QEMU closed the connection"}"#;
        let expected = "4m 3s unheard: QEMU closed the connection";
        assert_eq!(words("gap", gap).as_deref(), Some(expected));
        let gap = words("gap", r#"{"reason": "first seen"}"#);
        assert_eq!(gap.as_deref(), Some("some time unheard: first seen"));
        let state = r#"{"query-status": {"status": "io-error"}, "query-block": [{"device": "", "qdev": "/m/virtio0", "io-status": "nospace"}, {"device": "cd"}], "query-jobs": [{"id": "job0", "status": "running"}], "query-migrate": {}}"#;
        let expected = "io-error, /m/virtio0 nospace, job0 running";
        assert_eq!(words("state", state).as_deref(), Some(expected));
        assert_eq!(words("state", r#"{"query-status": null}"#), None);
        let attached = r#"{"address": "unix:/a", "version": "7.2.22"}"#;
        assert_eq!(
            words("attached", attached).as_deref(),
            Some("QEMU 7.2.22, unix:/a")
        );
    }

    #[test]
    fn what_is_not_as_known_is_left_to_the_generic_form() {
        assert_eq!(words("BLOCK_IO_ERROR", r#"{"device": "x"}"#), None);
        assert_eq!(words("RTC_CHANGE", r#"{"offset": "soon"}"#), None);
        assert_eq!(words("MADE_UP", r#"{"offset": 1}"#), None);
    }

    #[test]
    fn sizes() {
        for (count, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1023.9 KiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
    }
}
