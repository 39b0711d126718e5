//! Where messages begin and end, in order and after faults.

use qmp_protocol::limits::{MESSAGE_SIZE_MAX_BYTES, NESTING_DEPTH_MAX_LEVELS};
use qmp_protocol::{Frame, Framer, GarbageKind, Scanner, Step};

pub(crate) const GREETING: &str = concat!(
    r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "#,
    r#""package": "Debian 1:7.2+dfsg-7"}, "capabilities": ["oob"]}}"#
);
pub(crate) const STOP: &str = concat!(
    r#"{"timestamp": {"seconds": 1267020223, "microseconds": 435656}, "#,
    r#""event": "STOP"}"#
);
pub(crate) const PANIC: &str = concat!(
    r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "GUEST_PANICKED", "#,
    r#""data": {"action": "pause", "info": {"core": 0, "psw-addr": 18446744073709551615, "#,
    r#""reason": "a \"quoted\" { [ \\ } ] \u00e9"}, "list": [1, [], {}, -2.5e3, true, null]}}"#
);

/// The texts of the messages and the kinds of garbage, in order.
fn frames(stream: &[u8]) -> Vec<String> {
    let mut framer = Framer::new();
    framer.push(stream);
    let mut found = Vec::new();
    loop {
        while let Some(frame) = framer.next_frame() {
            found.push(match frame {
                Frame::Message { text, .. } => text.to_owned(),
                Frame::Garbage(garbage) => format!("{:?} {}", garbage.why, garbage.len),
            });
        }
        match framer.finish() {
            Some(garbage) => found.push(format!("{:?} {}", garbage.why, garbage.len)),
            None => return found,
        }
    }
}

#[track_caller]
fn check(stream: impl AsRef<[u8]>, expected: &[&str]) {
    let stream = stream.as_ref();
    assert_eq!(
        frames(stream),
        expected,
        "{}",
        String::from_utf8_lossy(stream)
    );
}

#[test]
fn messages_in_every_layout() {
    let pretty = "{\r\n    \"event\": \"STOP\",\r\n    \"data\": {\r\n    }\r\n}";
    check(
        format!("{GREETING}\r\n{STOP}\r\n{PANIC}\r\n"),
        &[GREETING, STOP, PANIC],
    );
    check(format!("{GREETING}\n{STOP}\n\n\n"), &[GREETING, STOP]);
    check(format!("{STOP}{PANIC}{GREETING}"), &[STOP, PANIC, GREETING]);
    check(
        format!("\t {pretty}\r\n{pretty}\r\n{STOP}"),
        &[pretty, pretty, STOP],
    );
    check("", &[]);
    check("{}{ }", &["{}", "{ }"]);
}

#[test]
fn offsets_count_from_the_start_of_the_stream() {
    let mut framer = Framer::new();
    framer.push(b"{}\r\nxy\n ");
    framer.push(b"\n{\"a\": 1}");
    let offset = 0;
    assert_eq!(
        framer.next_frame(),
        Some(Frame::Message { text: "{}", offset })
    );
    let Some(Frame::Garbage(garbage)) = framer.next_frame() else {
        panic!()
    };
    assert_eq!((garbage.offset, garbage.len), (4, 5));
    let offset = 9;
    let text = "{\"a\": 1}";
    assert_eq!(framer.next_frame(), Some(Frame::Message { text, offset }));
    assert_eq!((framer.offset(), framer.pending_bytes()), (17, 0));
}

#[test]
fn every_kind_of_garbage_and_the_message_after_it() {
    let cases: [(&[u8], &str); 18] = [
        (b"oops", "OutsideMessage"),
        (b"[1, 2]", "OutsideMessage"),
        (b"}", "OutsideMessage"),
        (b"\xFF\xFB\x01", "OutsideMessage"),
        (b"{\"a\": \"b\x01c\"}", "ControlCharacter"),
        (b"{\"a\": \"b\\\n\"}", "ControlCharacter"),
        (b"{\"a\" 1}", "UnexpectedByte"),
        (b"{\"a\": 1 \"b\": 2}", "UnexpectedByte"),
        (b"{\"a\": 1,}", "UnexpectedByte"),
        (b"{\"a\": [1,]}", "UnexpectedByte"),
        (b"{'a': 1}", "UnexpectedByte"),
        (b"{\"a\": \xC3\xA9}", "UnexpectedByte"),
        (b"{\"a\": [1}", "MismatchedBracket"),
        (b"{\"a\": {\"b\": 1]}", "MismatchedBracket"),
        (b"{\"a\": \"\xC3\"}", "NotUtf8"),
        (b"{\"a\": tru}", "NotJson"),
        (b"{\"a\": \"\\x\", \"b\": 01}", "NotJson"),
        (b"{\"a\": \"\\u12g4\"}", "NotJson"),
    ];
    for (garbage, kind) in cases {
        let stream = [STOP.as_bytes(), b"\r\n", garbage, b"\r\n", PANIC.as_bytes()].concat();
        let found = frames(&stream);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!((&*found[0], &*found[2]), (STOP, PANIC));
        // What is complete ends where it ends; what is broken, where the next line begins.
        let whole = matches!(kind, "NotUtf8" | "NotJson");
        let len = garbage.len() + if whole { 0 } else { 2 };
        assert_eq!(found[1], format!("{kind} {len}"));
    }
}

