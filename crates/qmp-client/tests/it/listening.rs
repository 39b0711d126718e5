//! QEMU dials us.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use qmp_client::{Address, ConnectErrorKind, ListenErrorKind, Listener, Options, connect};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

use crate::stage::{Actor, GREETING, event, next_name};

/// A QEMU dials in, and is greeted.
async fn dial_in(path: &std::path::Path) -> Actor {
    let mut actor = Actor::new(UnixStream::connect(path).await.unwrap());
    actor.greet().await;
    actor
}

#[tokio::test(start_paused = true)]
async fn two_machines_dial_in_on_one_path() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("qmp");
    let listener = Listener::bind(&Address::unix(&path)).await.unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let options = Options::default();
    let mut machines = Vec::new();
    for _ in 0..2 {
        let (accepted, actor) = tokio::join!(listener.accept(&options), dial_in(&path));
        machines.push((accepted.unwrap(), actor));
    }
    for (connection, actor) in &mut machines {
        assert_eq!(
            connection.client.peer().unwrap().pid,
            Some(std::process::id())
        );
        actor.say(&event("STOP")).await;
        assert_eq!(next_name(&mut connection.events).await, "STOP");
    }
    drop(listener);
    assert!(!path.exists(), "the socket is removed at the end");
}

#[tokio::test(start_paused = true)]
async fn a_silent_dialler_does_not_hold_up_the_next() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("qmp");
    let listener = Listener::bind(&Address::unix(&path)).await.unwrap();
    let options = Options::default();
    let _silent = UnixStream::connect(&path).await.unwrap();
    let first = listener.incoming().await.unwrap();
    let (silent, accepted, _actor) = tokio::join!(
        first.greet(&options),
        listener.accept(&options),
        dial_in(&path)
    );
    assert!(accepted.is_ok());
    let error = silent.unwrap_err();
    let own = std::process::id();
    assert!(matches!(error.kind, ConnectErrorKind::Silent { pid, .. } if pid == Some(own)));
    assert!(
        error.to_string().contains("no greeting within 4 s"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_socket_file_is_replaced_and_anything_else_is_not() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("qmp");
    let address = Address::unix(&path);

    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = Listener::bind(&address).await.unwrap();

    let error = Listener::bind(&address).await.unwrap_err();
    let own = std::process::id();
    assert!(
        matches!(error.kind, ListenErrorKind::InUse { pid } if pid == Some(own)),
        "{error}"
    );
    assert!(
        error.to_string().contains("another program listens"),
        "{error}"
    );
    assert!(path.exists(), "the refused one removes nothing");
    drop(listener);

    fs::write(&path, "precious").unwrap();
    let error = Listener::bind(&address).await.unwrap_err();
    assert!(
        matches!(error.kind, ListenErrorKind::NotASocket("a regular file")),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), b"precious");

    let missing = Address::unix(folder.path().join("no/qmp"));
    let error = Listener::bind(&missing).await.unwrap_err();
    assert!(
        matches!(error.kind, ListenErrorKind::NoDirectory(_)),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_listener_leaves_the_file_of_its_successor_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("qmp");
    let first = Listener::bind(&Address::unix(&path)).await.unwrap();
    fs::remove_file(&path).unwrap();
    let _second = Listener::bind(&Address::unix(&path)).await.unwrap();
    drop(first);
    assert!(path.exists());
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_listens_already_is_known_by_its_address_and_taken_over() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("qmp");
    let name = format!("@qwatch-test-adopt-{}", std::process::id());
    let mut first = Listener::bind(&Address::unix(&path)).await.unwrap();
    let others = [
        Address::unix(folder.path().join("other")),
        name.parse().unwrap(),
        "tcp:127.0.0.1:1".parse().unwrap(),
    ];
    for other in &others {
        assert!(
            !Listener::is_bound_to(first.as_fd(), other).await,
            "{other}"
        );
    }
    // The process that bound it ends; somebody has kept the socket.
    let kept = first.as_fd().try_clone_to_owned().unwrap();
    first.leave_file();
    drop(first);
    let address = Address::unix(&path);
    assert!(Listener::is_bound_to(kept.as_fd(), &address).await);
    let second = Listener::adopt(&address, kept).unwrap();
    let (incoming, actor) = tokio::join!(second.incoming(), UnixStream::connect(&path));
    actor.unwrap();
    assert_eq!(
        incoming.unwrap().peer().unwrap().pid,
        Some(std::process::id())
    );
    fs::remove_file(&path).unwrap();
    assert!(!Listener::is_bound_to(second.as_fd(), &address).await);

    let abstract_one = Listener::bind(&others[1]).await.unwrap();
    assert!(Listener::is_bound_to(abstract_one.as_fd(), &others[1]).await);
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: Address = format!("tcp:{}", tcp.local_addr().unwrap())
        .parse()
        .unwrap();
    assert!(Listener::is_bound_to(tcp.as_fd(), &address).await);
    let tcp = Listener::adopt(&address, tcp.into()).unwrap();
    assert_eq!(tcp.address(), &address);
    let error = Listener::adopt(
        &Address::unix(&path),
        tcp.as_fd().try_clone_to_owned().unwrap(),
    );
    assert!(matches!(error.unwrap_err().kind, ListenErrorKind::Io(_)));
}

#[tokio::test(start_paused = true)]
async fn long_paths_abstract_names_and_tcp() {
    let folder = TempDir::new().unwrap();
    let deep = folder.path().join("d".repeat(120));
    fs::create_dir(&deep).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let addresses = [
        Address::unix(deep.join("qmp")),
        format!("@qwatch-test-{}", std::process::id())
            .parse()
            .unwrap(),
        format!("tcp:127.0.0.1:{port}").parse().unwrap(),
    ];
    let options = Options::default();
    for address in addresses {
        let listener = Listener::bind(&address).await.unwrap();
        // Our own client is no QEMU: it waits for a greeting as we do. Both say so.
        let (accepted, dialled) =
            tokio::join!(listener.accept(&options), connect(&address, &options));
        for error in [accepted.unwrap_err(), dialled.unwrap_err()] {
            let reason = error.to_string();
            assert!(reason.contains("greeting"), "{reason}");
        }
        drop(listener);
        assert!(!deep.join("qmp").exists());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_ones_own() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let options = Options::default();
    let (connection, _actor) =
        tokio::join!(qmp_client::Connection::from_stream(ours, &options), async {
            let mut actor = Actor::new(theirs);
            actor.say(GREETING).await;
            actor.hear().await;
            actor.say("{\"return\": {}, \"id\": 0}").await;
            actor
        });
    assert_eq!(connection.unwrap().client.peer(), None);
}
