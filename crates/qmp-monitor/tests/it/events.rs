//! Events on their way to several clients, through the rate limits.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use qmp_events::vocabulary::{BalloonChange, NicRxFilterChanged, Stop};
use qmp_events::{EventKind, Message, Timestamp, Version};
use qmp_monitor::{
    CommandTable, Emitter, Hub, Monitor, Observer, Outgoing, Personality, SessionId, Value,
    generic_error,
};
use qmp_protocol::monitor::LimitKey;

use crate::client::Client;

#[test]
fn every_ready_client_gets_the_same_bytes_in_the_same_order() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..3)
        .map(|n| folder.path().join(format!("{n}.sock")))
        .collect();
    let builder = paths.iter().fold(Monitor::builder(), |builder, path| {
        builder.listen_unix(path)
    });
    let monitor = builder.build().unwrap();
    let mut clients: Vec<Client> = paths.iter().map(|path| Client::ready(path)).collect();
    std::thread::scope(|scope| {
        for thread in 0..4_i64 {
            let emitter = monitor.emitter();
            scope.spawn(move || {
                for n in 0..250 {
                    let stamp = Timestamp {
                        seconds: thread,
                        microseconds: n,
                    };
                    emitter.emit_message(&Message::new(stamp, Stop::default()));
                }
            });
        }
    });
    let heard: Vec<Vec<String>> = clients
        .iter_mut()
        .map(|client| (0..1000).map(|_| client.line()).collect())
        .collect();
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0], heard[2]);
    for thread in 0..4 {
        let prefix = format!("{{\"timestamp\": {{\"seconds\": {thread}, ");
        let own = heard[0].iter().filter(|line| line.starts_with(&prefix));
        let expected =
            (0..250).map(|n| format!("{prefix}\"microseconds\": {n}}}, \"event\": \"STOP\"}}"));
        assert!(own.cloned().eq(expected), "each thread's own order is kept");
    }
}

/// Real time passes here, as the driver's timer is what is tested; only lower bounds are asserted.
#[test]
fn a_held_event_comes_when_its_second_is_over_with_its_old_stamp() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    let monitor = Monitor::builder()
        .version("7.2")
        .listen_unix(&path)
        .build()
        .unwrap();
    let mut client = Client::ready(&path);
    let start = Instant::now();
    for actual in 1..=20 {
        let stamp = Timestamp {
            seconds: actual,
            microseconds: 0,
        };
        let event = BalloonChange {
            actual,
            ..Default::default()
        };
        monitor.emit_message(&Message::new(stamp, event));
    }
    assert_eq!(
        client.line(),
        r#"{"timestamp": {"seconds": 1, "microseconds": 0}, "event": "BALLOON_CHANGE", "data": {"actual": 1}}"#
    );
    assert_eq!(
        client.line(),
        r#"{"timestamp": {"seconds": 20, "microseconds": 0}, "event": "BALLOON_CHANGE", "data": {"actual": 20}}"#
    );
    assert!(start.elapsed() >= Duration::from_secs(1));
    let stats = monitor.stats();
    assert_eq!(
        (stats.emitted, stats.sent, stats.replaced, stats.held()),
        (20, 2, 18, 0)
    );
}

#[test]
fn text_is_emitted_as_it_is_and_limited_like_any_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    let monitor = Monitor::builder().listen_unix(&path).build().unwrap();
    let mut client = Client::ready(&path);
    let odd = r#"{"event":"SOMETHING_NEW","data":{"z":1,"a":1e2},"timestamp":{"seconds":-1,"microseconds":-1}}"#;
    monitor.emit_text(odd).unwrap();
    assert_eq!(
        client.line(),
        r#"{"event": "SOMETHING_NEW", "data": {"z": 1, "a": 1e2}, "timestamp": {"seconds": -1, "microseconds": -1}}"#
    );
    assert!(monitor.emit_text("{\"no\": \"event\"}").is_err());
    for _ in 0..3 {
        monitor
            .emit_text(r#"{"event": "RTC_CHANGE", "data": {"offset": 1}}"#)
            .unwrap();
    }
    let stats = monitor.stats();
    assert_eq!((stats.sent, stats.replaced, stats.held()), (2, 1, 1));
}

