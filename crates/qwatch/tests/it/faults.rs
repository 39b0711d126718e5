//! The faults of `qwatch emulate`, each against our own client: it survives and loses nothing.

use serde_json::Value;

use crate::command::{run, run_on};
use crate::emulator::{Client, Emulator};

/// What happens once the client listens, and then the end.
const DAY: &str = r#"
    [[step]]
    do = [
        { event = "WATCHDOG", data = { action = "reset" } },
        { event = "BALLOON_CHANGE", data = { actual = 5 } },
        { event = "X", data = { text = "ä\U0001F600\u0000" } },
        { action = "stop" },
        { action = "quit" },
    ]
"#;

const EVENTS: [&str; 5] = ["WATCHDOG", "BALLOON_CHANGE", "X", "STOP", "SHUTDOWN"];

/// What `qwatch watch` hears of the day, with faults.
fn heard(faults: &[&str]) -> Vec<Value> {
    let args: Vec<&str> = faults.iter().flat_map(|it| ["--fault", it]).collect();
    let vm = Emulator::play(DAY, &args);
    let said = run(&["watch", "--json", "--once", &vm.address()]);
    assert_eq!(said.code, 0, "{faults:?}: {}", said.err);
    let lines = said.out.lines();
    let records = lines.map(|line| serde_json::from_str(line).expect("JSON"));
    records.collect()
}

/// The names of QEMU's events among them.
fn names(records: &[Value]) -> Vec<&str> {
    let events = records.iter().filter(|it| it["origin"] == "qemu");
    events.filter_map(|it| it["event"].as_str()).collect()
}

#[test]
fn nothing_is_lost_however_it_is_sent() {
    for faults in [
        &["split=1"][..],
        &["split=7", "pretty"],
        &["batch=30ms"],
        &["pretty"],
        &["escapes"],
        &["escapes", "pretty", "split=3"],
        &["no-clock"],
        &["backwards"],
        &["unknown-member"],
        &["unknown-value"],
        &["old-members"],
        &["extremes"],
        &["big-reply"],
    ] {
        let records = heard(faults);
        assert_eq!(names(&records), EVENTS, "{faults:?}");
        let garbage = records.iter().any(|it| it["event"] == "garbage");
        assert!(!garbage, "{faults:?}");
        let text = records.iter().find(|it| it["event"] == "X").expect("X");
        if !faults.contains(&"unknown-member") {
            assert_eq!(text["data"]["text"], "ä\u{1f600}\0", "{faults:?}");
        }
    }
}

#[test]
fn what_is_strange_is_kept() {
    let find = |records: &[Value], name: &str| {
        let found = records.iter().find(|it| it["event"] == name).cloned();
        found.unwrap_or_else(|| panic!("no {name}"))
    };
    let records = heard(&["unknown-member", "unknown-value", "extremes"]);
    assert_eq!(find(&records, "WATCHDOG")["data"]["action"], "x-unknown");
    assert_eq!(find(&records, "BALLOON_CHANGE")["data"]["actual"], i64::MIN);
    assert!(find(&records, "STOP")["data"]["x-unknown"].is_object());
    let records = heard(&["old-members"]);
    assert_eq!(find(&records, "SHUTDOWN")["data"], Value::Null);
    let unknown = heard(&["unknown-event"]);
    let count = names(&unknown)
        .iter()
        .filter(|it| **it == "QWATCH_UNKNOWN")
        .count();
    assert_eq!(count, EVENTS.len() + 1);
}

#[test]
fn events_may_come_anywhere() {
    let records = heard(&["event-before-greeting", "event-before-negotiated"]);
    let names = names(&records);
    let early = ["VSERPORT_CHANGE"; 2];
    assert_eq!(names, [&early[..], &EVENTS].concat());
    let vm = Emulator::play("faults = [\"event-before-reply\"]\n", &[]);
    let said = run(&["execute", &vm.address(), "query-status"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let mut client = vm.client();
    client.send("{'execute': 'query-status'}");
    assert_eq!(client.event(), "VSERPORT_CHANGE");
    assert!(client.line().contains("running"));
}

#[test]
fn ends_of_every_kind_are_survived() {
    assert_eq!(names(&heard(&["no-shutdown"])), EVENTS[..4]);
    let calm = "[machine]\nname = \"calm\"\n";
    let vm = Emulator::play(calm, &["--fault", "half-message=3"]);
    let said = run(&["execute", &vm.address(), "query-status"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{}", said.err);
    let again = run(&["execute", &vm.address(), "query-status"]);
    assert_eq!(
        again.code, 1,
        "each connection has its faults: {}",
        again.err
    );
    let vm = Emulator::play(calm, &["--fault", "eof=1"]);
    let said = run(&["execute", &vm.address(), "query-status"]);
    assert_eq!(said.code, 1, "{}", said.err);
    let vm = Emulator::play(calm, &["--fault", "silence=2"]);
    let said = run(&[
        "execute",
        &vm.address(),
        "query-status",
        "--timeout",
        "500ms",
    ]);
    assert_eq!(said.code, 124, "{}", said.err);
    let vm = Emulator::play("faults = [\"big-reply\"]\n", &[]);
    let said = run(&["execute", &vm.address(), "query-status"]);
    assert!(
        said.code == 0 && said.out.len() > 10_000_000,
        "{}",
        said.err
    );
}

#[test]
fn what_a_faulty_monitor_says_can_be_decoded() {
    let faults = [
        "--fault", "split=1", "--fault", "pretty", "--fault", "escapes",
    ];
    let vm = Emulator::play(DAY, &faults);
    let mut client = Client::connect(&vm.socket());
    client.send("{'execute': 'qmp_capabilities'}");
    let text = client.rest();
    let said = run_on(&["decode", "--json"], text.as_bytes());
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{text}");
    let events: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let names: Vec<&str> = events
        .iter()
        .filter_map(|it| it["event"].as_str())
        .collect();
    assert_eq!(names, EVENTS);
}

#[test]
fn what_is_said_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("vm.sock");
    let address = socket.display().to_string();
    let child = std::thread::spawn({
        let address = address.clone();
        move || {
            run(&[
                "emulate",
                "--json",
                "--listen",
                &address,
                "--outlive-parent",
            ])
        }
    });
    let mut client = Client::connect_soon(&socket);
    client.negotiate();
    client.send("{'execute': 'quit', 'id': 'x'}");
    assert_eq!(client.event(), "SHUTDOWN");
    client.rest();
    let said = child.join().expect("no panic");
    assert_eq!(said.code, 0, "{}", said.err);
    let log: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        (&log[0]["what"], &log[0]["address"]),
        (&"listening".into(), &format!("unix:{address}").into())
    );
    let of = |what: &str| -> Vec<&Value> {
        let found = log.iter().filter(|it| it["what"] == what);
        found.map(|it| &it["message"]).collect()
    };
    assert_eq!(of("received")[1]["id"], "x");
    assert_eq!(of("sent").len(), 4, "greeting, return, event, return");
    assert_eq!(
        (
            of("connected").len(),
            log.last().expect("a line")["what"].as_str()
        ),
        (1, Some("gone"))
    );
    assert!(!socket.exists());
}
