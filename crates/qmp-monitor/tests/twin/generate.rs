//! Scripts out of a seed: commands right and wrong, and bytes that are none.

/// A small generator of numbers; the same seed gives the same numbers everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        // Neighbouring seeds must not lead to similar scripts.
        Self(seed.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ 0x5851_F42D_4C95_7F2D)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        for (shift, factor) in [(30, 0xBF58_476D_1CE4_E5B9), (27, 0x94D0_49BB_1331_11EB)] {
            mixed = (mixed ^ (mixed >> shift)).wrapping_mul(factor);
        }
        let wide = u128::from(mixed ^ (mixed >> 31)) * end as u128;
        usize::try_from(wide >> 64).expect("less than end")
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

const COMMANDS: &[&str] = &[
    "query-name",
    "query-name",
    "query-status",
    "query-version",
    "query-uuid",
    "query-jobs",
    "query-iothreads",
    "query-block",
    "stop",
    "cont",
    "system_reset",
    "system_powerdown",
    "system_wakeup",
    "device_del",
    "set_link",
    "balloon",
    "ringbuf-read",
    "migrate-pause",
    "qmp_capabilities",
    "no-such-command",
    "query-events",
    "",
];

const ARGUMENTS: &[&str] = &[
    "id", "name", "up", "value", "device", "size", "format", "enable", "x",
];

/// Bytes that mean something in the dialect, or should not.
const BYTES: &[u8] =
    b"{}[],:\"'\\ \t\r\n0019-+.eEtfnuaz/#%\x00\x01\x0B\x1B\x7F\x80\xBF\xC0\xC3\xE2\xED\xF4\xFE\xFF";

/// Whatever comes to mind, wrong commands included.
pub(crate) fn piece(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = match dice.below(10) {
        0 => value(dice, 3),
        1 => soup(dice),
        2 => (0..dice.below(12)).map(|_| dice.pick(BYTES)).collect(),
        _ => command(dice, "execute"),
    };
    if dice.one_in(3) {
        for _ in 0..=dice.below(3) {
            damage(dice, &mut bytes);
        }
    }
    if dice.one_in(3) {
        bytes.push(dice.pick(b"\n\r\t ,"));
    }
    bytes
}

/// A command in the right shape, or nearly.
pub(crate) fn command(dice: &mut Dice, member: &str) -> Vec<u8> {
    let mut members: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |name: &str, value: Vec<u8>| members.push((quoted(name), value));
    let name = dice.pick(COMMANDS);
    match dice.below(20) {
        0 => {}
        1 => add(member, value(dice, 1)),
        _ => add(member, quoted(name)),
    }
    match dice.below(10) {
        0..4 => {}
        4 => add("arguments", value(dice, 1)),
        _ => add("arguments", arguments(dice)),
    }
    if !dice.one_in(4) {
        add("id", value(dice, 3));
    }
    if dice.one_in(8) {
        add(
            dice.pick(&["exec-oob", "extra", "event", "id", "a", ""]),
            value(dice, 1),
        );
    }
    // Any order.
    for last in (1..members.len()).rev() {
        members.swap(last, dice.below(last + 1));
    }
    object(dice, &members)
}

fn arguments(dice: &mut Dice) -> Vec<u8> {
    let count = match dice.one_in(6) {
        true => dice.below(30),
        false => dice.below(4),
    };
    let mut members = Vec::new();
    for number in 0..count {
        let name = match dice.one_in(4) || number > 8 {
            true => quoted(&format!("{}{number}", dice.pick(ARGUMENTS))),
            false => quoted(dice.pick(ARGUMENTS)),
        };
        let value = match dice.below(4) {
            0 => value(dice, 1),
            1 => string(dice),
            2 => dice
                .pick(&[&b"true"[..], b"[\"oob\"]", b"\"utf8\"", b"5"])
                .to_vec(),
            _ => number_text(dice),
        };
        members.push((name, value));
    }
    object(dice, &members)
}

