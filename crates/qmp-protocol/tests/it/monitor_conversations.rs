//! Conversations recorded with a real QEMU 7.2, played to a [`MonitorSession`]: every answer must be the
//! same, byte for byte, however the client's bytes are cut.
//!
//! In `tests/data/monitor/`: `> ` is what the client sent, bytes outside printable ASCII (and `%`) as
//! `%XX`; `< ` is a line QEMU answered, without its CR LF; `# fresh` is a new connection already
//! negotiated; a greeting among the answers is a new connection too; other `#` lines are remarks.

use qmp_events::Version;
use qmp_protocol::monitor::{Arguments, MonitorSession, Object, Personality, Request, Value};
use qmp_protocol::{CommandError, ErrorClass};

macro_rules! conversations {
    ($($test:ident $file:literal)*) => {$(
        #[test]
        fn $test() {
            let text = include_str!(concat!("../data/monitor/", $file, ".txt"));
            play(text, usize::MAX);
            play(text, 1);
            play(text, 7);
        }
    )*};
}

conversations! {
    before_negotiation "02-before-negotiation"
    wrong_shapes "05-wrong-shapes"
    ids "06-ids"
    malformed "07-malformed"
    stray_bytes "08-stray-bytes"
    framing "09-framing"
    out_of_band "13-oob"
}

/// Plays one recording, the client's bytes cut into pieces of `cut`.
fn play(recording: &str, cut: usize) {
    let mut session = connect();
    let mut answers = Vec::new();
    for line in recording.lines() {
        let (kind, text) = line.split_at(1);
        let text = text.strip_prefix(' ').unwrap_or(text);
        match kind {
            "#" if text == "fresh" => {
                assert_eq!(answers, Vec::<String>::new(), "answers nobody expected");
                session = connect();
                session.handle_input(b"{'execute': 'qmp_capabilities'}");
                run(&mut session);
                take_lines(&mut session);
            }
            "#" => {}
            ">" => {
                assert_eq!(answers, Vec::<String>::new(), "unexpected, before {text}");
                for piece in unescape(text).chunks(cut) {
                    session.handle_input(piece);
                    run(&mut session);
                }
                answers = take_lines(&mut session);
                answers.reverse();
            }
            "<" => {
                if text.starts_with(r#"{"QMP""#) {
                    assert_eq!(answers, Vec::<String>::new(), "answers nobody expected");
                    session = connect();
                    answers = take_lines(&mut session);
                }
                assert_eq!(answers.pop().as_deref(), Some(text));
            }
            _ => panic!("not a line of a recording: {line}"),
        }
    }
    assert_eq!(answers, Vec::<String>::new(), "answers nobody expected");
}

fn connect() -> MonitorSession {
    let mut personality = Personality::of(Version::new(7, 2));
    personality.micro = 22;
    personality.package = "Debian 1:7.2+dfsg-7+deb12u18+b3".to_owned();
    MonitorSession::new(personality)
}

/// Runs what the client asked for.
fn run(session: &mut MonitorSession) {
    while let Some(request) = session.poll_request() {
        let result = execute(&request);
        session.reply(request.ticket, result);
    }
}

/// The commands the recordings use, as the recorded QEMU answered them.
fn execute(request: &Request) -> Result<Value, CommandError> {
    match request.name.as_str() {
        "migrate-pause" => Err(CommandError {
            class: ErrorClass::GenericError,
            desc: "migrate-pause is currently only supported during postcopy-active state".into(),
        }),
        "query-name" | "query-status" if request.oob => Err(CommandError {
            class: ErrorClass::GenericError,
            desc: format!("The command {} does not support OOB", request.name),
        }),
        "query-name" => {
            Arguments::new(&request.arguments).finish()?;
            Ok(Object::new().into())
        }
        "query-status" => {
            Arguments::new(&request.arguments).finish()?;
            let status = Object::new()
                .with("running", false)
                .with("singlestep", false)
                .with("status", "prelaunch");
            Ok(status.into())
        }
        name => Err(CommandError {
            class: ErrorClass::CommandNotFound,
            desc: format!("The command {name} has not been found"),
        }),
    }
}

/// What waits for the client, line by line.
fn take_lines(session: &mut MonitorSession) -> Vec<String> {
    let output = String::from_utf8(session.output().to_vec()).expect("output is ASCII");
    session.consume_output(output.len());
    let lines = output.split_inclusive("\r\n");
    lines
        .map(|line| {
            line.strip_suffix("\r\n")
                .expect("lines end CR LF")
                .to_owned()
        })
        .collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        let (digits, after) = escape.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
