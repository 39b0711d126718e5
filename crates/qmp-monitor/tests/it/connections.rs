//! Who is served, who waits, who is let go.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;
use std::time::Duration;

use qmp_events::vocabulary::{Reset, Stop};
use qmp_monitor::{BuildError, Closed, CommandTable, Monitor, Object, Observer, SessionId};

use crate::client::{Client, PATIENCE};

#[test]
fn a_listener_serves_one_client_the_next_waits_ungreeted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    let monitor = Monitor::builder()
        .name("vm1")
        .listen_unix(&path)
        .build()
        .unwrap();
    let mut first = Client::ready(&path);
    let mut second = Client::connect(&path);
    second.send(r#"{"execute": "qmp_capabilities"}"#);
    assert!(!second.hears_within(Duration::from_millis(50)));
    let answer = first.ask(r#"{"execute": "query-name", "id": "still first"}"#);
    assert_eq!(
        answer,
        r#"{"return": {"name": "vm1"}, "id": "still first"}"#
    );
    monitor.emit(Stop::default());
    assert_eq!(first.event(), "STOP");

    drop(first);
    assert!(
        second.line().starts_with(r#"{"QMP": "#),
        "no stale bytes before the greeting"
    );
    assert_eq!(
        second.line(),
        r#"{"return": {}}"#,
        "its queued bytes are read"
    );
}

#[test]
fn a_client_that_comes_back_starts_over_and_missed_what_happened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    let monitor = Monitor::builder().listen_unix(&path).build().unwrap();
    drop(Client::ready(&path));
    monitor.emit(Stop::default());
    let mut client = Client::connect(&path);
    client.line();
    let refused = client.ask(r#"{"execute": "query-version"}"#);
    assert!(
        refused.contains("Expecting capabilities negotiation"),
        "{refused}"
    );
    client.send(r#"{"execute": "qmp_capabilities"}"#);
    assert_eq!(client.line(), r#"{"return": {}}"#);
    monitor.emit(Reset::default());
    assert_eq!(client.event(), "RESET");
}

/// Hands the reasons why clients are gone to the test.
struct Goodbyes(mpsc::Sender<Closed>);

impl Observer for Goodbyes {
    fn client_gone(&mut self, _client: SessionId, why: &Closed) {
        self.0.send(why.clone()).unwrap();
    }
}

#[test]
fn a_client_that_does_not_read_is_dropped_and_hurts_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (deaf, hearing) = (folder.path().join("deaf"), folder.path().join("hearing"));
    let (sender, goodbyes) = mpsc::channel();
    let builder = Monitor::builder()
        .output_limit(100_000)
        .observer(Goodbyes(sender))
        .listen_unix(&deaf)
        .listen_unix(&hearing);
    let monitor = builder.build().unwrap();
    let mut idle = Client::ready(&deaf);
    let mut reader = Client::ready(&hearing);
    // The kernel holds some hundred lines more than our limit.
    let mut emitted = 0;
    let why = loop {
        for _ in 0..100 {
            monitor.emit(Stop::default());
            emitted += 1;
        }
        for _ in 0..100 {
            assert_eq!(reader.event(), "STOP");
        }
        match goodbyes.try_recv() {
            Ok(why) => break why,
            Err(_) => assert!(emitted < 100_000, "never dropped"),
        }
    };
    assert!(
        matches!(
            why,
            Closed::NotReading {
                limit_bytes: 100_000,
                ..
            }
        ),
        "{why}"
    );
    let heard = idle.rest().matches("STOP").count();
    assert!(heard < emitted, "some are lost to it");
    assert_eq!(monitor.stats().sent, u64::try_from(emitted).unwrap());
    let mut again = Client::ready(&deaf);
    monitor.emit(Reset::default());
    assert_eq!(again.event(), "RESET");
}

#[test]
fn tcp_and_streams_serve_as_well() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let builder = Monitor::builder()
        .listen_tcp("127.0.0.1:0".parse().unwrap())
        .stream(ours);
    let monitor = builder.build().unwrap();
    let mut pair = Client::on(theirs);
    pair.negotiate();

    let mut tcp = TcpStream::connect(monitor.tcp_addresses()[0]).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.write_all(b"{'execute': 'qmp_capabilities'}").unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"{\"return\": {}}\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte).unwrap();
        heard.extend(byte);
    }
    monitor.emit(Stop::default());
    assert_eq!(pair.event(), "STOP");
    drop(monitor);
    let mut last = String::new();
    tcp.read_to_string(&mut last).unwrap();
    assert!(last.contains("\"event\": \"STOP\""), "{last}");
}

#[test]
fn a_pair_of_pipes_serves_like_a_socket() {
    let (input, mut to_monitor) = std::io::pipe().unwrap();
    let (from_monitor, output) = std::io::pipe().unwrap();
    let (sender, goodbyes) = mpsc::channel();
    let builder = Monitor::builder()
        .observer(Goodbyes(sender))
        .pipes(input, output);
    let monitor = builder.build().unwrap();
    let mut lines = BufReader::new(from_monitor).lines();
    let mut line = || lines.next().unwrap().unwrap();
    assert!(line().starts_with(r#"{"QMP": "#));
    to_monitor
        .write_all(b"{'execute': 'qmp_capabilities'}")
        .unwrap();
    assert_eq!(line(), "{\"return\": {}}");

    // More than a pipe holds: the monitor waits for room, not for the client.
    let count = 3000;
    for _ in 0..count {
        monitor.emit(Stop::default());
    }
    for _ in 0..count {
        assert!(line().contains("\"event\": \"STOP\""));
    }
    // Its reader gone is the client gone, though what it writes into is open still.
    drop(lines);
    assert_eq!(goodbyes.recv_timeout(PATIENCE), Ok(Closed::Left));
    drop(to_monitor);
}

#[test]
fn dialling_out_greets_whoever_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collector.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let stream = UnixStream::connect(&path).unwrap();
    let _monitor = Monitor::builder().stream(stream).build().unwrap();
    let (accepted, _) = listener.accept().unwrap();
    Client::on(accepted).negotiate();
}

#[test]
fn a_dialler_dials_until_somebody_listens_and_again_when_he_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collector.sock");
    let builder = Monitor::builder().dial_unix(&path, Duration::from_millis(1));
    let monitor = builder.build().unwrap();
    for _ in 0..2 {
        let listener = UnixListener::bind(&path).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut client = Client::on(accepted);
        client.negotiate();
        monitor.emit(Stop::default());
        assert_eq!(client.event(), "STOP");
    }
}

#[test]
fn the_end_of_a_monitor_flushes_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    let commands = CommandTable::new().with("quit", |call| {
        call.emit(Stop::default());
        call.emitter().close();
        Ok(Object::new().into())
    });
    let builder = Monitor::builder().commands(commands).listen_unix(&path);
    let monitor = builder.build().unwrap();
    let mut client = Client::ready(&path);
    client.send(r#"{"execute": "quit"}"#);
    assert_eq!(client.event(), "STOP");
    assert_eq!(client.line(), r#"{"return": {}}"#);
    assert_eq!(client.rest(), "");
    monitor.wait().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_dead_socket_is_replaced_another_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    drop(UnixListener::bind(&path).unwrap());
    let monitor = Monitor::builder().listen_unix(&path).build().unwrap();
    Client::ready(&path);

    // A successor takes the path over; the end of the first must not remove it.
    let successor = Monitor::builder().listen_unix(&path).build().unwrap();
    drop(monitor);
    Client::ready(&path);
    drop(successor);

    std::fs::write(&path, "precious").unwrap();
    let error = Monitor::builder().listen_unix(&path).build().unwrap_err();
    assert!(matches!(error, BuildError::Listen { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_wrong_version_says_what_is_expected() {
    for wrong in ["", "7", "seven", "7.2.x", "7.2.1.1"] {
        let error = Monitor::builder().version(wrong).build().unwrap_err();
        assert!(
            error.to_string().contains("give one such as 7.2"),
            "{error}"
        );
    }
}

#[test]
fn a_panic_in_a_command_ends_the_monitor_and_is_not_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    let commands = CommandTable::new().with("die", |_| panic!("as the test wants it"));
    let builder = Monitor::builder().commands(commands).listen_unix(&path);
    let monitor = builder.build().unwrap();
    let mut client = Client::ready(&path);
    client.send(r#"{"execute": "die"}"#);
    assert_eq!(client.rest(), "", "the connection ends");
    let emitter = monitor.emitter();
    let waiting = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| monitor.wait()));
    assert!(waiting.is_err());
    emitter.emit(Stop::default());
    assert!(!path.exists());
}
