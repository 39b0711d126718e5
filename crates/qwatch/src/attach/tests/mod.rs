//! Attachments over real sockets, with a QEMU that does what the test says.

mod stage;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use qmp_client::{Address, Socket};
use tokio::time::timeout;

use self::stage::{Qemu, Stage, count, event, member, numbers, plain};
use super::line::{Line, Look, TURNS};
use super::session::{Attachment, Ended};
use super::{Shared, cut, dial};
use crate::journal::{Chunk, Connected, ConnectionId, KeptConnection, Memory, RunId, RunInfo};
use crate::record::Record;

fn has(name: &'static str) -> impl Fn(&[Record]) -> bool {
    move |records| count(records, name) > 0
}

#[tokio::test]
async fn half_a_message_waits_for_its_rest_and_costs_nothing_meanwhile() {
    let stage = Stage::new();
    let (qemu, socket) = Qemu::pair();
    let attached = stage.attend(socket);
    let mut qemu = qemu.attached().await;
    stage.wait_for(has("state")).await;
    let line = event("NUMBER", 1);
    let (first, rest) = line.split_at(40);
    let before = TURNS.get();
    qemu.say(first);
    let looked = async {
        while TURNS.get() == before {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), looked)
        .await
        .expect("it is looked at");
    // All run on this thread: whoever spins has a turn at each of these.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let turns = TURNS.get() - before;
    assert!((1..=4).contains(&turns), "{turns} looks at half a message");
    qemu.say(rest);
    let records = stage.wait_for(has("NUMBER")).await;
    assert_eq!(numbers(&records), [1]);
    drop(qemu);
    assert!(matches!(attached.await.expect("no panic"), Ended::Closed));
}

#[tokio::test]
async fn an_event_in_many_pieces_does_not_fill_the_socket_for_ever() {
    let stage = Stage::new();
    let (qemu, socket) = Qemu::pair();
    let _attached = stage.attend(socket);
    let qemu = qemu.attached().await;
    let long = event("NUMBER", 1).replace("\"n\"", &format!("\"{}\"", "x".repeat(2_000)));
    // The kernel queues less than three hundred pieces, however short they are.
    let _qemu = qemu
        .on_thread(move |qemu| {
            for byte in long.as_bytes() {
                qemu.say.write_all(&[*byte]).expect("heard");
            }
        })
        .await;
    let records = stage.wait_for(has("NUMBER")).await;
    assert_eq!(
        (numbers(&records), count(&records, "garbage")),
        (vec![1], 0)
    );
}

#[tokio::test]
async fn an_answer_is_heard_behind_events_that_are_not_committed() {
    let stage = Stage::new();
    let (qemu, socket) = Qemu::pair();
    let _attached = stage.attend(socket);
    let mut qemu = qemu.attached().await;
    stage.wait_for(has("state")).await;
    stage.freeze(true);
    // Nothing says why it stops, so it is asked; the answers are heard while the journal takes nothing.
    qemu.say(&event("STOP", 1));
    let _qemu = qemu
        .on_thread(|qemu| qemu.serve_until("query-jobs", plain))
        .await;
    assert_eq!(count(&stage.records(), "STOP"), 0);
    stage.freeze(false);
    let records = stage.wait_for(|records| count(records, "state") == 2).await;
    let asked = records.last().and_then(|record| record.data.as_deref());
    let expected = r#"{"asked": "STOP", "query-status": {"status": "running", "running": true}, "query-block": {}, "query-jobs": {}}"#;
    assert_eq!(asked, Some(expected));
    assert_eq!(records[records.len() - 2].name, "STOP");
}

#[tokio::test]
async fn an_answer_larger_than_any_socket_is_read() {
    let stage = Stage::new();
    let (mut qemu, socket) = Qemu::pair();
    let _attached = stage.attend(socket);
    qemu.say(stage::GREETING);
    let answer = |command: &str| match command {
        "query-block" => format!("\"{}\"", "x".repeat(900_000)),
        "query-vnc" => format!("\"{}\"", "y".repeat(3_000_000)),
        _ => plain(command),
    };
    let mut qemu = qemu
        .on_thread(move |qemu| qemu.serve_until("query-chardev", answer))
        .await;
    qemu.say(&event("NUMBER", 1));
    let records = stage.wait_for(has("NUMBER")).await;
    let block = member(&records, "state", "query-block");
    assert_eq!(block.as_str().map(str::len), Some(900_000));
    let vnc = member(&records, "state", "query-vnc");
    assert_eq!(vnc["omitted_bytes"], 3_000_002);
    assert_eq!(count(&records, "garbage"), 0);
}

