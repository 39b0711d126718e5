//! Following one machine through the ends of its connections.

use std::time::Duration;

use qmp_client::{
    Address, Attached, Backoff, CloseReason, ConnectErrorKind, Detached, FollowItem, Listener,
    Options, Reconnecting,
};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;

use crate::stage::{Actor, Stage, event};

fn follow(address: Address) -> Reconnecting {
    Reconnecting::dial(address, Options::default(), Backoff::default())
}

/// The next item, while the monitor waits for a client and greets it.
async fn attached(follower: &mut Reconnecting, stage: &Stage) -> (FollowItem, Actor) {
    tokio::join!(follower.next(), async {
        let mut actor = stage.accept().await;
        actor.greet().await;
        actor
    })
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_connection_is_told_and_then_the_gap_it_made() {
    let stage = Stage::new();
    let mut follower = follow(stage.address());
    let (item, mut actor) = attached(&mut follower, &stage).await;
    let FollowItem::Attached(Attached { client, .. }) = item else {
        panic!("{item:?}")
    };
    assert_eq!(client.greeting().version.major, 10);

    actor.say(&event("STOP")).await;
    drop(actor);
    let item = follower.next().await;
    assert!(
        matches!(&item, FollowItem::Event(event) if event.text.contains("STOP")),
        "{item:?}"
    );
    let item = follower.next().await;
    let FollowItem::Detached(detached) = item else {
        panic!("{item:?}")
    };
    assert_eq!(detached.reason.reason, CloseReason::Eof);

    let (item, mut actor) = attached(&mut follower, &stage).await;
    let FollowItem::Gap(gap) = item else {
        panic!("{item:?}")
    };
    assert_eq!((gap.from, &gap.reason), (detached.at, &detached.reason));
    assert!(gap.until >= gap.from);
    let item = follower.next().await;
    assert!(matches!(item, FollowItem::Attached(_)), "{item:?}");
    actor.say(&event("RESUME")).await;
    let item = follower.next().await;
    assert!(matches!(&item, FollowItem::Event(event) if event.text.contains("RESUME")));
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_with_longer_and_longer_pauses() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("qmp");
    let mut follower = follow(Address::unix(&path));
    let started = Instant::now();
    let mut waited = Duration::ZERO;
    for (attempt, pause) in (1..).zip([100, 200, 400, 800, 1600, 3200, 5000, 5000]) {
        let item = follower.next().await;
        let FollowItem::Failed(failed) = item else {
            panic!("{item:?}")
        };
        assert!(
            matches!(failed.error.kind, ConnectErrorKind::NoSuchFile),
            "{}",
            failed.error
        );
        assert_eq!(failed.attempts, attempt);
        assert_eq!(failed.retry_in, Duration::from_millis(pause));
        // The clock of the test runtime has a resolution of a millisecond a pause.
        let slack = Duration::from_millis(u64::from(attempt));
        assert!(started.elapsed() >= waited && started.elapsed() <= waited + slack);
        waited += failed.retry_in;
    }
    let _listener = UnixListener::bind(&path).unwrap();
    let item = follower.next().await;
    let FollowItem::Failed(failed) = item else {
        panic!("{item:?}")
    };
    assert!(
        matches!(failed.error.kind, ConnectErrorKind::Held { .. }),
        "{}",
        failed.error
    );
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_dies_at_once_each_time_is_not_redialled_in_a_frenzy() {
    let stage = Stage::new();
    let mut follower = follow(stage.address());
    let mut pauses = Vec::new();
    // The last connection outlives the longest pause.
    for lifetime in [0, 0, 0, 60].map(Duration::from_secs) {
        let (_, actor) = attached(&mut follower, &stage).await;
        tokio::time::sleep(lifetime).await;
        drop(actor);
        loop {
            match follower.next().await {
                FollowItem::Attached(_) => {}
                FollowItem::Detached(Detached { retry_in, .. }) => break pauses.push(retry_in),
                other => panic!("{other:?}"),
            }
        }
    }
    let expected = [100, 200, 400, 100].map(Duration::from_millis);
    assert_eq!(pauses, expected);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_dials_in_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("qmp");
    let listener = Listener::bind(&Address::unix(&path)).await.unwrap();
    let mut follower = Reconnecting::accept(listener, Options::default(), Backoff::default());
    let dial = async || {
        let mut actor = Actor::new(UnixStream::connect(&path).await.unwrap());
        actor.greet().await;
        actor
    };
    let (item, actor) = tokio::join!(follower.next(), dial());
    assert!(matches!(item, FollowItem::Attached(_)), "{item:?}");
    drop(actor);
    let item = follower.next().await;
    assert!(matches!(item, FollowItem::Detached(_)), "{item:?}");
    let (item, _actor) = tokio::join!(follower.next(), dial());
    assert!(matches!(item, FollowItem::Gap(_)), "{item:?}");
}

#[tokio::test(start_paused = true)]
async fn an_impatient_caller_loses_nothing() {
    let stage = Stage::new();
    let mut follower = follow(stage.address());
    let mut names = Vec::new();
    let script = async {
        for name in ["STOP", "RESUME"] {
            let mut actor = stage.accept().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            actor.greet().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            actor.say(&event(name)).await;
        }
    };
    let listen = async {
        while names.len() < 7 {
            // Each call is given up after a few milliseconds, in every phase.
            let patience = Duration::from_millis(7);
            if let Ok(item) = tokio::time::timeout(patience, follower.next()).await {
                names.push(match item {
                    FollowItem::Attached(_) => "attached",
                    FollowItem::Detached(_) => "detached",
                    FollowItem::Gap(_) => "gap",
                    FollowItem::Event(_) => "event",
                    other => panic!("{other:?}"),
                });
            }
        }
    };
    tokio::join!(script, listen);
    let expected = [
        "attached", "event", "detached", "gap", "attached", "event", "detached",
    ];
    assert_eq!(names, expected);
}