/// Measured on QEMU: a client that negotiates while a window is open gets the event held in it, created
/// before it connected, and misses the one sent at once.
#[test]
fn the_limiter_works_with_nobody_connected() {
    let version = Version::new(7, 2);
    let mut hub = Hub::new(Personality::of(version));
    let start = Instant::now();
    let event = |line: &str| Outgoing {
        line: line.to_owned(),
        limit: LimitKey::of(EventKind::BalloonChange, Some("{\"actual\": 1}"), version),
        latch: None,
    };
    assert!(!hub.emit(start, event("first")), "nobody hears it");
    hub.emit(start, event("second"));
    let id = hub.connect();
    let session = hub.session(id).unwrap();
    session.handle_input(b"{'execute': 'qmp_capabilities'}");
    assert_eq!(hub.poll_request(), None);
    let due = hub.poll_timeout().unwrap();
    assert_eq!(due, start + Duration::from_secs(1));
    assert!(!hub.handle_timeout(due - Duration::from_millis(1)));
    assert!(hub.handle_timeout(due));
    let output = hub.session(id).unwrap().output().to_vec();
    assert!(output.ends_with(b"{\"return\": {}}\r\nsecond\r\n"));
}

/// QEMU tells of a card once, and again only after somebody has read its filter.
#[test]
fn a_latched_event_comes_once_for_each_query() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    let commands = CommandTable::new().with("query-rx-filter", |call| {
        let mut arguments = call.arguments();
        let name = arguments.optional_string("name")?;
        arguments.finish()?;
        match name {
            Some("nowhere") => Err(generic_error("invalid net client name: nowhere")),
            _ => Ok(Value::Array(Vec::new())),
        }
    });
    let monitor = Monitor::builder().commands(commands).listen_unix(&path);
    let monitor = monitor.build().unwrap();
    let mut client = Client::ready(&path);
    let change = |name: &'static str| {
        monitor.emit(NicRxFilterChanged {
            name: Some(name.into()),
            path: format!("/machine/peripheral/{name}/virtio-backend").into(),
            ..NicRxFilterChanged::default()
        });
    };
    change("a");
    change("a");
    change("b");
    for name in ["a", "b"] {
        assert!(client.line().contains(&format!("\"name\": \"{name}\"")));
    }
    let filter =
        |name| format!(r#"{{"execute": "query-rx-filter", "arguments": {{"name": "{name}"}}}}"#);
    assert!(
        client
            .ask(&filter("nowhere"))
            .contains("invalid net client")
    );
    change("a");
    assert_eq!(client.ask(&filter("b")), r#"{"return": []}"#);
    change("a");
    change("b");
    assert!(client.line().contains(r#""name": "b""#));
    client.ask(r#"{"execute": "query-rx-filter"}"#);
    change("a");
    assert!(client.line().contains(r#""name": "a""#));
    let stats = monitor.stats();
    assert_eq!((stats.emitted, stats.sent, stats.latched), (7, 4, 3));
    assert_eq!(stats.held(), 0);
}

/// Emits and ends at the very moment at which what waited was written.
struct LastWord(Arc<OnceLock<Emitter>>);

impl Observer for LastWord {
    fn client_ready(&mut self, _client: SessionId) {
        if let Some(emitter) = self.0.get() {
            emitter.emit(Stop::default());
            emitter.close();
        }
    }
}

#[test]
fn what_is_emitted_before_the_end_is_written_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    let emitter = Arc::new(OnceLock::new());
    let observer = LastWord(Arc::clone(&emitter));
    let monitor = Monitor::builder().observer(observer).listen_unix(&path);
    let monitor = monitor.build().unwrap();
    emitter.set(monitor.emitter()).unwrap();
    let mut client = Client::ready(&path);
    assert_eq!(client.event(), "STOP");
    assert_eq!(client.rest(), "");
    monitor.wait().unwrap();
}
