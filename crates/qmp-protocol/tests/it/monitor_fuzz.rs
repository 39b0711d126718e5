//! Generated input for the monitor's side: bytes, and what looks like QMP until it does not.

use proptest::prelude::*;
use qmp_protocol::fuzz::fuzz_monitor;

/// Pieces of which commands and their ruins are made.
const TOKENS: [&str; 34] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "\"execute\"",
    "'exec-oob'",
    "\"arguments\"",
    "\"id\"",
    "\"enable\"",
    "\"oob\"",
    "\"qmp_capabilities\"",
    "\"stop\"",
    "{}",
    "[]",
    "null",
    "true",
    "nul",
    "0",
    "-",
    "1e9",
    "0.5",
    "12345678901234567890",
    "1e400",
    "\"a\\u00e9\\n\"",
    "\"\\ud83d\"",
    "'it\\'s'",
    "\"unfinished",
    "\u{1}",
    "\u{e9}",
    "%d",
];

/// Whole commands between the ruins, so that later states are reached.
const COMMANDS: [&str; 4] = [
    "{'execute': 'qmp_capabilities'}",
    "{'execute': 'qmp_capabilities', 'arguments': {'enable': ['oob']}}",
    "{'execute': 'stop', 'id': {'z': 1, 'a': [1.5]}}",
    "{'exec-oob': 'stop', 'id': 1}",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        6 => prop::sample::select(&TOKENS[..]),
        2 => prop::sample::select(&COMMANDS[..]),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #[test]
    fn tokens_in_any_order(mut input in text(), seed: u8) {
        input.insert(0, seed);
        fuzz_monitor(&input);
    }

    #[test]
    fn any_bytes(input in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_monitor(&input);
    }

    #[test]
    fn a_command_with_one_byte_changed(
        command in prop::sample::select(&COMMANDS[..]),
        place: prop::sample::Index,
        byte: u8,
        seed: u8,
    ) {
        let mut input = command.as_bytes().to_vec();
        let place = place.index(input.len());
        input[place] = byte;
        input.insert(0, seed);
        fuzz_monitor(&input);
    }
}
