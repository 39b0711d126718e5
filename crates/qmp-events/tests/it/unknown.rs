//! What the vocabulary does not know, or knows otherwise: kept, told, never refused.

use qmp_events::{
    DecodeError, Event, EventKind, Message, Outside, Timestamp,
    json::Problem,
    vocabulary::{GuestPanicInformation, JobType, Reset, ShutdownCause},
};

use crate::json::bucket;

const STAMP: &str = r#""timestamp": {"seconds": 1, "microseconds": 2}"#;

/// A message of this name and data, as QEMU prints it.
fn line(name: &str, data: &str) -> String {
    format!(r#"{{{STAMP}, "event": "{name}", "data": {data}}}"#)
}

fn decode(text: &str) -> Message<'_> {
    Message::decode(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn an_event_of_a_later_qemu() {
    let text = line(
        "SKY_FELL",
        r#"{"height": 1e3, "deep": [{"x": "\ud83d"}, null]}"#,
    );
    let message = decode(&text);
    assert_eq!(message.event.kind(), None);
    assert_eq!(message.event.name(), "SKY_FELL");
    assert_eq!(message.outside(), [Outside::Event("SKY_FELL".into())]);
    assert_eq!(message.encode(), text);
    assert_eq!(message.into_owned().encode(), text);

    let bare = format!(r#"{{{STAMP}, "event": "SKY_FELL"}}"#);
    assert_eq!(decode(&bare).encode(), bare);
}

#[test]
fn reset_and_shutdown_of_every_age() {
    let bare = format!(r#"{{{STAMP}, "event": "RESET"}}"#);
    assert_eq!(decode(&bare).event, Event::Reset(Reset::default()));
    assert_eq!(decode(&bare).encode(), bare);

    let of_2_10 = line("SHUTDOWN", r#"{"guest": true}"#);
    let Event::Shutdown(shutdown) = decode(&of_2_10).event else {
        panic!("SHUTDOWN is known");
    };
    assert_eq!((shutdown.guest, shutdown.reason), (Some(true), None));
    assert_eq!(decode(&of_2_10).encode(), of_2_10);

    let of_4_0 = line(
        "RESET",
        r#"{"guest": false, "reason": "host-qmp-system-reset"}"#,
    );
    let Event::Reset(reset) = decode(&of_4_0).event else {
        panic!("RESET is known");
    };
    assert_eq!(reset.guest, Some(false));
    assert_eq!(reset.reason, Some(ShutdownCause::HostQmpSystemReset));
    assert_eq!(decode(&of_4_0).encode(), of_4_0);
}

#[test]
fn an_empty_data_is_not_dropped() {
    for name in ["STOP", "RESET"] {
        let text = line(name, "{}");
        let message = decode(&text);
        assert_eq!(message.event.name(), name);
        assert!(message.event.kind().is_some());
        assert_eq!(message.encode(), text);
    }
}

/// Known events in another shape: name, data, the member that does not fit, and why.
const MISFITS: [(&str, &str, Option<&str>, &str); 15] = [
    (
        "RTC_CHANGE",
        r#"{"offset": "late"}"#,
        Some("offset"),
        "expected a whole number",
    ),
    (
        "RTC_CHANGE",
        r#"{"offset": 1.0}"#,
        Some("offset"),
        "expected a whole number",
    ),
    (
        "RTC_CHANGE",
        r#"{"offset": -0}"#,
        Some("offset"),
        "expected a whole number",
    ),
    (
        "RTC_CHANGE",
        r#"{"offset": 9223372036854775808}"#,
        Some("offset"),
        "does not fit",
    ),
    (
        "RTC_CHANGE",
        r#"{"offset": null}"#,
        Some("offset"),
        "expected",
    ),
    (
        "RTC_CHANGE",
        r#"{"offset": 1, "offset": 2}"#,
        Some("offset"),
        "twice",
    ),
    ("RTC_CHANGE", "{}", Some("offset"), "missing"),
    ("RTC_CHANGE", "[1]", None, "expected"),
    ("STOP", "null", None, "expected"),
    (
        "VSERPORT_CHANGE",
        r#"{"id": "c0", "open": 1}"#,
        Some("open"),
        "expected",
    ),
    (
        "VSERPORT_CHANGE",
        r#"{"id": "\ud800", "open": true}"#,
        Some("id"),
        "whole characters",
    ),
    ("WATCHDOG", r#"{"action": 1}"#, Some("action"), "expected"),
    (
        "ACPI_DEVICE_OST",
        r#"{"info": {"slot": "0", "slot-type": "DIMM", "source": 1}}"#,
        Some("status"),
        "missing",
    ),
    (
        "GUEST_PANICKED",
        r#"{"action": "run", "info": {"core": 1}}"#,
        Some("type"),
        "missing",
    ),
    (
        "GUEST_PANICKED",
        r#"{"action": "run", "info": {"type": "s390", "core": 4294967296, "psw-mask": 0, "psw-addr": 0, "reason": "unknown"}}"#,
        Some("core"),
        "32 bits",
    ),
];

#[test]
fn a_known_event_in_another_shape_is_kept_with_the_reason() {
    for (name, data, member, why) in MISFITS {
        let text = line(name, data);
        let message = decode(&text);
        let Event::Unknown(event) = &message.event else {
            panic!("typed: {text}");
        };
        assert_eq!(event.name, name);
        let mismatch = event
            .mismatch
            .unwrap_or_else(|| panic!("no reason: {text}"));
        assert_eq!(mismatch.member, member, "{text}");
        assert!(mismatch.to_string().contains(why), "{mismatch}: {text}");
        assert_eq!(message.outside(), [Outside::Shape(mismatch)]);
        assert_eq!(message.encode(), text);
        assert_eq!(message.into_owned().encode(), text);
    }
}

#[test]
fn a_known_event_without_its_data() {
    let text = format!(r#"{{{STAMP}, "event": "RTC_CHANGE"}}"#);
    let message = decode(&text);
    let Event::Unknown(event) = &message.event else {
        panic!("an RTC_CHANGE has an offset");
    };
    assert_eq!(event.mismatch.map(|m| m.problem), Some(Problem::Missing));
    assert_eq!(message.encode(), text);
}

#[test]
fn unknown_values_of_enums_and_unions_are_kept() {
    let text = line("BLOCK_JOB_PENDING", r#"{"type": "defragment", "id": "j0"}"#);
    let message = decode(&text);
    let Event::BlockJobPending(job) = &message.event else {
        panic!("an unknown type is no reason to be untyped");
    };
    assert_eq!(job.r#type, JobType::Unknown("defragment".into()));
    let value = Outside::Value {
        member: "type".into(),
        value: "defragment".into(),
    };
    assert_eq!(message.outside(), [value]);

    let text = line(
        "GUEST_PANICKED",
        r#"{"action": "run", "info": {"type": "riscv", "hart": 18446744073709551615}}"#,
    );
    let message = decode(&text);
    let Event::GuestPanicked(panic) = &message.event else {
        panic!("an unknown kind of information is no reason to be untyped");
    };
    let Some(GuestPanicInformation::Unknown(info)) = &panic.info else {
        panic!("{:?}", panic.info);
    };
    assert_eq!(&*info.tag, "riscv");
    let hart = info.extra.member("hart").map(|raw| raw.as_str());
    assert_eq!(hart, Some("18446744073709551615"));
    assert_eq!(message.unknown_members(), ["info.hart"]);
}

#[test]
fn all_64_bits_count() {
    let text = line(
        "GUEST_PANICKED",
        r#"{"action": "pause", "info": {"type": "hyper-v", "arg1": 18446744073709551615, "arg2": 9007199254740993, "arg3": 0, "arg4": 1, "arg5": 9223372036854775808}}"#,
    );
    let Event::GuestPanicked(panic) = decode(&text).event else {
        panic!("GUEST_PANICKED is known");
    };
    let Some(GuestPanicInformation::HyperV(args)) = panic.info else {
        panic!("{:?}", panic.info);
    };
    assert_eq!(args.arg1, u64::MAX);
    assert_eq!(args.arg2, (1 << 53) + 1);
    assert_eq!(args.arg5, 1 << 63);
}

#[test]
fn strangers_stand_where_qemu_would_have_put_them() {
    // Two strangers in the bucket of the one known member: QEMU prints what it added last first.
    let mut same_bucket = (0..)
        .map(|i| format!("x{i}"))
        .filter(|n| bucket(n) == bucket("actual"));
    let (first, second) = (same_bucket.next().unwrap(), same_bucket.next().unwrap());
    let text = line(
        "BALLOON_CHANGE",
        &format!(r#"{{"{first}": 1, "{second}": {{"deep": []}}, "actual": 3}}"#),
    );
    let message = decode(&text);
    assert_eq!(message.event.kind(), Some(EventKind::BalloonChange));
    assert_eq!(message.unknown_members(), [first.as_str(), &second]);
    assert_eq!(message.encode(), text);

    // In any other order the same message comes out.
    let shuffled = line(
        "BALLOON_CHANGE",
        &format!(r#"{{"actual":3,"{first}":1,"{second}":{{"deep":[]}}}}"#),
    );
    assert_eq!(decode(&shuffled).encode(), text);
}

#[test]
fn a_host_without_a_clock_and_senders_that_are_no_qemu() {
    let text = r#"{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "STOP"}"#;
    let message = decode(text);
    assert_eq!(message.timestamp, Some(Timestamp::UNKNOWN));
    assert_eq!(message.encode(), text);

    let unstamped = r#"{"event": "STOP"}"#;
    assert_eq!(decode(unstamped).timestamp, None);
    assert_eq!(decode(unstamped).encode(), unstamped);

    // Stamps of another shape are kept as members nobody knows.
    for odd in [
        r#"{"timestamp": 12.5, "event": "STOP"}"#,
        r#"{"timestamp": {"seconds": 1}, "event": "STOP"}"#,
        r#"{"timestamp": {"seconds": 1, "microseconds": 2, "zone": 3}, "event": "STOP"}"#,
    ] {
        let message = decode(odd);
        assert_eq!(message.timestamp, None);
        assert_eq!(message.unknown_members(), [".timestamp"]);
        assert_eq!(message.encode(), odd);
    }
}

#[test]
fn what_is_no_event_is_refused_with_the_reason() {
    let deep = format!(
        r#"{{"event": "X", "data": {}}}"#,
        "[".repeat(1025) + &"]".repeat(1025)
    );
    for (text, why) in [
        ("", "ends"),
        ("{", "ends"),
        (r#"{"event": "STOP""#, "ends"),
        (r#"{"event": "STOP"} x"#, "expected the end"),
        (r#"{"event": "STOP",}"#, "not JSON"),
        (r#"{"event": "STOP", "data": {"a": tru}}"#, "not JSON"),
        ("{'event': 'STOP'}", "not JSON"),
        (&deep, "1024"),
    ] {
        let error = Message::decode(text).expect_err(text);
        assert!(
            matches!(error, DecodeError::NotJson(_)),
            "{error:?}: {text}"
        );
        assert!(error.to_string().contains(why), "{error}: {text}");
    }
    for text in [
        "1",
        "[]",
        "null",
        r#""STOP""#,
        "{}",
        r#"{"return": {}}"#,
        r#"{"event": 1}"#,
    ] {
        assert_eq!(
            Message::decode(text),
            Err(DecodeError::NotAnEvent),
            "{text}"
        );
    }
    for (member, text) in [
        ("event", r#"{"event": "STOP", "event": "STOP"}"#),
        ("data", r#"{"event": "STOP", "data": {}, "data": {}}"#),
    ] {
        assert_eq!(Message::decode(text), Err(DecodeError::Twice(member)));
    }
}

#[test]
fn plain_text_is_borrowed() {
    let text = line(
        "JOB_STATUS_CHANGE",
        r#"{"id": "backup-0", "status": "running"}"#,
    );
    let Event::JobStatusChange(change) = decode(&text).event else {
        panic!("JOB_STATUS_CHANGE is known");
    };
    assert!(matches!(change.id, std::borrow::Cow::Borrowed("backup-0")));
}
