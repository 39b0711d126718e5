//! Stories of a monitor session that no recording tells: order, suspension, limits.

use qmp_events::Version;
use qmp_protocol::monitor::{Closed, Mode, MonitorSession, Object, Personality, Request};

const EVENT: &str = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#;

fn greeted() -> MonitorSession {
    let mut session = MonitorSession::new(Personality::of(Version::new(7, 2)));
    take(&mut session);
    session
}

fn negotiated(enable: &str) -> MonitorSession {
    let mut session = greeted();
    let command =
        format!("{{'execute': 'qmp_capabilities', 'arguments': {{'enable': [{enable}]}}}}");
    session.handle_input(command.as_bytes());
    assert_eq!(session.poll_request(), None);
    assert_eq!(take(&mut session), "{\"return\": {}}\r\n");
    session
}

fn take(session: &mut MonitorSession) -> String {
    let output = String::from_utf8(session.output().to_vec()).unwrap();
    session.consume_output(output.len());
    output
}

fn reply_empty(session: &mut MonitorSession, request: &Request) {
    session.reply(request.ticket, Ok(Object::new().into()));
}

#[test]
fn events_before_negotiation_are_lost_and_not_kept() {
    let mut session = greeted();
    assert!(!session.handle_event(EVENT));
    session.handle_input(b"{'execute': 'qmp_capabilities'}");
    assert_eq!(session.poll_request(), None);
    assert_eq!(session.mode(), Mode::Ready { oob: false });
    assert!(session.handle_event(EVENT));
    assert_eq!(
        take(&mut session),
        format!("{{\"return\": {{}}}}\r\n{EVENT}\r\n")
    );
}

/// As found by playing random input to QEMU 7.2 and 10.0.
#[test]
fn a_second_negotiation_has_its_arguments_looked_at_first() {
    let mut session = negotiated("");
    let desc = |session: &mut MonitorSession, enable: &str| {
        let command =
            format!("{{'execute': 'qmp_capabilities', 'arguments': {{'enable': {enable}}}}}");
        session.handle_input(command.as_bytes());
        assert_eq!(session.poll_request(), None);
        take(session)
    };
    assert!(desc(&mut session, "['zap']").contains("does not accept value 'zap'"));
    assert!(desc(&mut session, "[1]").contains("type for 'enable[0]', expected: string"));
    assert!(desc(&mut session, "['oob']").contains("negotiation is already complete"));
}

#[test]
fn without_oob_input_is_suspended_behind_each_command() {
    let mut session = negotiated("");
    session.handle_input(b"{'execute': 'a', 'id': 1}]{'execute': 'b', 'id': 2}");
    let first = session.poll_request().unwrap();
    assert!(!session.wants_input());
    assert_eq!(session.poll_request(), None, "one at a time");
    session.handle_event(EVENT);
    assert_eq!(
        take(&mut session),
        format!("{EVENT}\r\n"),
        "events do not wait"
    );
    reply_empty(&mut session, &first);
    let second = session.poll_request().unwrap();
    assert_eq!(second.name, "b");
    let replies = take(&mut session);
    assert!(
        replies.starts_with("{\"return\": {}, \"id\": 1}\r\n{\"error\""),
        "{replies}"
    );
    reply_empty(&mut session, &second);
    assert_eq!(session.poll_request(), None);
    assert!(session.wants_input());
}

#[test]
fn with_oob_eight_are_queued_and_an_urgent_one_overtakes() {
    let mut session = negotiated("'oob'");
    for id in 0..8 {
        session.handle_input(format!("{{'execute': 'slow', 'id': {id}}}").as_bytes());
    }
    let running = session.poll_request().unwrap();
    assert_eq!(session.poll_request(), None);
    session.handle_input(b"{'exec-oob': 'fast', 'id': 'oob'}");
    let urgent = session.poll_request().unwrap();
    assert!(urgent.oob);
    reply_empty(&mut session, &urgent);
    assert_eq!(take(&mut session), "{\"return\": {}, \"id\": \"oob\"}\r\n");

    // With one running and eight queued nothing is read on, so no urgent command is seen.
    session.handle_input(b"{'execute': 'slow', 'id': 8}");
    assert_eq!(session.poll_request(), None);
    assert!(!session.wants_input());
    session.handle_input(b"{'exec-oob': 'fast', 'id': 'late'}");
    assert_eq!(session.poll_request(), None);
    reply_empty(&mut session, &running);
    let next = session.poll_request().unwrap();
    assert_eq!((next.name.as_str(), next.oob), ("slow", false));
    assert!(
        session.poll_request().unwrap().oob,
        "the queue has room again"
    );
}

#[test]
fn a_busy_machine_leaves_room_for_oob_only() {
    let mut session = negotiated("'oob'");
    session.handle_input(b"{'execute': 'a'}{'exec-oob': 'b'}");
    let urgent = session.poll_oob_request().unwrap();
    assert_eq!(urgent.name, "b");
    reply_empty(&mut session, &urgent);
    assert_eq!(session.poll_oob_request(), None);
    assert_eq!(session.poll_request().unwrap().name, "a");
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let mut session = MonitorSession::new(Personality::of(Version::new(7, 2)));
    session = session.with_output_limit(1000);
    session.handle_input(b"{'execute': 'qmp_capabilities'}");
    session.poll_request();
    let sent = (0..100).take_while(|_| session.handle_event(EVENT)).count();
    assert!(sent > 5 && sent < 20, "{sent}");
    let Some(Closed::NotReading {
        unread_bytes,
        limit_bytes: 1000,
    }) = session.closed()
    else {
        panic!("{:?}", session.closed());
    };
    assert!(*unread_bytes > 1000);
    assert_eq!(session.output(), b"", "nothing is written to it any more");
    assert!(!session.wants_input());
    session.handle_input(b"{'execute': 'a'}");
    assert_eq!(session.poll_request(), None);
}