/// Any JSON value, sometimes with a flaw, nested up to `depth` levels.
fn value(dice: &mut Dice, depth: usize) -> Vec<u8> {
    match dice.below(if depth == 0 { 6 } else { 9 }) {
        0 | 1 => string(dice),
        2 | 3 => number_text(dice),
        4 => dice.pick(&["null", "true", "false"]).into(),
        5 => dice
            .pick(&[&b"nul"[..], b"{}", b"[]", b"\"\"", b"0", b"x"])
            .to_vec(),
        6 | 7 => {
            let mut text = vec![b'['];
            for number in 0..dice.below(4) {
                if number > 0 {
                    text.extend(dice.pick(&[",", ", ", " ,\n"]).bytes());
                }
                text.extend(value(dice, depth - 1));
            }
            text.push(b']');
            text
        }
        _ => {
            let mut members = Vec::new();
            for _ in 0..dice.below(5) {
                members.push((string(dice), value(dice, depth - 1)));
            }
            object(dice, &members)
        }
    }
}

fn object(dice: &mut Dice, members: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut text = vec![b'{'];
    for (number, (name, value)) in members.iter().enumerate() {
        if number > 0 {
            text.extend(dice.pick(&[",", ", "]).bytes());
        }
        text.extend_from_slice(name);
        text.extend(dice.pick(&[":", ": "]).bytes());
        text.extend_from_slice(value);
    }
    text.push(b'}');
    text
}

fn quoted(name: &str) -> Vec<u8> {
    format!("\"{name}\"").into_bytes()
}

fn string(dice: &mut Dice) -> Vec<u8> {
    let quote = dice.pick(b"\"\"\"'");
    let mut text = vec![quote];
    for _ in 0..dice.below(8) {
        match dice.below(12) {
            0 => text.extend(format!("\\u{:04x}", dice.below(0x1_0000)).bytes()),
            1 => text.extend(format!("\\u{:04X}", 0xD7F0 + dice.below(0x820)).bytes()),
            2 => text.extend(
                dice.pick(&["\\n", "\\\"", "\\'", "\\\\", "\\/", "\\b"])
                    .bytes(),
            ),
            3 => {
                let character = u32::try_from(dice.below(0x11_0000))
                    .ok()
                    .and_then(char::from_u32);
                text.extend(character.unwrap_or('x').to_string().bytes());
            }
            4 if dice.one_in(4) => text.push(dice.pick(BYTES)),
            _ => text.push(dice.pick(b"abcxyz ,:{}[]0")),
        }
    }
    text.push(quote);
    text
}

fn number_text(dice: &mut Dice) -> Vec<u8> {
    const EDGES: &[&str] = &[
        "0",
        "-0",
        "1",
        "-1",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "1e400",
        "-1e400",
        "4.9e-324",
        "0.1",
        "1.7976931348623157e308",
        "00",
        "1.",
        "-",
        "0e1",
    ];
    if dice.one_in(3) {
        return dice.pick(EDGES).as_bytes().to_vec();
    }
    let mut text = String::from(dice.pick(&["", "", "-"]));
    let digits = |dice: &mut Dice, most: usize| -> String {
        let count = 1 + dice.below(most);
        (0..count)
            .map(|_| char::from(b'0' + u8::try_from(dice.below(10)).expect("a digit")))
            .collect()
    };
    text += digits(dice, 20).trim_start_matches('0');
    if dice.one_in(2) {
        text = format!("{text}.{}", digits(dice, 18));
    }
    if dice.one_in(3) {
        text = format!(
            "{text}{}{}",
            dice.pick(&["e", "E", "e+", "e-"]),
            digits(dice, 3)
        );
    }
    text.into_bytes()
}

/// Tokens in any order.
fn soup(dice: &mut Dice) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..dice.below(14) {
        match dice.below(4) {
            0 => text.extend(string(dice)),
            1 => text.extend(number_text(dice)),
            _ => text.extend(
                dice.pick(&[
                    "{",
                    "}",
                    "[",
                    "]",
                    ",",
                    ":",
                    " ",
                    "null",
                    "true",
                    "\"execute\"",
                    "\"id\":",
                ])
                .bytes(),
            ),
        }
    }
    text
}

/// Cuts, doubles or changes something somewhere.
fn damage(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let at = dice.below(bytes.len() + 1);
    let end = (at + dice.below(6)).min(bytes.len());
    match dice.below(5) {
        0 => drop(bytes.drain(at..end)),
        1 => bytes.truncate(at),
        2 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        3 if at < bytes.len() => bytes[at] = dice.pick(BYTES),
        _ => bytes.insert(at, dice.pick(BYTES)),
    }
}
