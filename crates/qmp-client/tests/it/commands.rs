//! Commands: answered, refused, overtaken, late.

use std::collections::BTreeMap;
use std::time::Duration;

use qmp_client::{CloseReason, ErrorClass, ExecuteError, Item, Options, RefusedCommand};
use serde::{Deserialize, Serialize};

use crate::stage::{Stage, event};

#[derive(Debug, PartialEq, Deserialize)]
struct Status {
    running: bool,
    status: String,
}

#[tokio::test(start_paused = true)]
async fn a_result_is_typed_or_raw() {
    let stage = Stage::new();
    let (connection, mut actor) = stage.connected(&Options::default()).await;
    let client = connection.client;
    let answer = r#"{"return": {"running": true, "status": "running", "new": 1}, "id": "#;

    let (status, ()) = tokio::join!(client.execute_as::<Status>("query-status", ()), async {
        assert_eq!(actor.hear().await, r#"{"execute":"query-status","id":1}"#);
        actor.say(&format!("{answer}1}}\r\n")).await;
    });
    let running = Status {
        running: true,
        status: "running".into(),
    };
    assert_eq!(status.unwrap(), running);

    let (raw, ()) = tokio::join!(client.execute("query-status", ()), async {
        actor.hear().await;
        actor.say(&format!("{answer}2}}\r\n")).await;
    });
    assert_eq!(
        raw.unwrap().get(),
        r#"{"running": true, "status": "running", "new": 1}"#
    );
}

#[tokio::test(start_paused = true)]
async fn arguments_go_out_compact() {
    #[derive(Serialize)]
    struct Resize<'a> {
        device: &'a str,
        size: u64,
    }
    let stage = Stage::new();
    let (connection, mut actor) = stage.connected(&Options::default()).await;
    let arguments = Resize {
        device: "d 0",
        size: u64::MAX,
    };
    let (result, ()) = tokio::join!(
        connection.client.execute("block_resize", arguments),
        async {
            let expected = concat!(
                r#"{"execute":"block_resize","arguments":{"device":"d 0","#,
                r#""size":18446744073709551615},"id":1}"#
            );
            assert_eq!(actor.hear().await, expected);
            actor.say("{\"return\": {}, \"id\": 1}").await;
        }
    );
    assert_eq!(result.unwrap().get(), "{}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_refused_here() {
    let stage = Stage::new();
    let (connection, mut actor) = stage.connected(&Options::default()).await;
    let client = connection.client;
    let error = client.execute("x", [1, 2]).await.unwrap_err();
    assert!(matches!(error, ExecuteError::Arguments(_)), "{error}");
    let keys = BTreeMap::from([(vec![1], 2)]);
    let error = client.execute("x", keys).await.unwrap_err();
    assert!(matches!(error, ExecuteError::Arguments(_)), "{error}");
    let error = client.execute_oob("x", ()).await.unwrap_err();
    assert!(
        matches!(error, ExecuteError::Refused(RefusedCommand::NoOob)),
        "{error}"
    );
    assert!(actor.hears_nothing().await);
}

#[tokio::test(start_paused = true)]
async fn qemus_error_is_typed_by_class() {
    let stage = Stage::new();
    let (connection, mut actor) = stage.connected(&Options::default()).await;
    let (result, ()) = tokio::join!(connection.client.execute("nope", ()), async {
        actor.hear().await;
        let desc = "The command nope has not been found";
        let error = format!(r#"{{"class": "CommandNotFound", "desc": "{desc}"}}"#);
        actor
            .say(&format!("{{\"id\": 1, \"error\": {error}}}\r\n"))
            .await;
    });
    let Err(ExecuteError::Command(error)) = result else {
        panic!("{result:?}")
    };
    assert_eq!(error.class, ErrorClass::CommandNotFound);
    assert_eq!(
        error.to_string(),
        "The command nope has not been found (CommandNotFound)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_dropped_and_not_taken_for_another() {
    let stage = Stage::new();
    let (mut connection, mut actor) = stage.connected(&Options::default()).await;
    let client = connection.client.with_timeout(Duration::from_secs(3));
    let started = tokio::time::Instant::now();
    let error = client.execute("slow", ()).await.unwrap_err();
    assert!(matches!(error, ExecuteError::TimedOut(_)), "{error}");
    assert_eq!(started.elapsed(), Duration::from_secs(3));

    let (result, ()) = tokio::join!(client.execute("next", ()), async {
        actor.hear().await;
        assert_eq!(actor.hear().await, r#"{"execute":"next","id":2}"#);
        actor.say("{\"return\": \"late\", \"id\": 1}\r\n").await;
        actor.say("{\"return\": \"mine\", \"id\": 2}\r\n").await;
    });
    assert_eq!(result.unwrap().get(), "\"mine\"");
    drop((actor, client, connection.client));
    let end = connection.events.next().await;
    assert!(end.is_err(), "the late answer is no stray: {end:?}");
}

#[tokio::test(start_paused = true)]
async fn at_most_eight_commands_are_under_way_and_one_given_up_is_never_sent() {
    let stage = Stage::new();
    let (connection, mut actor) = stage.connected(&Options::default()).await;
    let waiting: Vec<_> = (0..9)
        .map(|number| {
            let client = connection.client.clone();
            tokio::spawn(async move { client.execute(&format!("c{number}"), ()).await })
        })
        .collect();
    for number in 0..8 {
        assert!(actor.hear().await.contains(&format!("\"c{number}\"")));
    }
    let patience = connection.client.with_timeout(Duration::from_millis(10));
    let given_up = patience.execute("given-up", ()).await.unwrap_err();
    assert!(matches!(given_up, ExecuteError::TimedOut(_)), "{given_up}");
    assert!(actor.hears_nothing().await, "QEMU's queue is full");

    actor.say("{\"return\": 0, \"id\": 1}\r\n").await;
    assert_eq!(actor.hear().await, r#"{"execute":"c8","id":9}"#);
    for id in 2..=9 {
        actor
            .say(&format!("{{\"return\": {}, \"id\": {id}}}\r\n", id - 1))
            .await;
    }
    for (number, task) in waiting.into_iter().enumerate() {
        assert_eq!(task.await.unwrap().unwrap().get(), number.to_string());
    }
    assert!(
        actor.hears_nothing().await,
        "what was given up is not sent later"
    );
}

#[tokio::test(start_paused = true)]
async fn an_out_of_band_command_overtakes() {
    let stage = Stage::new();
    let options = Options {
        oob: true,
        ..Options::default()
    };
    let (connection, mut actor) = stage.connected(&options).await;
    let client = connection.client;
    assert!(client.oob());
    let (slow, urgent, ()) = tokio::join!(
        client.execute("slow", ()),
        client.execute_oob("yank", ()),
        async {
            assert_eq!(actor.hear().await, r#"{"execute":"slow","id":1}"#);
            assert_eq!(actor.hear().await, r#"{"exec-oob":"yank","id":2}"#);
            actor.say("{\"return\": \"second\", \"id\": 2}\r\n").await;
            actor.say(&event("STOP")).await;
            actor.say("{\"return\": \"first\", \"id\": 1}\r\n").await;
        }
    );
    assert_eq!(slow.unwrap().get(), "\"first\"");
    assert_eq!(urgent.unwrap().get(), "\"second\"");
}

#[tokio::test(start_paused = true)]
async fn the_end_is_told_to_those_who_wait_and_to_those_who_come_later() {
    let stage = Stage::new();
    let (mut connection, mut actor) = stage.connected(&Options::default()).await;
    let client = connection.client;
    let (result, ()) = tokio::join!(client.execute("quit", ()), async {
        actor.hear().await;
        actor.say(&event("SHUTDOWN")).await;
        drop(actor);
    });
    for result in [result, client.execute("query-status", ()).await] {
        let Err(ExecuteError::Closed(closed)) = result else {
            panic!("{result:?}")
        };
        assert_eq!(closed.reason, CloseReason::Eof);
    }
    assert_eq!(
        client.closed().map(|closed| closed.reason),
        Some(CloseReason::Eof)
    );
    let last = connection.events.next().await;
    assert!(
        matches!(last, Ok(Item::Event(_))),
        "SHUTDOWN is not lost: {last:?}"
    );
}
