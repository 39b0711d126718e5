//! The client's side of a conversation: stories of a session and a scripted server.

use std::time::{Duration, Instant};

use qmp_protocol::limits::OUTSTANDING_MAX_COMMANDS;
use qmp_protocol::{
    ClientSession, CloseReason, ErrorClass, Garbage, GarbageKind, Output, RefusedCommand,
    SessionOptions, State,
};

use crate::framing::{GREETING, STOP};

const RETURN: &str = "{\"return\": {}, \"id\": 0}\r\n";

fn session(oob: bool) -> ClientSession {
    let options = SessionOptions {
        oob,
        ..SessionOptions::default()
    };
    ClientSession::new(options, Instant::now())
}

/// A session that is ready.
fn ready(oob: bool) -> ClientSession {
    let mut session = session(oob);
    session.handle_input(GREETING.as_bytes());
    assert_eq!(session.poll_output(), None);
    assert!(session.poll_transmit().is_some());
    session.handle_input(RETURN.as_bytes());
    assert_eq!(session.poll_output(), Some(Output::Ready));
    assert_eq!(session.state(), State::Ready);
    session
}

fn sent(session: &mut ClientSession) -> Option<String> {
    session
        .poll_transmit()
        .map(|text| String::from_utf8(text).unwrap())
}

#[track_caller]
fn closed(session: &mut ClientSession) -> CloseReason {
    let Some(Output::Closed(reason)) = session.poll_output() else {
        panic!("the session is over")
    };
    assert_eq!(session.state(), State::Closed);
    assert_eq!(session.poll_output(), None, "the end is the last output");
    reason
}

#[test]
fn events_come_in_every_state() {
    let mut session = session(false);
    session.handle_input(format!("{STOP}\r\n{GREETING}\r\n{STOP}\r\n{RETURN}{STOP}").as_bytes());
    assert_eq!(session.poll_output(), Some(Output::Event(STOP)));
    assert_eq!(session.state(), State::AwaitingGreeting);
    assert_eq!(session.poll_output(), Some(Output::Event(STOP)));
    assert_eq!(session.state(), State::Negotiating);
    assert_eq!(session.poll_output(), Some(Output::Ready));
    assert_eq!(session.poll_output(), Some(Output::Event(STOP)));
    assert_eq!(session.poll_output(), None);
    assert_eq!(session.greeting().unwrap().version.micro, 22);
}

#[test]
fn out_of_band_is_enabled_only_if_wanted_and_offered() {
    let without = GREETING.replace("\"oob\"", "");
    let enable =
        "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]},\"id\":0}\n";
    let plain = "{\"execute\":\"qmp_capabilities\",\"id\":0}\n";
    let cases = [
        (true, GREETING, enable),
        (false, GREETING, plain),
        (true, &*without, plain),
    ];
    for (wanted, greeting, expected) in cases {
        let mut session = session(wanted);
        session.handle_input(greeting.as_bytes());
        assert_eq!(session.poll_output(), None);
        assert_eq!(sent(&mut session).as_deref(), Some(expected));
        assert_eq!(sent(&mut session), None);
        assert_eq!(session.oob(), expected == enable);
        let refused = session.execute("yank", None, true).err();
        assert_eq!(
            refused,
            (expected == plain).then_some(RefusedCommand::NoOob)
        );
    }
}

#[test]
fn commands_wait_for_the_negotiation_and_for_room_in_order() {
    let mut session = session(false);
    let ids: Vec<_> = (0..10)
        .map(|_| session.execute("query-status", None, false).unwrap())
        .collect();
    assert_eq!(sent(&mut session), None);
    session.handle_input(GREETING.as_bytes());
    assert_eq!(session.poll_output(), None);
    assert!(sent(&mut session).unwrap().contains("qmp_capabilities"));
    assert_eq!(sent(&mut session), None);
    session.handle_input(RETURN.as_bytes());
    assert_eq!(session.poll_output(), Some(Output::Ready));

    for id in &ids[..8] {
        let expected = format!("{{\"execute\":\"query-status\",\"id\":{id}}}\n");
        assert_eq!(sent(&mut session), Some(expected));
    }
    assert_eq!((sent(&mut session), session.in_flight()), (None, 8));
    session.handle_input(format!("{{\"return\": 1, \"id\": {}}}", ids[0]).as_bytes());
    let reply = Output::Reply {
        id: ids[0],
        result: Ok("1"),
    };
    assert_eq!(session.poll_output(), Some(reply));
    assert!(
        sent(&mut session)
            .unwrap()
            .ends_with(&format!(":{}}}\n", ids[8]))
    );
    assert_eq!(sent(&mut session), None);
}

