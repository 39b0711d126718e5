//! What can go wrong before the first event: each way has its own message, within five seconds.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use qmp_client::{Address, ConnectError, ConnectErrorKind, Options, connect};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;

use crate::stage::{Actor, GREETING, Stage, event};

/// The error of an attempt to connect; it must come in time and begin with the address.
async fn failure(address: &Address) -> ConnectError {
    let started = Instant::now();
    let error = connect(address, &Options::default()).await.unwrap_err();
    assert!(started.elapsed() <= Duration::from_secs(5), "{error}");
    assert!(
        error.to_string().starts_with(&address.to_string()),
        "{error}"
    );
    error
}

/// The error when the monitor plays this script.
async fn failure_after(script: impl AsyncFnOnce(&mut Actor)) -> ConnectError {
    let stage = Stage::new();
    let address = stage.address();
    let (error, ()) = tokio::join!(failure(&address), async {
        let mut actor = stage.accept().await;
        script(&mut actor).await;
    });
    error
}

#[tokio::test(start_paused = true)]
async fn a_monitor_held_by_another_client() {
    let stage = Stage::new();
    // Connected as far as the kernel is concerned; QEMU does not look before the first client leaves.
    let error = failure(&stage.address()).await;
    let own = std::process::id();
    assert!(matches!(error.kind, ConnectErrorKind::Held { pid, .. } if pid == Some(own)));
    let message = error.to_string();
    assert!(message.contains("no greeting within 4 s"), "{message}");
    let holder = format!(
        "another client (libvirt, a manager, a second qwatch) holds this monitor of process {own}"
    );
    assert!(message.contains(&holder), "{message}");
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_greeting_is_no_greeting() {
    let error = failure_after(async |actor| {
        actor.say(&event("STOP")).await;
        assert_eq!(
            actor.hear().await,
            "",
            "nothing is sent before the greeting"
        );
    })
    .await;
    assert!(
        matches!(error.kind, ConnectErrorKind::Held { .. }),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_monitor_that_others_wait_for_already() {
    let stage = Stage::new();
    let narrow = stage.folder().join("narrow");
    let socket = narrow_listener(&narrow);
    let mut waiting = Vec::new();
    let error = loop {
        match connect_now(&narrow).await {
            Ok(stream) => waiting.push(stream),
            Err(_) => break failure(&Address::unix(&narrow)).await,
        }
    };
    assert!(matches!(error.kind, ConnectErrorKind::Crowded), "{error}");
    drop(socket);
}

/// A listener whose queue takes one, as QEMU's.
fn narrow_listener(path: &std::path::Path) -> std::os::fd::OwnedFd {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    listen(&socket, 1).unwrap();
    socket
}

async fn connect_now(path: &std::path::Path) -> std::io::Result<UnixStream> {
    UnixStream::connect(path).await
}

#[tokio::test(start_paused = true)]
async fn a_socket_file_that_qemu_left_behind() {
    let stage = Stage::new();
    let address = stage.address();
    let path = stage.folder().join("dead");
    drop(UnixListener::bind(&path).unwrap());
    let error = failure(&Address::unix(&path)).await;
    assert!(
        matches!(error.kind, ConnectErrorKind::DeadSocket),
        "{error}"
    );
    assert_ne!(address, error.address);
}

#[tokio::test(start_paused = true)]
async fn a_path_that_is_no_socket() {
    let stage = Stage::new();
    let file = stage.folder().join("file");
    File::create(&file).unwrap();
    let error = failure(&Address::unix(&file)).await;
    assert!(
        error.to_string().contains("this is a regular file, not"),
        "{error}"
    );
    let error = failure(&Address::unix(stage.folder())).await;
    assert!(
        error.to_string().contains("this is a directory, not"),
        "{error}"
    );
    let datagram = stage.folder().join("datagram");
    let _socket = std::os::unix::net::UnixDatagram::bind(&datagram).unwrap();
    let error = failure(&Address::unix(&datagram)).await;
    assert!(error.to_string().contains("a datagram socket"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_path_that_is_not_there() {
    let stage = Stage::new();
    for path in ["nothing", "nothing/at/all", "qmp/below-a-socket"] {
        let error = failure(&Address::unix(stage.folder().join(path))).await;
        assert!(
            matches!(error.kind, ConnectErrorKind::NoSuchFile),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn no_permission() {
    let stage = Stage::new();
    fs::set_permissions(stage.path(), fs::Permissions::from_mode(0o000)).unwrap();
    if connect_now(&stage.path()).await.is_ok() {
        // Root may connect to anything; what it gets is the next best error.
        let error = failure(&stage.address()).await;
        assert!(
            matches!(error.kind, ConnectErrorKind::Held { .. }),
            "{error}"
        );
        return;
    }
    let error = failure(&stage.address()).await;
    assert!(matches!(
        error.kind,
        ConnectErrorKind::PermissionDenied { .. }
    ));
    let own = rustix::process::getuid().as_raw();
    let expected = format!("belongs to user id {own}");
    assert!(error.to_string().contains(&expected), "{error}");
}

#[tokio::test(start_paused = true)]
async fn peers_that_speak_something_else() {
    let cases = [
        ("SSH-2.0-OpenSSH_9.2\r\n", "it said `SSH-2.0-OpenSSH_9.2`"),
        ("RFB 003.008\n", "VNC server"),
        (
            "QEMU 10.0.2 monitor - type 'help' for more information\r\n",
            "monitor for people",
        ),
        (
            "{\"hello\": \"world\"}\n",
            "it said `{\"hello\": \"world\"}`",
        ),
        ("{\"return\": {}}\n", "guest agent"),
        ("<html>", "it said `<html>`"),
        ("\u{1b}[2J", "it said `\\u{1b}[2J`"),
        ("{]", "it said `{]`"),
    ];
    for (said, expected) in cases {
        let error = failure_after(async |actor| {
            actor.say(said).await;
            assert_eq!(actor.hear().await, "", "the verdict needs no more bytes");
        })
        .await;
        assert!(
            matches!(error.kind, ConnectErrorKind::NotQmp { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_at_every_place_of_the_handshake() {
    let error = failure_after(async |_| {}).await;
    assert!(
        matches!(error.kind, ConnectErrorKind::NoGreeting),
        "{error}"
    );

    let error = failure_after(async |actor| actor.say(&GREETING[..40]).await).await;
    assert!(
        matches!(error.kind, ConnectErrorKind::HalfGreeting(_)),
        "{error}"
    );
    assert!(error.to_string().contains(&GREETING[..40]), "{error}");

    let error = failure_after(async |actor| {
        actor.say(GREETING).await;
        actor.hear().await;
    })
    .await;
    assert!(
        matches!(error.kind, ConnectErrorKind::GoneInNegotiation),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_negotiation_that_fails() {
    let error = failure_after(async |actor| {
        actor.say(GREETING).await;
        actor.hear().await;
        let error = r#"{"class": "GenericError", "desc": "Capability oob not available"}"#;
        actor
            .say(&format!("{{\"id\": 0, \"error\": {error}}}\r\n"))
            .await;
        actor.hear().await;
    })
    .await;
    assert!(
        matches!(error.kind, ConnectErrorKind::Negotiation(_)),
        "{error}"
    );

    let error = failure_after(async |actor| {
        actor.say(GREETING).await;
        actor.hear().await;
        assert_eq!(actor.hear().await, "");
    })
    .await;
    assert!(matches!(error.kind, ConnectErrorKind::Stuck(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn paths_longer_than_a_socket_address() {
    let stage = Stage::new();
    let deep = stage.folder().join("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&deep).unwrap();
    let path = deep.join("qmp");
    let error = failure(&Address::unix(&path)).await;
    assert!(
        matches!(error.kind, ConnectErrorKind::NoSuchFile),
        "{error}"
    );

    fs::rename(stage.path(), &path).unwrap();
    let address = Address::unix(&path);
    let options = Options::default();
    let (connection, ()) = tokio::join!(connect(&address, &options), async {
        stage.accept().await.greet().await;
    });
    assert_eq!(
        connection.unwrap().client.greeting().version.to_string(),
        "10.0.2"
    );

    let error = failure(&Address::unix(deep.join("f".repeat(120)))).await;
    assert!(
        matches!(error.kind, ConnectErrorKind::NameTooLong),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_tcp_port_that_nobody_listens_on() {
    // Bound and dropped: free at the moment.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let address = format!("tcp:127.0.0.1:{port}").parse().unwrap();
    let error = failure(&address).await;
    assert!(matches!(error.kind, ConnectErrorKind::Refused), "{error}");
}