#[test]
fn a_reader_that_is_merely_slow_loses_nothing() {
    let mut session = negotiated("");
    let mut expected = String::new();
    let mut read = String::new();
    for n in 0..1000 {
        let event = EVENT.replace('2', &n.to_string());
        session.handle_event(&event);
        expected.push_str(&event);
        expected.push_str("\r\n");
        let some = session.output().len().min(50);
        read.push_str(std::str::from_utf8(&session.output()[..some]).unwrap());
        session.consume_output(some);
    }
    read.push_str(&take(&mut session));
    assert_eq!(read, expected);
}

#[test]
fn the_reply_to_a_running_command_outlives_the_client_s_end() {
    let mut session = negotiated("");
    session.handle_input(b"{'execute': 'a'}");
    let request = session.poll_request().unwrap();
    session.handle_eof();
    assert_eq!(session.closed(), None);
    reply_empty(&mut session, &request);
    assert_eq!(session.closed(), Some(&Closed::Left));
    assert_eq!(take(&mut session), "{\"return\": {}}\r\n");
}

/// As QEMU 7.2 and 10.0: with out-of-band execution input is read on, so the end is seen at once.
#[test]
fn with_oob_the_client_s_end_is_the_end() {
    let mut session = negotiated("'oob'");
    session.handle_input(b"{'execute': 'a'}");
    let request = session.poll_request().unwrap();
    session.handle_eof();
    assert_eq!(session.closed(), Some(&Closed::Left));
    reply_empty(&mut session, &request);
    assert_eq!(take(&mut session), "");
}

#[test]
fn the_answer_to_who_left_goes_to_who_comes_next() {
    let mut left = negotiated("");
    left.handle_input(b"{'execute': 'a', 'id': 7}");
    let request = left.poll_request().unwrap();
    left.close(Closed::Left);
    let mut next = greeted();
    next.take_over(left);
    assert!(!next.wants_input(), "a command is running");
    reply_empty(&mut next, &request);
    assert_eq!(take(&mut next), "{\"return\": {}, \"id\": 7}\r\n");
    assert_eq!(next.mode(), Mode::Negotiating);
    assert!(next.wants_input());
}

#[test]
fn pretty_prints_events_and_replies_over_lines() {
    let mut personality = Personality::of(Version::new(7, 2));
    personality.pretty = true;
    let mut session = MonitorSession::new(personality);
    take(&mut session);
    session.handle_input(b"{'execute': 'qmp_capabilities'}");
    session.poll_request();
    assert_eq!(
        take(&mut session),
        "{\r\n    \"return\": {\r\n    }\r\n}\r\n"
    );
    session.handle_event(EVENT);
    let expected = "{\r\n    \"timestamp\": {\r\n        \"seconds\": 1,\r\n        \"microseconds\": 2\r\n    },\r\n    \"event\": \"STOP\"\r\n}\r\n";
    assert_eq!(take(&mut session), expected);
}

#[test]
fn old_releases_offer_no_oob() {
    let mut session = MonitorSession::new(Personality::of(Version::new(2, 6)));
    let greeting = take(&mut session);
    assert!(
        greeting.ends_with("\"package\": \"\"}, \"capabilities\": []}}\r\n"),
        "{greeting}"
    );
    session.handle_input(b"{'execute': 'qmp_capabilities', 'arguments': {'enable': ['oob']}}");
    session.poll_request();
    assert!(take(&mut session).contains("Capability oob not available"));
    assert_eq!(session.mode(), Mode::Negotiating);
}

/// The texts are from documents of the time; no running QEMU was asked.
#[test]
fn early_releases_complain_in_other_words() {
    let complaints = |version: Version| -> Vec<String> {
        let mut session = MonitorSession::new(Personality::of(version));
        take(&mut session);
        session.handle_input(b"[] {'id': 1} {'execute': 1} {'arguments': []} {'x': 1} [1 2]");
        session.handle_input(b"{'execute': 'stop'}");
        assert_eq!(session.poll_request(), None);
        let output = take(&mut session);
        let descs = output.lines().map(|line| {
            let (_, desc) = line.split_once("\"desc\": \"").unwrap();
            desc.split_once("\"}").unwrap().0.to_owned()
        });
        descs.collect()
    };
    let early = [
        "Expected 'object' in QMP input",
        "Expected 'execute' in QMP input",
        "QMP input object member 'execute' expects 'string'",
        "QMP input object member 'arguments' expects 'object'",
        "QMP input object member 'x' is unexpected",
        "Invalid JSON syntax",
        "Expecting capabilities negotiation with 'qmp_capabilities'",
    ];
    assert_eq!(complaints(Version::new(2, 6)), early);
    let between = complaints(Version::new(2, 9));
    assert_eq!(between[0], "QMP input must be a JSON object");
    assert_eq!(between[5], "Invalid JSON syntax");
    let separator = "JSON parse error, expected separator in list";
    assert_eq!(complaints(Version::new(3, 1))[5], separator);
}