/// A recording that broke off and was continued by another: the half costs itself only.
#[track_caller]
fn check_half(whole: &str, cut: usize, between: &str, next: &[&str]) {
    let half = &whole[..cut];
    let stream = format!("{half}{between}{}\r\n", next.join("\r\n"));
    let mut found = frames(stream.as_bytes());
    let broken = found.remove(0);
    assert_eq!(found, next, "cut at {cut}: {broken}");
    let lost = half.len()..=half.len() + between.len();
    let len = broken
        .split(' ')
        .next_back()
        .and_then(|len| len.parse().ok());
    assert!(
        len.is_some_and(|len: usize| lost.contains(&len)),
        "cut at {cut}: {broken}"
    );
}

#[test]
fn half_a_message_costs_that_half_wherever_it_broke_off() {
    let pretty_panic = PANIC
        .replace(", \"", ",\r\n    \"")
        .replace('{', "{\r\n    ");
    for whole in [STOP, PANIC, &pretty_panic] {
        for cut in 1..whole.len() {
            for between in ["", "\n", "\r\n"] {
                check_half(whole, cut, between, &[GREETING, STOP]);
                check_half(whole, cut, between, &[STOP, PANIC, GREETING]);
            }
        }
    }
}

#[test]
fn half_a_message_is_found_broken_as_soon_as_the_next_begins() {
    let mut framer = Framer::new();
    framer.push(format!("{{\"event\": \"ST{GREETING}").as_bytes());
    let Some(Frame::Garbage(garbage)) = framer.next_frame() else {
        panic!()
    };
    assert_eq!((garbage.why, garbage.len), (GarbageKind::CutShort, 13));
    let offset = 13;
    assert_eq!(
        framer.next_frame(),
        Some(Frame::Message {
            text: GREETING,
            offset
        })
    );
}

#[test]
fn a_pretty_message_begins_inside_a_string_that_was_cut_off() {
    let pretty = "{\r\n    \"QMP\": {\r\n    }\r\n}";
    check(
        format!("{{\"event\": \"ST{pretty}"),
        &["CutShort 13", pretty],
    );
    check(
        format!("{{\"event\": \"{{\r\n{STOP}"),
        &["ControlCharacter 14", STOP],
    );
}

#[test]
fn a_whole_message_inside_half_a_one_is_found_at_the_end_too() {
    check(
        format!("{{\"timestamp\": {GREETING}"),
        &["CutShort 14", GREETING],
    );
    check("{\"timestamp\": {\"seconds\": 1}", &["Unfinished 28"]);
    check("{\"event\": \"ST", &["Unfinished 13"]);
    check("noise", &["OutsideMessage 5"]);
}

#[test]
fn the_tail_of_a_recording_gives_up_its_messages() {
    let tail = &PANIC[30..];
    let outside = format!("OutsideMessage {}", tail.len());
    check(format!("{tail}{STOP}"), &[&outside, STOP]);
    check(
        format!("12:00 INFO event={STOP}\n12:01 INFO reply={{\"return\": {{}}}}\n"),
        &[
            "OutsideMessage 17",
            STOP,
            "OutsideMessage 17",
            "{\"return\": {}}",
        ],
    );
}

#[test]
fn two_kinds_of_garbage_in_a_row_are_two() {
    check(
        "{\"a\" {\"b\" {\"event\": 1}",
        &["CutShort 5", "CutShort 5", "{\"event\": 1}"],
    );
}

#[test]
fn the_limits_hold_to_the_byte() {
    let with_size = |size: usize| {
        let empty = "{\"a\": \"\"}".len();
        format!("{{\"a\": \"{}\"}}", "x".repeat(size - empty))
    };
    let largest = with_size(MESSAGE_SIZE_MAX_BYTES);
    let mut framer = Framer::new();
    framer.push(largest.as_bytes());
    framer.push(b"\n");
    assert!(matches!(framer.next_frame(), Some(Frame::Message { .. })));

    framer.push(with_size(MESSAGE_SIZE_MAX_BYTES + 1).as_bytes());
    framer.push(format!("\r\n{STOP}").as_bytes());
    let Some(Frame::Garbage(garbage)) = framer.next_frame() else {
        panic!()
    };
    assert_eq!(garbage.why, GarbageKind::TooLarge);
    assert_eq!(garbage.len, MESSAGE_SIZE_MAX_BYTES as u64 + 1 + 2);
    assert!(matches!(
        framer.next_frame(),
        Some(Frame::Message { text: STOP, .. })
    ));

    let with_depth = |depth: usize| {
        let arrays = depth - 1;
        format!("{{\"a\": {}{}}}", "[".repeat(arrays), "]".repeat(arrays))
    };
    let deepest = with_depth(NESTING_DEPTH_MAX_LEVELS);
    check(&deepest, &[&deepest]);
    let deeper = with_depth(NESTING_DEPTH_MAX_LEVELS + 1);
    let why = format!("TooDeep {}", deeper.len() + 1);
    check(format!("{deeper}\n{STOP}"), &[&why, STOP]);
}

#[test]
fn an_endless_line_of_garbage_takes_no_memory() {
    let mut framer = Framer::new();
    for _ in 0..1000 {
        framer.push(&[b'x'; 4096]);
        assert_eq!(framer.next_frame(), None);
        assert_eq!(framer.pending_bytes(), 0);
    }
    let unsettled = framer.unsettled().map(|garbage| garbage.len);
    assert_eq!(unsettled, Some(4_096_000));
}

#[test]
fn a_scanner_looks_at_each_byte_of_a_growing_window_once() {
    // 16 MiB in pushes of 4 KiB: looking again from the start each time would take hours.
    let message = format!("{{\"return\": \"{}\"}}", "x".repeat(16 << 20));
    let mut scanner = Scanner::new();
    for end in (0..message.len()).step_by(4096) {
        assert_eq!(scanner.step(&message.as_bytes()[..end]), Step::More);
    }
    assert_eq!(
        scanner.step(message.as_bytes()),
        Step::Message(message.len())
    );
}
