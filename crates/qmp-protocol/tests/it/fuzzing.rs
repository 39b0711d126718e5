//! The fuzzers' entry points, fed with a corpus and with generated streams.

use proptest::prelude::*;
use qmp_protocol::fuzz::{fuzz_framer, fuzz_session};

use crate::framing::{GREETING, PANIC, STOP};

/// Streams that once were a problem, or might be: what a fuzzer starts from.
const CORPUS: &[&[u8]] = &[
    b"\x00",
    b"\x05{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n{\"return\": {}, \"id\": 0}\r\n",
    b"\x0d{\"event\": \"ST{\"QMP\": {\"version\": {}}}\r\n{\"event\": \"STOP\"}",
    b"\x03{\"timestamp\": {\"QMP\": {}}\r\n{\"event\": \"STOP\"}",
    b"\x01{\"a\": \"\\",
    b"\x09{\"a\": \"\\u12\"}{\"b\": \"\\u123\\\"}\n{}",
    b"\x02{\"a\": 1} } ] {\"b\": [}\n\n{\"c\": -}{",
    b"\x04{\"a{\n{\"b{\" {\"c\": {\"return\": {}} {",
    b"\x07noise {\"even {\"event\" {    {        {                 {\"QMP\"",
    b"\x10}{}{\"\xff\"}{\"a\": \xff}{\xc3\xa9}\x00{}",
    b"\x06\x04\x05\x05\x03{\"QMP\": {\"capabilities\": [\"oob\"]}}\x05\x06\x04{\"return\": 1, \"id\": 0}\
      \x05\x05\x05\x05\x05\x05\x05\x05\x05\x03\x04{\"return\": 1, \"id\": 1}{\"error\": 1, \"id\": 2}",
];

#[test]
fn the_corpus_breaks_no_promise() {
    for input in CORPUS {
        fuzz_framer(input);
        fuzz_session(input);
    }
}

/// Pieces that a stream may consist of.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![Just(GREETING), Just(STOP), Just(PANIC)];
    let reply = (0u8..12, any::<bool>()).prop_map(|(id, good)| {
        let result = if good { "return" } else { "error" };
        format!("{{\"{result}\": {{}}, \"id\": {id}}}\r\n").into_bytes()
    });
    let tokens = "[{}\\[\\]:,\" \r\n\\\\ae0.\\-u]{0,12}";
    prop_oneof![
        3 => whole.clone().prop_map(|text| format!("{text}\r\n").into_bytes()),
        2 => (whole, any::<prop::sample::Index>())
            .prop_map(|(text, at)| text.as_bytes()[..at.index(text.len())].to_vec()),
        2 => reply,
        3 => tokens.prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..6),
        2 => (0u8..9).prop_map(|operation| vec![operation]),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_frames(seed in any::<u8>(), stream in stream()) {
        let input = [vec![seed], stream].concat();
        fuzz_framer(&input);
    }

    #[test]
    fn a_session_keeps_its_promises(stream in stream()) {
        let negotiated = format!("{GREETING}{{\"return\": {{}}, \"id\": 0}}");
        fuzz_session(&[negotiated.as_bytes(), &stream].concat());
        fuzz_session(&stream);
    }

    #[test]
    fn bytes_of_any_kind_do_no_harm(input in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_framer(&input);
        fuzz_session(&input);
    }
}
