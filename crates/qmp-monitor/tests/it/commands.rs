//! Commands: built in, the embedder's, answered at once and later.

use std::sync::mpsc;

use qmp_events::vocabulary::{Resume, Stop};
use qmp_monitor::{
    Answer, Call, CommandInfo, CommandTable, Commands, Monitor, Object, Reply, Value, generic_error,
};

use crate::client::{Client, PATIENCE};

fn path() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    (folder, path)
}

#[test]
fn what_a_monitor_knows_of_itself() {
    let (_folder, path) = path();
    let monitor = Monitor::builder()
        .version("5.2.1")
        .package("Example 5.2")
        .name("vm1")
        .uuid("7b4b1f3c-0000-4000-8000-000000000001")
        .listen_unix(&path);
    let _monitor = monitor.build().unwrap();
    let mut client = Client::ready(&path);
    assert_eq!(
        client.ask(r#"{"execute": "query-version"}"#),
        r#"{"return": {"qemu": {"micro": 1, "minor": 2, "major": 5}, "package": "Example 5.2"}}"#
    );
    assert_eq!(
        client.ask(r#"{"execute": "query-name"}"#),
        r#"{"return": {"name": "vm1"}}"#
    );
    assert_eq!(
        client.ask(r#"{"execute": "query-uuid"}"#),
        r#"{"return": {"UUID": "7b4b1f3c-0000-4000-8000-000000000001"}}"#
    );
    let commands = client.ask(r#"{"execute": "query-commands"}"#);
    assert!(commands.contains(r#"{"name": "query-uuid"}"#), "{commands}");
    let events = client.ask(r#"{"execute": "query-events"}"#);
    assert!(
        events.contains(r#"{"name": "MEM_UNPLUG_ERROR"}"#),
        "{events}"
    );
    assert!(
        !events.contains("NETDEV_STREAM_CONNECTED"),
        "came with 7.2: {events}"
    );
    assert_eq!(
        client.ask(r#"{"execute": "query-version", "arguments": {"x": 1}}"#),
        r#"{"error": {"class": "GenericError", "desc": "Parameter 'x' is unexpected"}}"#
    );
}

#[test]
fn query_events_is_gone_since_6_0() {
    let (_folder, path) = path();
    let builder = Monitor::builder().version("7.2").listen_unix(&path);
    let _monitor = builder.build().unwrap();
    let mut client = Client::ready(&path);
    assert_eq!(
        client.ask(r#"{"execute": "query-events"}"#),
        r#"{"error": {"class": "CommandNotFound", "desc": "The command query-events has not been found"}}"#
    );
    assert_eq!(
        client.ask(r#"{"execute": "query-name"}"#),
        r#"{"error": {"class": "CommandNotFound", "desc": "The command query-name has not been found"}}"#,
        "no name was given"
    );
}

#[test]
fn what_a_command_emits_comes_before_its_answer() {
    let (_folder, path) = path();
    let commands = CommandTable::new()
        .with("stop", |call| {
            call.emit(Stop::default());
            Ok(Object::new().into())
        })
        .with("fail", |_| Err(generic_error("no")));
    let builder = Monitor::builder().commands(commands).listen_unix(&path);
    let _monitor = builder.build().unwrap();
    let mut client = Client::ready(&path);
    client.send(r#"{"execute": "stop", "id": {"b": [1.0]}}{"execute": "fail", "id": null}"#);
    assert_eq!(client.event(), "STOP");
    assert_eq!(client.line(), r#"{"return": {}, "id": {"b": [1]}}"#);
    assert_eq!(
        client.line(),
        r#"{"id": null, "error": {"class": "GenericError", "desc": "no"}}"#
    );
}

/// `slow` is answered by the test, `fast` at once and out of band if asked so.
struct Deferring {
    replies: mpsc::Sender<Reply>,
}

impl Commands for Deferring {
    fn list(&self) -> Vec<CommandInfo> {
        vec![
            CommandInfo::new("slow"),
            CommandInfo::new("fast").with_oob(),
        ]
    }

    fn execute(&mut self, call: Call<'_>) -> Answer {
        if call.name() == "fast" {
            return Ok(Value::from("done")).into();
        }
        let (answer, reply) = call.defer();
        self.replies.send(reply).unwrap();
        answer
    }
}

#[test]
fn an_answer_may_come_later_and_holds_up_commands_but_not_events() {
    let (folder, path) = path();
    let second = folder.path().join("second.sock");
    let (sender, replies) = mpsc::channel();
    let builder = Monitor::builder()
        .commands(Deferring { replies: sender })
        .listen_unix(&path)
        .listen_unix(&second);
    let monitor = builder.build().unwrap();
    let mut client = Client::connect(&path);
    client.line();
    client.send(r#"{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}}"#);
    client.line();
    let mut other = Client::ready(&second);

    client.send(r#"{"execute": "slow", "id": 1}{"execute": "fast", "id": 2}"#);
    let reply = replies.recv_timeout(PATIENCE).unwrap();
    other.send(r#"{"execute": "fast", "id": 3}"#);
    monitor.emit(Resume::default());
    assert_eq!(client.event(), "RESUME");
    assert_eq!(other.event(), "RESUME", "and not yet the answer to 3");
    let urgent = client.ask(r#"{"exec-oob": "fast", "id": 4}"#);
    assert_eq!(urgent, r#"{"return": "done", "id": 4}"#);

    reply.send(Ok(Value::Bool(true)));
    assert_eq!(client.line(), r#"{"return": true, "id": 1}"#);
    assert_eq!(client.line(), r#"{"return": "done", "id": 2}"#);
    assert_eq!(other.line(), r#"{"return": "done", "id": 3}"#);

    client.send(r#"{"execute": "slow", "id": 5}"#);
    drop(replies.recv_timeout(PATIENCE).unwrap());
    assert!(client.line().contains("The command was given up"));
}

#[test]
fn oob_is_for_commands_that_allow_it() {
    let (_folder, path) = path();
    let (sender, _replies) = mpsc::channel();
    let commands = Deferring { replies: sender };
    let builder = Monitor::builder().commands(commands).listen_unix(&path);
    let _monitor = builder.build().unwrap();
    let mut client = Client::connect(&path);
    client.line();
    client.send(r#"{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}}"#);
    client.line();
    assert_eq!(
        client.ask(r#"{"exec-oob": "slow"}"#),
        r#"{"error": {"class": "GenericError", "desc": "The command slow does not support OOB"}}"#
    );
    assert_eq!(
        client.ask(r#"{"exec-oob": "nothing"}"#),
        r#"{"error": {"class": "CommandNotFound", "desc": "The command nothing has not been found"}}"#
    );
}
