//! Events: all of them, in order, to the last.

use qmp_client::{CloseReason, Closed, Dropped, Item, Options, connect};

use crate::stage::{Actor, GREETING, Stage, event, next_name};

#[tokio::test(start_paused = true)]
async fn events_are_heard_from_before_the_greeting_to_the_end() {
    let stage = Stage::new();
    let address = stage.address();
    let options = Options::default();
    let (connection, mut actor) = tokio::join!(connect(&address, &options), async {
        let mut actor = stage.accept().await;
        // QEMU up to 10.2 can send an event before its greeting, and any before the return.
        actor.say(&event("VSERPORT_CHANGE")).await;
        actor.say(GREETING).await;
        actor.hear().await;
        actor.say(&event("STOP")).await;
        actor.say("{\"return\": {}, \"id\": 0}\r\n").await;
        actor
    });
    let mut events = connection.unwrap().events;
    actor.say(&event("RESUME")).await;
    drop(actor);
    for name in ["VSERPORT_CHANGE", "STOP", "RESUME"] {
        assert_eq!(next_name(&mut events).await, name);
    }
    let reason = CloseReason::Eof;
    assert_eq!(
        events.next().await,
        Err(Closed {
            reason: reason.clone()
        })
    );
    assert_eq!(events.next().await, Err(Closed { reason }), "and again");
}

#[tokio::test(start_paused = true)]
async fn the_text_is_as_sent_without_its_line_end() {
    let stage = Stage::new();
    let (mut connection, mut actor) = stage.connected(&Options::default()).await;
    let text =
        "{\r\n    \"event\": \"NEW_ONE\",\r\n    \"data\": { \"x\": 18446744073709551615 }\r\n}";
    actor.say(text).await;
    let Ok(Item::Event(event)) = connection.events.next().await else {
        panic!("an event")
    };
    assert_eq!(event.text, text);
    assert_eq!(
        event.envelope().unwrap().data,
        Some("{ \"x\": 18446744073709551615 }")
    );
}

#[tokio::test(start_paused = true)]
async fn half_an_event_at_the_end_is_told() {
    let stage = Stage::new();
    let (mut connection, mut actor) = stage.connected(&Options::default()).await;
    actor.say("{\"event\": \"STO").await;
    drop(actor);
    let Err(closed) = connection.events.next().await else {
        panic!("the end")
    };
    assert!(matches!(&closed.reason, CloseReason::HalfMessage(half) if half.len == 14));
    let message = closed.to_string();
    assert!(message.contains("in the middle of a message"), "{message}");
    assert!(message.contains("{\"event\": \"STO"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn garbage_and_strays_are_items_and_not_the_end() {
    let stage = Stage::new();
    let (mut connection, mut actor) = stage.connected(&Options::default()).await;
    let error = r#"{"error": {"class": "GenericError", "desc": "JSON parse error"}}"#;
    actor.say("oops\r\n").await;
    actor.say(&format!("{error}\r\n{}", event("STOP"))).await;
    let Ok(Item::Garbage(garbage)) = connection.events.next().await else {
        panic!("garbage")
    };
    assert_eq!(garbage.sample, b"oops\r\n");
    assert_eq!(
        connection.events.next().await,
        Ok(Item::Stray(error.to_owned()))
    );
    assert_eq!(next_name(&mut connection.events).await, "STOP");
}

#[tokio::test(start_paused = true)]
async fn a_second_greeting_ends_the_connection_with_its_own_reason() {
    let stage = Stage::new();
    let (mut connection, mut actor) = stage.connected(&Options::default()).await;
    actor.say(GREETING).await;
    let reason = CloseReason::StartedOver;
    assert_eq!(connection.events.next().await, Err(Closed { reason }));
}

/// Room for about ten events, and a hard limit of about twenty.
fn small() -> Options {
    Options {
        event_queue_max_bytes: 1400,
        event_queue_hard_max_bytes: 2800,
        ..Options::default()
    }
}

/// More than the queue, the socket's buffers and a read of the driver hold together.
const FLOOD: usize = 20_000;

async fn flood(actor: &mut Actor, from: usize) {
    for number in from..from + FLOOD {
        actor.say(&event(&format!("E{number}"))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_holds_the_sender_and_loses_nothing() {
    let stage = Stage::new();
    let (mut connection, mut actor) = stage.connected(&small()).await;
    let sender = tokio::spawn(async move {
        flood(&mut actor, 0).await;
        actor
    });
    // The sender fills all there is and then cannot go on: nobody reads.
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(
        !sender.is_finished(),
        "the socket is not read while the queue is full"
    );
    for number in 0..FLOOD {
        assert_eq!(
            next_name(&mut connection.events).await,
            format!("E{number}")
        );
    }
    drop(sender.await.unwrap());
    assert!(connection.events.next().await.is_err(), "not one more");
}

#[tokio::test(start_paused = true)]
async fn a_command_under_way_is_answered_past_a_full_queue_and_the_loss_is_counted() {
    let stage = Stage::new();
    let (mut connection, mut actor) = stage.connected(&small()).await;
    let client = connection.client.clone();
    let (result, ()) = tokio::join!(client.execute("query-status", ()), async {
        actor.hear().await;
        flood(&mut actor, 0).await;
        actor
            .say("{\"return\": {\"running\": true}, \"id\": 1}\r\n")
            .await;
    });
    assert_eq!(result.unwrap().get(), "{\"running\": true}");

    drop((actor, client));
    let (mut heard, mut lost) = (0, 0);
    while let Ok(item) = connection.events.next().await {
        match item {
            Item::Event(event) => {
                let expected = format!("E{}", heard + lost);
                assert_eq!(
                    event.envelope().unwrap().name,
                    expected,
                    "the loss is told in place"
                );
                heard += 1;
            }
            Item::Dropped(Dropped { count, by_name, .. }) => {
                assert_eq!(by_name.get(&format!("E{heard}")), Some(&1));
                lost += usize::try_from(count).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(heard >= 10, "{heard}");
    assert_eq!(heard + lost, FLOOD, "every event is heard or counted");
}

#[tokio::test(start_paused = true)]
async fn without_events_the_connection_is_read_on_for_its_clients() {
    let stage = Stage::new();
    let (connection, mut actor) = stage.connected(&small()).await;
    let client = connection.client;
    drop(connection.events);
    flood(&mut actor, 0).await;
    let (result, ()) = tokio::join!(client.execute("query-status", ()), async {
        actor.hear().await;
        actor.say("{\"return\": {}, \"id\": 1}\r\n").await;
    });
    assert_eq!(result.unwrap().get(), "{}");
    drop(client);
    assert_eq!(actor.hear().await, "", "the last handle closes the socket");
}

#[tokio::test(start_paused = true)]
async fn without_clients_events_go_on() {
    let stage = Stage::new();
    let (connection, mut actor) = stage.connected(&small()).await;
    let mut events = connection.events;
    drop(connection.client);
    actor.say(&event("STOP")).await;
    assert_eq!(next_name(&mut events).await, "STOP");
    drop(events);
    assert_eq!(actor.hear().await, "", "the last handle closes the socket");
}

#[test]
fn the_end_of_the_runtime_is_an_end_with_a_reason() {
    let stage_runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = stage_runtime();
    let (mut connection, actor) = first.block_on(async {
        let stage = Stage::new();
        stage.connected(&Options::default()).await
    });
    drop((first, actor));
    let reason = CloseReason::ByUs;
    let end = stage_runtime().block_on(connection.events.next());
    assert_eq!(end, Err(Closed { reason }));
}
