//! What is too deep, too much or too long.

use std::fmt::Write;

use crate::pair::Pair;
use crate::script::{Door, Script};
use crate::{COMPARED, each_qemu, say};

#[test]
fn nesting_and_size() {
    let mut script = Script::new().ready('A', Door::First);
    for levels in [1022, 1023, 1024, 1025, 2100] {
        script = script.send('A', nested(levels)).sync('A');
    }
    // An unfinished one: the error comes with the bracket that is too much.
    script = script
        .send('A', "[".repeat(1024))
        .send('A', "[")
        .resync('A');
    script = script
        .send('A', "{\"a\": ".repeat(1024))
        .send('A', "{")
        // QEMU 11.1 skips what follows, up to the brackets that close it or a byte such as this.
        .resync('A');
    let (one, two) = ("[".repeat(600), "{\"a\":".repeat(600));
    script = script.send('A', format!("{one}{two}")).resync('A');
    for bytes in [1005, 1006, 4096, 65_536] {
        let long = "x".repeat(bytes);
        let id = format!("{{\"execute\": \"query-name\", \"id\": \"{long}\"}}");
        let name = format!("{{\"execute\": \"{long}\", \"id\": {{\"{long}\": 1}}}}");
        script = script.send('A', id).sync('A').send('A', name).sync('A');
        script = script
            .send('A', format!("{long} 1{}9 ", long.replace('x', "0")))
            .sync('A');
    }
    script = script.send('A', many_members(2000)).sync('A');
    each_qemu(|binary| {
        let mut pair = Pair::start(binary)?;
        match pair.compare(&script) {
            Ok(transcript) => say(&format!(
                "QEMU {}: {} bytes equal",
                binary.version,
                transcript.len()
            )),
            Err(difference) => panic!("{difference}"),
        }
        Ok(())
    });
}

/// The limit of 2 Mi tokens, and where reading starts over behind it. Not on the oldest QEMU: one reads so
/// many bytes in 10 s.
#[test]
fn number_of_tokens() {
    let ones = (1 << 20) + 3;
    let script = Script::new()
        .ready('A', Door::First)
        .send('A', format!("[{}1]", "1,".repeat(ones - 1)))
        .sync('A');
    each_qemu(|binary| {
        if binary.version == COMPARED[0] {
            return Ok(());
        }
        let mut pair = Pair::start(binary)?;
        let transcript = pair
            .compare(&script)
            .unwrap_or_else(|difference| panic!("{difference}"));
        let heard = String::from_utf8_lossy(&transcript.heard[0].bytes).into_owned();
        assert!(
            heard.contains("token count limit"),
            "it is the limit that was met: {heard}"
        );
        Ok(())
    });
}

fn nested(levels: usize) -> String {
    let (open, close) = ("[".repeat(levels), "]".repeat(levels));
    format!("{{\"execute\": \"query-name\", \"id\": {open}{close}}}")
}

/// An id with members in an order that is not QEMU's, several to a bucket.
fn many_members(count: usize) -> String {
    let mut members = String::new();
    for number in 0..count {
        let comma = if number == 0 { "" } else { ", " };
        let name = number * 7919 % 100_003;
        write!(members, "{comma}\"m{name}\": {number}").expect("a string takes all");
    }
    format!("{{\"execute\": \"query-name\", \"id\": {{{members}}}}}")
}