#[test]
fn out_of_band_overtakes_even_a_full_queue_and_replies_come_in_any_order() {
    let mut session = ready(true);
    let slow: Vec<_> = (0..9)
        .map(|_| session.execute("slow", None, false).unwrap())
        .collect();
    while session.poll_transmit().is_some() {}
    let urgent = session.execute("yank", Some("{}"), true).unwrap();
    let expected = format!("{{\"exec-oob\":\"yank\",\"arguments\":{{}},\"id\":{urgent}}}\n");
    assert_eq!(sent(&mut session), Some(expected));
    for id in [urgent, slow[3], slow[0]] {
        session.handle_input(format!("{{\"return\": {{}}, \"id\": {id}}}\r\n").as_bytes());
        let result = Ok("{}");
        assert_eq!(session.poll_output(), Some(Output::Reply { id, result }));
    }
}

#[test]
fn an_error_is_a_reply_typed_by_class() {
    let mut session = ready(false);
    let id = session.execute("nope", None, false).unwrap();
    sent(&mut session);
    let error = r#"{"class": "DeviceNotFound", "desc": "no \"d0\""}"#;
    session.handle_input(format!("{{\"id\": {id}, \"error\": {error}}}").as_bytes());
    let Some(Output::Reply { result, .. }) = session.poll_output() else {
        panic!()
    };
    let error = result.unwrap_err();
    assert_eq!(error.class, ErrorClass::DeviceNotFound);
    assert_eq!(error.desc, "no \"d0\"");
}

