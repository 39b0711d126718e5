//! The monitor's side under any bytes of a client.

use qmp_events::Version;

use crate::limits::MONITOR_INPUT_MAX_BYTES;
use crate::monitor::{MonitorSession, Object, Personality};

/// Plays a client's stream to monitor sessions of two releases, whole and split up, and checks that
///
/// * any split gives the same answers, byte for byte;
/// * every answer is one line of printable ASCII that ends CR LF;
/// * after a NUL and a space a session understands a command, whatever came before.
///
/// The first byte decides about the splits, the rest is the stream.
///
/// # Panics
///
/// If a promise is broken.
pub fn fuzz_monitor(input: &[u8]) {
    let Some((&seed, stream)) = input.split_first() else {
        return;
    };
    let stream = stream.get(..MONITOR_INPUT_MAX_BYTES).unwrap_or(stream);
    for version in [Version::new(7, 2), Version::new(11, 1)] {
        check(version, seed, stream);
    }
}

fn check(version: Version, seed: u8, stream: &[u8]) {
    let answers = |pieces: &[&[u8]]| answers(version, pieces);
    let whole = answers(&[stream]);
    let singles: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(whole, answers(&singles), "byte by byte");
    let chunks: Vec<&[u8]> = stream.chunks(usize::from(seed % 7) + 2).collect();
    assert_eq!(whole, answers(&chunks), "in chunks");
    for line in whole.split_inclusive('\n') {
        let text = line.strip_suffix("\r\n").expect("lines end CR LF");
        assert!(text.starts_with('{') && text.ends_with('}'), "{text:?}");
        assert!(
            text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{text:?}"
        );
    }
}

/// What the session answers to these pieces, every command answered at once.
fn answers(version: Version, pieces: &[&[u8]]) -> String {
    let mut session = MonitorSession::new(Personality::of(version));
    let mut output = Vec::new();
    let last: &[u8] = b"\0 {'execute': 'last', 'id': 'last word'}";
    for piece in pieces.iter().chain([&last]) {
        session.handle_input(piece);
        while let Some(request) = session.poll_request() {
            session.reply(request.ticket, Ok(Object::new().into()));
        }
        assert!(session.wants_input(), "nothing holds it up");
        output.extend_from_slice(session.output());
        session.consume_output(session.output().len());
    }
    let output = String::from_utf8(output).expect("ASCII");
    assert!(output.contains("\"last word\""), "lost its place: {output}");
    output
}
