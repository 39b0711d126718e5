//! Conversations of several clients, of slow commands, and the last one.

use crate::each_qemu;
use crate::pair::Pair;
use crate::script::{Door, Script, Step};

#[test]
fn conversations_of_several_clients() {
    let scripts = [
        (
            "no events before negotiation",
            no_events_before_negotiation(),
        ),
        ("a second client waits", second_client_waits()),
        ("two sockets", two_sockets()),
        ("coming back", coming_back()),
        ("half closed", half_closed()),
        ("slow reader", slow_reader()),
        ("urgent overtakes", urgent_overtakes()),
        ("urgent waits for room", urgent_waits_for_room()),
        (
            "an urgent one behind a malformed one",
            urgent_behind_malformed(),
        ),
        ("without oob nothing overtakes", nothing_overtakes()),
        ("others meanwhile", others_meanwhile()),
        ("leaving while a command runs", leaving_early()),
        ("coming back while it runs", coming_back_early()),
        ("coming back twice", coming_back_twice()),
        (
            "half closed while a command runs",
            half_closed_early(crate::script::NEGOTIATE),
        ),
        (
            "the same with oob",
            half_closed_early(crate::script::NEGOTIATE_OOB),
        ),
    ];
    each_qemu(|binary| {
        let mut pair = Pair::start(binary)?;
        let mut differences = Vec::new();
        for (name, script) in &scripts {
            // What differs every time is a difference; what differs once may have come too late.
            let mut result = pair.compare(script);
            for attempt in 1..ATTEMPTS {
                let Err(difference) = &result else { break };
                println!("{name}, attempt {attempt}: {difference}");
                result = pair.compare(script);
            }
            let difference = result.err();
            differences.extend(difference.map(|difference| format!("{name}: {difference}")));
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        Ok(())
    });
}

#[test]
fn the_last_conversation() {
    let script = Script::new()
        .ready('A', Door::First)
        .ready('B', Door::Second)
        .sync('B')
        .connect('C', Door::First)
        .send('A', command("cont"))
        // Nothing behind it: what QEMU leaves unread makes the kernel reset the connection.
        .send('A', numbered("quit", 1))
        .step(Step::End('A'))
        .step(Step::End('B'));
    each_qemu(|binary| {
        let mut pair = Pair::start(binary)?;
        if let Err(difference) = pair.compare(&script) {
            panic!("QEMU {}: {difference}", binary.version);
        }
        Ok(())
    });
}

fn command(name: &str) -> String {
    format!("{{\"execute\": \"{name}\"}}\r\n")
}

fn numbered(name: &str, id: usize) -> String {
    format!("{{\"execute\": \"{name}\", \"id\": {id}}}")
}

/// How often a conversation of several clients may differ before it counts. A real QEMU's slow command
/// ends by itself after half a second; on a busy machine a client may take longer to leave and come back.
const ATTEMPTS: usize = 3;

const SLOW: &str = "{\"execute\": \"human-monitor-command\", \"arguments\": \
    {\"command-line\": \"qemu-io slow \\\"read 0 512\\\"\"}, \"id\": \"slow\"}";
const URGENT: &str = "{\"exec-oob\": \"migrate-pause\", \"id\": \"urgent\"}";

fn no_events_before_negotiation() -> Script {
    Script::new()
        .ready('A', Door::First)
        .connect('B', Door::Second)
        .send('A', command("system_powerdown"))
        .sync('A')
        .sync('B')
        .send('B', crate::script::NEGOTIATE)
        .sync('B')
        .send('A', command("cont"))
        .sync('A')
        .sync('B')
}

fn second_client_waits() -> Script {
    Script::new()
        .ready('A', Door::First)
        .sync('A')
        .connect('B', Door::First)
        .send('B', crate::script::NEGOTIATE)
        .send('B', command("cont"))
        .sync('A')
        .step(Step::Unasked('B'))
        .send('A', command("query-status"))
        .sync('A')
        .step(Step::Close('A'))
        .sync('B')
}

fn two_sockets() -> Script {
    Script::new()
        .ready('A', Door::First)
        .ready('B', Door::Second)
        .sync('A')
        .sync('B')
        .send('A', numbered("cont", 1))
        .sync('A')
        .sync('B')
        .send('B', numbered("stop", 2))
        .sync('B')
        .send('A', numbered("system_reset", 3))
        .sync('A')
        .sync('B')
}

fn coming_back() -> Script {
    let mut script = Script::new().ready('B', Door::Second).sync('B');
    for _ in 0..3 {
        script = script
            .connect('A', Door::First)
            .sync('A')
            .send('A', crate::script::NEGOTIATE)
            .send('A', command("cont"))
            .sync('A')
            .send('A', "{\"execute\": [[[\"half a message")
            .step(Step::Close('A'))
            .send('B', command("stop"))
            .sync('B');
    }
    script
}

fn half_closed() -> Script {
    Script::new()
        .ready('A', Door::First)
        .send('A', numbered("query-status", 1))
        .sync('A')
        .step(Step::HalfClose('A'))
        .step(Step::End('A'))
        .step(Step::Close('A'))
        .ready('A', Door::First)
        .sync('A')
}

/// More than the kernel holds: nothing is lost, and the other client is not held up.
fn slow_reader() -> Script {
    let both = command("cont") + &command("stop");
    Script::new()
        .ready('A', Door::First)
        .ready('B', Door::Second)
        .sync('A')
        .sync('B')
        .send('B', both.repeat(1500))
        .sync('B')
        .sync('A')
}

/// Seven commands behind a slow one, then an urgent one.
fn urgent_overtakes() -> Script {
    let all: String = (0..7).map(|id| numbered("query-name", id)).collect();
    Script::new()
        .connect('A', Door::First)
        .send('A', crate::script::NEGOTIATE_OOB)
        .sync('A')
        .send('A', format!("{SLOW}{all}{URGENT}"))
        .step(Step::Await('A', b"\"urgent\"".to_vec()))
        .step(Step::LetGo)
        .sync('A')
}

/// Eight commands behind a slow one, then an urgent one: it is not read before the first of the eight
/// runs, which is slow itself.
fn urgent_waits_for_room() -> Script {
    let all: String = (0..7).map(|id| numbered("query-name", id)).collect();
    Script::new()
        .connect('A', Door::First)
        .send('A', crate::script::NEGOTIATE_OOB)
        .sync('A')
        .send('A', format!("{SLOW}{SLOW}{all}{URGENT}"))
        .step(Step::LetGo)
        .step(Step::Await('A', b"\"urgent\"".to_vec()))
        .step(Step::LetGo)
        .sync('A')
}

/// A malformed message takes its place in the queue, so one may still pass the seventh.
fn urgent_behind_malformed() -> Script {
    Script::new()
        .connect('A', Door::First)
        .send('A', crate::script::NEGOTIATE_OOB)
        .sync('A')
        .send(
            'A',
            format!("{SLOW}]{{]\"x\"%{URGENT}{{\"exec-oob\": 1, \"id\": 2}}"),
        )
        .step(Step::Await('A', b"\"id\": 2".to_vec()))
        .step(Step::LetGo)
        .sync('A')
}

fn nothing_overtakes() -> Script {
    Script::new()
        .ready('A', Door::First)
        .sync('A')
        .send('A', format!("{SLOW}{URGENT}"))
        .step(Step::LetGo)
        .sync('A')
}

/// Events and what other clients ask out of band do not wait for a slow command, all else does.
fn others_meanwhile() -> Script {
    slow_beside_urgent()
        .send('B', command("cont"))
        .send('A', numbered("query-status", 1))
        .step(Step::LetGo)
        .sync('B')
        .sync('A')
}

/// The command goes on, its answer is thrown away, what was queued is dropped.
fn leaving_early() -> Script {
    slow_beside_urgent()
        .send('A', command("cont"))
        .step(Step::Close('A'))
        .step(Step::LetGo)
        .sync('B')
        .send('B', command("query-status"))
        .sync('B')
        .ready('A', Door::First)
        .sync('A')
}

/// A runs a slow command; B knows, as QEMU reads all its sockets at the same pace and B's command is longer.
fn slow_beside_urgent() -> Script {
    let id = "x".repeat(1000);
    Script::new()
        .ready('A', Door::First)
        .connect('B', Door::Second)
        .send('B', crate::script::NEGOTIATE_OOB)
        .sync('A')
        .sync('B')
        .send('A', SLOW)
        .send(
            'B',
            format!("{{\"exec-oob\": \"migrate-pause\", \"id\": \"{id}\"}}"),
        )
        .step(Step::Await('B', id.into_bytes()))
}

/// Who connects while the command of the client before still runs. Without oob only: with it QEMU lets the
/// client go in another thread, and the answer was seen to go to the next client, and to nobody.
fn coming_back_early() -> Script {
    slow_beside_urgent()
        .step(Step::Close('A'))
        .connect('A', Door::First)
        .step(Step::Await('A', b"}\r\n".to_vec()))
        .step(Step::LetGo)
        .sync('B')
        .sync('A')
        .send('A', crate::script::NEGOTIATE)
        .sync('A')
}

/// The first to come back leaves as well; the command's answer goes to the second.
fn coming_back_twice() -> Script {
    slow_beside_urgent()
        .step(Step::Close('A'))
        .connect('A', Door::First)
        .step(Step::Await('A', b"}\r\n".to_vec()))
        .step(Step::Close('A'))
        .connect('A', Door::First)
        .step(Step::Await('A', b"}\r\n".to_vec()))
        .step(Step::LetGo)
        .sync('B')
        .sync('A')
        .send('A', crate::script::NEGOTIATE_OOB)
        .sync('A')
        .send('A', URGENT)
        .sync('A')
}

/// Without out-of-band execution the end is not seen before the command has run, and its answer is sent.
fn half_closed_early(negotiate: &[u8]) -> Script {
    Script::new()
        .connect('A', Door::First)
        .send('A', negotiate)
        .sync('A')
        .send('A', SLOW)
        .step(Step::HalfClose('A'))
        .step(Step::LetGo)
        .step(Step::End('A'))
}