#[test]
fn a_reply_that_answers_nothing_is_told_and_not_taken_for_another() {
    let mut session = ready(false);
    session.execute("stop", None, false).unwrap();
    sent(&mut session);
    let strays = [
        r#"{"error": {"class": "GenericError", "desc": "JSON parse error, stray 'x'"}}"#,
        r#"{"return": {}, "id": 99}"#,
        r#"{"return": {}, "id": "1"}"#,
        r#"{"return": {}, "id": 0}"#,
        r#"{"return": {}, "id": null}"#,
        r#"{"return": {}, "id": -1}"#,
        r#"{"what": "ever"}"#,
    ];
    for stray in strays {
        session.handle_input(stray.as_bytes());
        assert_eq!(session.poll_output(), Some(Output::Stray(stray)));
    }
    session.handle_input(br#"{"return": {}, "id": 1}{"return": {}, "id": 1}"#);
    assert!(matches!(session.poll_output(), Some(Output::Reply { .. })));
    let again = Output::Stray(r#"{"return": {}, "id": 1}"#);
    assert_eq!(session.poll_output(), Some(again), "only once");
}

#[test]
fn a_cancelled_command_is_not_sent_or_its_reply_not_told() {
    let mut session = ready(false);
    let sent_one = session.execute("slow", None, false).unwrap();
    sent(&mut session);
    let unsent = session.execute("never", None, false).unwrap();
    assert!(session.awaits_reply());
    session.cancel(sent_one);
    session.cancel(unsent);
    assert!(!session.awaits_reply());
    assert_eq!(sent(&mut session), None);
    assert_eq!(session.in_flight(), 1, "QEMU still has it");

    let next = session.execute("next", None, false).unwrap();
    assert!(next > unsent, "an id is never used twice");
    session.handle_input(format!("{{\"return\": 1, \"id\": {sent_one}}}").as_bytes());
    assert_eq!(session.poll_output(), None);
    assert_eq!(session.in_flight(), 0);
}

#[test]
fn too_many_commands_are_refused() {
    let mut session = ready(false);
    for _ in 0..OUTSTANDING_MAX_COMMANDS {
        session.execute("x", None, false).unwrap();
    }
    let one_more = session.execute("x", None, false);
    assert_eq!(one_more, Err(RefusedCommand::TooMany));
}

#[test]
fn the_handshake_has_a_deadline_and_the_rest_has_none() {
    let start = Instant::now();
    let limit = SessionOptions::default().greeting_timeout;
    let mut silent = ClientSession::new(SessionOptions::default(), start);
    assert_eq!(silent.poll_timeout(), Some(start + limit));
    silent.handle_timeout(start + limit - Duration::from_nanos(1));
    assert_eq!(silent.poll_output(), None);
    silent.handle_timeout(start + limit);
    assert_eq!(closed(&mut silent), CloseReason::GreetingTimeout);

    let options = SessionOptions {
        greeting_timeout: Duration::MAX,
        ..SessionOptions::default()
    };
    let mut patient = ClientSession::new(options, start);
    assert_eq!(patient.poll_timeout(), None);
    patient.handle_timeout(start + 1000 * limit);
    assert_eq!(patient.poll_output(), None);

    let mut stuck = session(false);
    stuck.handle_input(GREETING.as_bytes());
    assert_eq!(stuck.poll_output(), None);
    stuck.handle_timeout(start + 2 * limit);
    assert_eq!(closed(&mut stuck), CloseReason::NegotiationTimeout);

    let mut ready = ready(false);
    assert_eq!(ready.poll_timeout(), None);
    ready.handle_timeout(start + 100 * limit);
    assert_eq!(ready.poll_output(), None);
}

#[test]
fn what_speaks_no_qmp_is_told_by_its_first_bytes() {
    for said in [
        "SSH-2.0-OpenSSH\r\n",
        "\u{ff}",
        "{\"hello\": 1}",
        "{]",
        RETURN,
    ] {
        let mut session = session(false);
        session.handle_input(said.as_bytes());
        let CloseReason::NotQmp { sample } = closed(&mut session) else {
            panic!("{said}")
        };
        assert!(
            !sample.is_empty() && said.as_bytes().starts_with(&sample),
            "{said}"
        );
        assert_eq!(session.poll_transmit(), None);
    }
}

#[test]
fn garbage_in_a_conversation_is_told_and_survived() {
    let mut session = ready(false);
    session.handle_input(format!("\x07{STOP}\r\n{{\"eve\r\n{STOP}").as_bytes());
    let whys = [GarbageKind::OutsideMessage, GarbageKind::ControlCharacter];
    for why in whys {
        let Some(Output::Garbage(garbage)) = session.poll_output() else {
            panic!("{why:?}")
        };
        assert_eq!(garbage.why, why);
        assert_eq!(session.poll_output(), Some(Output::Event(STOP)));
    }
}

#[test]
fn the_end_of_the_stream_says_where_the_conversation_stood() {
    let mut unheard = session(false);
    unheard.handle_eof();
    let during = State::AwaitingGreeting;
    assert_eq!(
        closed(&mut unheard),
        CloseReason::Eof { during, half: None }
    );

    let mut greeted = session(false);
    greeted.handle_input(GREETING.as_bytes());
    greeted.handle_eof();
    let during = State::Negotiating;
    assert_eq!(
        closed(&mut greeted),
        CloseReason::Eof { during, half: None }
    );

    let mut ready = ready(false);
    ready.handle_input(format!("{STOP}\r\n{{\"ev").as_bytes());
    ready.handle_eof();
    assert_eq!(
        ready.poll_output(),
        Some(Output::Event(STOP)),
        "first what came before"
    );
    let CloseReason::Eof { during, half } = closed(&mut ready) else {
        panic!()
    };
    assert_eq!(during, State::Ready);
    let why = GarbageKind::Unfinished;
    assert!(matches!(half, Some(Garbage { len: 4, why: found, .. }) if found == why));
}

#[test]
fn after_the_end_nothing_goes_in_or_out() {
    let mut session = ready(false);
    session.execute("x", None, false).unwrap();
    session.close();
    session.close();
    session.handle_input(STOP.as_bytes());
    session.handle_eof();
    assert_eq!(closed(&mut session), CloseReason::ByUs);
    assert_eq!(session.poll_transmit(), None);
    let refused = session.execute("x", None, false);
    assert_eq!(refused, Err(RefusedCommand::Closed));
}

#[test]
fn a_second_greeting_means_that_the_session_is_not_heard_any_more() {
    let mut session = ready(false);
    session.handle_input(GREETING.as_bytes());
    assert_eq!(closed(&mut session), CloseReason::StartedOver);
}

#[test]
fn a_refused_negotiation_is_the_end() {
    let mut session = session(true);
    session.handle_input(GREETING.as_bytes());
    assert_eq!(session.poll_output(), None);
    session.handle_input(br#"{"id": 0, "error": {"class": "GenericError", "desc": "no"}}"#);
    let CloseReason::Refused(error) = closed(&mut session) else {
        panic!()
    };
    assert_eq!(error.desc, "no");
}

#[test]
fn a_session_goes_on_where_another_stopped() {
    let greeting = ready(true).greeting().unwrap().clone();
    let mut session = ClientSession::resume(greeting.clone(), true, 1000);
    assert_eq!(
        (session.state(), session.oob(), session.greeting()),
        (State::Ready, true, Some(&greeting))
    );
    assert_eq!((session.poll_timeout(), sent(&mut session)), (None, None));
    // What the other one asked is answered; nobody need know.
    session
        .handle_input(format!("{RETURN}{{\"return\": 7, \"id\": 999}}\r\n{STOP}\r\n").as_bytes());
    assert_eq!(session.poll_output(), Some(Output::Event(STOP)));
    assert_eq!(session.poll_output(), None);
    let id = session.execute("query-status", None, false).unwrap();
    assert_eq!(
        sent(&mut session).unwrap(),
        "{\"execute\":\"query-status\",\"id\":1001}\n"
    );
    session.handle_input(b"{\"return\": {}, \"id\": 1001}");
    let result = Ok("{}");
    assert_eq!(session.poll_output(), Some(Output::Reply { id, result }));
    session.handle_input(b"{\"return\": {}, \"id\": 1002}");
    assert!(matches!(session.poll_output(), Some(Output::Stray(_))));
}

#[test]
fn a_session_is_taken_over_from_its_first_byte() {
    let already = "{\"id\": 50, \"error\": {\"class\": \"CommandNotFound\", \"desc\": \"Capabilities negotiation is already complete, command ignored\"}}\r\n";
    for answer in [already, "{\"return\": {}, \"id\": 50}"] {
        let options = SessionOptions::default();
        let mut session = ClientSession::take_over(options, Instant::now(), 50);
        // The answers to what the other one asked come first.
        session.handle_input(
            format!("{GREETING}\r\n{RETURN}{{\"return\": {{}}, \"id\": 1}}").as_bytes(),
        );
        assert_eq!(session.poll_output(), None);
        assert_eq!(
            sent(&mut session).unwrap(),
            "{\"execute\":\"qmp_capabilities\",\"id\":50}\n"
        );
        session.handle_input(answer.as_bytes());
        assert_eq!(session.poll_output(), Some(Output::Ready));
    }
    // Whoever was never asked must not say that.
    let mut session = session(false);
    session.handle_input(GREETING.as_bytes());
    assert_eq!(session.poll_output(), None);
    session.handle_input(already.replace("50", "0").as_bytes());
    assert!(matches!(closed(&mut session), CloseReason::Refused(_)));
}

#[test]
fn offsets_say_how_far_the_stream_is_done_with() {
    let mut session = ready(false);
    let before = session.offset();
    assert_eq!(before, (GREETING.len() + RETURN.len()) as u64 - 2);
    session.handle_input(format!("\r\n{STOP}\r\n{{\"ret").as_bytes());
    assert_eq!(session.poll_output(), Some(Output::Event(STOP)));
    assert_eq!(session.poll_output(), None);
    assert_eq!(session.offset(), before + STOP.len() as u64 + 6);
    session.release_memory();
    assert_eq!(session.unfinished(), b"{\"ret");
    session.handle_input(b"urn\": {}}");
    assert!(matches!(session.poll_output(), Some(Output::Stray(_))));
    assert_eq!(session.unfinished(), b"");
}