#[tokio::test]
async fn a_machine_that_dies_in_mid_line_is_recorded_to_its_last_event() {
    let stage = Stage::new();
    let (qemu, socket) = Qemu::pair();
    let attached = stage.attend(socket);
    let mut qemu = qemu.attached().await;
    qemu.say(&format!(
        "{}{}",
        event("NUMBER", 1),
        &event("NUMBER", 2)[..50]
    ));
    drop(qemu);
    assert!(matches!(attached.await.expect("no panic"), Ended::Closed));
    let records = stage.records();
    assert_eq!(numbers(&records), [1]);
    let reason = member(&records, "detached", "reason");
    let reason = reason.as_str().expect("a reason");
    assert!(reason.contains("in the middle of a message"), "{reason}");
    // Once that is on disk nobody keeps the connection.
    assert!(stage.kept().is_empty());
}

#[tokio::test]
async fn tcp_is_heard_in_the_same_way() {
    let stage = Stage::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let theirs = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (ours, _) = listener.accept().expect("somebody dialled");
    let attached = stage.attend(ours);
    let qemu = Qemu::of(theirs.try_clone().expect("a handle"), theirs);
    let qemu = qemu.attached().await;
    let qemu = qemu
        .on_thread(|qemu| (1..=5_000).for_each(|n| qemu.say(&event("NUMBER", n))))
        .await;
    drop(qemu);
    assert!(matches!(attached.await.expect("no panic"), Ended::Closed));
    assert_eq!(numbers(&stage.records()), (1..=5_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_the_journal_does_not_take_is_counted_once_patience_is_over() {
    let stage = Stage::new().patience(Duration::from_millis(50));
    let (qemu, socket) = Qemu::pair();
    let _attached = stage.attend(socket);
    let qemu = qemu.attached().await;
    stage.wait_for(has("state")).await;
    stage.freeze(true);
    // More than the socket holds: this ends only if events are let go.
    let qemu = qemu
        .on_thread(|qemu| (1..=20_000).for_each(|n| qemu.say(&event("NUMBER", n))))
        .await;
    let names: Vec<String> = stage.notified().into_iter().map(|(text, _)| text).collect();
    assert!(
        names[1].contains("FDSTORE=1") && names[1].contains("-drained-"),
        "{names:?}"
    );
    assert_eq!(
        names.len(),
        2,
        "the connection is kept as before: {names:?}"
    );
    stage.freeze(false);
    let mut qemu = qemu
        .on_thread(|qemu| qemu.serve_until("query-chardev", plain))
        .await;
    qemu.say(&event("LAST", 20_001));
    let records = stage.wait_for(has("LAST")).await;

    let kept = numbers(&records);
    // With so little patience there may be more than one; the one before the attachment counts nothing.
    let lost_in = |record: &Record| {
        let data = record.data.as_deref().filter(|_| record.name == "gap")?;
        let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(data["lost"]["NUMBER"], data["count"]);
        data["count"].as_u64()
    };
    let lost: u64 = records.iter().filter_map(lost_in).sum();
    assert_eq!(kept.len() as u64 + lost, 20_001);
    let first = records.iter().position(|record| lost_in(record).is_some());
    let first = first.expect("a gap");
    let before = numbers(&records[..first]);
    assert_eq!(before, (1..=before.len() as u64).collect::<Vec<_>>());
    assert!(has("state")(&records[first..]));
    let names = stage.notified();
    assert!(names[0].0.starts_with("FDSTOREREMOVE=1") && names[0].0.contains("-drained-"));
}

#[tokio::test]
async fn the_next_recorder_goes_on_and_nobody_notices() {
    let mut stage = Stage::new();
    let (qemu, socket) = Qemu::pair();
    let attached = stage.attend(socket);
    let mut qemu = qemu.attached().await;
    qemu.say(&event("SHUTDOWN", 1));
    let records = stage.wait_for(|records| numbers(records) == [1]).await;
    stage.stop();
    assert!(matches!(attached.await.expect("no panic"), Ended::Stopped));
    // While there is no recorder.
    qemu.say(&format!(
        "{}{}",
        event("NUMBER", 2),
        &event("NUMBER", 3)[..30]
    ));
    let kept = stage.kept();
    assert_eq!(kept.len(), 1);
    let attached = stage.restart(kept).await.pop().expect("it goes on");
    stage.wait_for(|records| numbers(records) == [1, 2]).await;
    qemu.say(&event("NUMBER", 3)[30..]);
    drop(qemu);
    assert!(matches!(attached.await.expect("no panic"), Ended::Closed));

    let all = stage.records();
    assert_eq!(numbers(&all), [1, 2, 3]);
    let names: Vec<&str> = all[records.len()..]
        .iter()
        .map(|record| record.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["NUMBER", "NUMBER", "detached"],
        "neither gap nor attached"
    );
    assert!(all.iter().all(|record| record.run == Some(1)));
}

#[tokio::test]
async fn a_connection_that_was_not_known_yet_is_begun_anew() {
    let mut stage = Stage::new();
    let (mut qemu, socket) = Qemu::pair();
    let attached = stage.attend(socket);
    qemu.say(stage::GREETING);
    // Killed before it could write anything down; what it asked is answered later.
    let qemu = qemu
        .on_thread(|qemu| qemu.serve_until("query-name", plain))
        .await;
    attached.abort();
    let kept = stage.kept();
    let _attached = stage.restart(kept).await;
    let _qemu = qemu
        .on_thread(|qemu| {
            let (command, id) = loop {
                let (command, id) = qemu.command();
                if command == "qmp_capabilities" {
                    break (command, id);
                }
            };
            assert_eq!(command, "qmp_capabilities");
            qemu.say(&format!("{{\"id\": {id}, \"error\": {{\"class\": \"CommandNotFound\", \"desc\": \"Capabilities negotiation is already complete, command ignored\"}}}}\r\n"));
            qemu.serve_until("query-chardev", plain);
        })
        .await;
    let records = stage.wait_for(has("state")).await;
    assert_eq!(count(&records, "attached"), 1);
    assert_eq!(count(&records, "garbage"), 0);
    assert_eq!(records[0].machine, "web");
}

/// A connection of which the journal has this chunk.
fn known(id: ConnectionId, chunk: Chunk) -> KeptConnection {
    KeptConnection {
        connected: Connected {
            id,
            claimed: "web".to_owned(),
            greeting: "{}".to_owned(),
            oob: false,
            dialled_in: true,
            memory: Memory::default(),
        },
        run: RunId::of(1),
        info: RunInfo::default(),
        chunk,
    }
}

#[tokio::test]
async fn a_chunk_that_was_committed_and_not_consumed_is_known_again() {
    let id = ConnectionId::random();
    for (length, expected) in [(0, 2), (1, 2)] {
        let (mut qemu, socket) = Qemu::pair();
        let kept = socket.try_clone().expect("a handle");
        let line_of = |socket: std::os::unix::net::UnixStream, known: &KeptConnection| {
            let socket = Socket::from_fd(socket.into()).expect("a socket");
            Line::resume(socket, known, 1_000, false)
        };
        let mut line = line_of(socket, &known(id, Chunk::default()));
        qemu.say(&event("NUMBER", 1));
        assert!(!line.readable().await);
        let portion = line.turn(Look::New { closed: false }).expect("an event");
        let chunk = portion.chunk.expect("bytes");
        if length == 0 {
            // The next one was killed before it consumed; this one after.
            line.committed();
        }
        drop(line);
        qemu.say(&event("NUMBER", 2));
        let mut line = line_of(kept, &known(id, chunk));
        let portion = line.turn(Look::Again).expect("an event");
        assert_eq!(portion.entries.len(), 1);
        let data = format!("{{\"n\": {expected}}}");
        assert_eq!(portion.entries[0].data(), Some(&*data));
    }
}

/// What a future takes.
fn bytes_of<A, F: Future>(_: impl Fn(A) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn an_idle_machine_costs_little_memory() {
    // All of it but for its name and what QEMU says of itself.
    let task = bytes_of(|(address, shared): (Address, Shared)| dial::keep(address, None, shared));
    let waiting = bytes_of(Attachment::<'static>::record);
    let bytes = [task, waiting, size_of::<Attachment<'static>>()];
    assert!(bytes.iter().sum::<usize>() <= 2_176, "{bytes:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_is_given_up() {
    let stage = Stage::new();
    let (qemu, socket) = Qemu::pair();
    let ended = timeout(Duration::from_secs(5), stage.attend(socket)).await;
    let Ok(Ok(Ended::Failed(kind))) = ended else {
        panic!("it was waited for: {ended:?}");
    };
    let said = kind.to_string();
    assert!(
        said.starts_with("connected, but no greeting within 4 s"),
        "{said}"
    );
    assert!(stage.kept().is_empty());
    drop(qemu);
}

#[test]
fn texts_are_cut_between_characters() {
    assert_eq!(cut(&"ä".repeat(200), 255), "ä".repeat(127));
    assert_eq!(cut("short", 255), "short");
    assert_eq!(cut("ä", 1), "");
}
