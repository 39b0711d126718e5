//! The recorder under a service manager: what it says, what it takes over, what it reads again.

use std::os::unix::net::UnixListener;
use std::path::Path;

use qmp_monitor::{Emitter, Monitor};
use rustix::process::Signal;

use crate::recorder::{Place, Recorder, member, named};
use crate::supervisor::Supervisor;

fn monitor(name: &str) -> qmp_monitor::Builder {
    Monitor::builder().version("10.0.2").name(name)
}

fn path(place: &Place, name: &str) -> String {
    place.path(name).to_str().expect("UTF-8").to_owned()
}

fn emit(emitter: &Emitter, name: &str) {
    let stamp = r#"{"seconds": 1700000000, "microseconds": 2}"#;
    let text = format!(r#"{{"timestamp": {stamp}, "event": "{name}"}}"#);
    emitter.emit_text(&text).expect("an event");
}

#[test]
fn it_says_that_it_is_ready_how_it_is_and_that_it_stops() {
    let place = Place::new();
    let socket = path(&place, "web.sock");
    let journal = path(&place, "j.db");
    let supervisor = Supervisor::new(&["--journal", &journal, "--monitor", &socket]);
    let recorder = supervisor.start_ready();
    let said = supervisor.said("STATUS=");
    assert!(
        said[0].starts_with("STATUS=recording 0 machines, journal "),
        "{said:?}"
    );
    let _monitor = monitor("web")
        .listen_unix(&socket)
        .build()
        .expect("a monitor");
    supervisor.wait("one machine", |said| {
        said.iter()
            .any(|line| line.starts_with("STATUS=recording 1 machine, journal "))
    });
    recorder.stop();
    assert_eq!(supervisor.said("STOPPING=").len(), 1);
    assert_eq!(supervisor.said("WATCHDOG="), Vec::<String>::new());
}

#[test]
fn a_watchdog_is_answered_unless_the_writer_hangs() {
    let place = Place::new();
    let (socket, journal) = (path(&place, "web.sock"), path(&place, "j.db"));
    let monitor = monitor("web")
        .listen_unix(&socket)
        .build()
        .expect("a monitor");
    let mut supervisor = Supervisor::new(&["--journal", &journal, "--monitor", &socket]);
    supervisor.set("WATCHDOG_USEC", "300000");
    let recorder = supervisor.start_ready();
    let pings = |said: &[String]| said.iter().filter(|line| *line == "WATCHDOG=1").count();
    place.wait_attached("web", 1);
    supervisor.wait("three pings", |said| pings(said) >= 3);

    // The writer waits within SQLite for somebody else's lock.
    let other = rusqlite::Connection::open(&journal).expect("a journal");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    emit(&monitor.emitter(), "STOP");
    recorder.wait_log("the journal's writer hangs");
    let before = supervisor.said("WATCHDOG=1").len();
    recorder.wait_log("the journal's writer hangs");
    assert_eq!(supervisor.said("WATCHDOG=1").len(), before);
    other.execute_batch("ROLLBACK").expect("let go");
    supervisor.wait("a ping again", |said| pings(said) > before);
    place.wait_for("STOP", |records| !named(records, "web", "STOP").is_empty());
    recorder.kill();

    // One that is meant for another process is nobody's here.
    let before = supervisor.said("WATCHDOG=1").len();
    supervisor.set("WATCHDOG_PID", "1");
    supervisor.start_ready().stop();
    assert_eq!(supervisor.said("WATCHDOG=1").len(), before);
}

#[test]
fn listening_sockets_are_kept_and_one_that_nobody_wants_is_closed() {
    let place = Place::new();
    let (one, other) = (path(&place, "one.sock"), path(&place, "other.sock"));
    let journal = path(&place, "j.db");
    let both = [
        "--journal",
        &journal,
        "--listen",
        &format!("unix:{one}"),
        "--listen",
        &format!("unix:{other}"),
    ]
    .map(str::to_owned);
    let both: Vec<&str> = both.iter().map(String::as_str).collect();
    let mut supervisor = Supervisor::new(&both);
    let identity = |path: &str| {
        let found = rustix::fs::stat(path).expect("a socket");
        (found.st_dev, found.st_ino)
    };
    let recorder = supervisor.start_ready();
    let before = (identity(&one), identity(&other));
    assert_eq!(supervisor.kept().len(), 2);
    recorder.kill();

    // Nobody is refused while there is no recorder: the second one hears who dialled meanwhile.
    let dialled = monitor("web")
        .dial_unix(&one, std::time::Duration::from_secs(3600))
        .build()
        .expect("a monitor");
    let recorder = supervisor.start_ready();
    assert_eq!((identity(&one), identity(&other)), before);
    place.wait_attached("web", 1);
    emit(&dialled.emitter(), "STOP");
    place.wait_for("STOP", |records| !named(records, "web", "STOP").is_empty());
    recorder.stop();
    assert_eq!(identity(&one), before.0, "the next one listens on");

    supervisor.configure(&both[..4]);
    let recorder = supervisor.start_ready();
    let kept = supervisor.kept();
    assert_eq!(
        kept.iter()
            .filter(|name| name.starts_with("listen-"))
            .count(),
        1,
        "{kept:?}"
    );
    assert!(
        UnixListener::bind(&other).is_err(),
        "the file is there still"
    );
    assert!(std::os::unix::net::UnixStream::connect(&other).is_err());
    recorder.stop();
}

#[test]
fn a_socket_that_the_manager_opened_is_listened_at() {
    let place = Place::new();
    let (socket, journal) = (path(&place, "q.sock"), path(&place, "j.db"));
    let listener = UnixListener::bind(&socket).expect("a socket");
    let listen = format!("unix:{socket}");
    let supervisor = Supervisor::new(&["--journal", &journal, "--listen", &listen]);
    supervisor.hand_over("qwatch.socket", listener.into());
    let _monitor = monitor("web")
        .dial_unix(&socket, std::time::Duration::from_millis(20))
        .build()
        .expect("a monitor");
    let recorder = supervisor.start_ready();
    place.wait_attached("web", 1);
    let kept = supervisor.kept();
    assert!(
        !kept.iter().any(|name| name.starts_with("listen-")),
        "{kept:?}"
    );
    recorder.stop();
    assert!(Path::new(&socket).exists(), "it is not ours to remove");
}

fn reload(supervisor: &Supervisor, recorder: &Recorder) {
    let ready = supervisor.said("READY=1").len();
    recorder.signal(Signal::HUP);
    supervisor.wait("READY=1 after a reload", |said| {
        said.iter().filter(|line| *line == "READY=1").count() > ready
    });
}

#[test]
fn the_settings_are_read_again_and_who_stays_is_not_disturbed() {
    let place = Place::new();
    let [web, db, mail] = ["web", "db", "mail"].map(|name| path(&place, &format!("{name}.sock")));
    let emitters = [("web", &web), ("db", &db), ("mail", &mail)].map(|(name, socket)| {
        monitor(name)
            .listen_unix(socket)
            .build()
            .expect("a monitor")
    });
    let config = path(&place, "qwatch.toml");
    let write = |text: &str| std::fs::write(&config, text).expect("written");
    write(&format!(
        "journal = \"j.db\"\nmonitor = [\"{web}\", \"{db}\"]\n"
    ));
    let supervisor = Supervisor::new(&["--config", &config]);
    let recorder = supervisor.start_ready();
    place.wait_attached("web", 1);
    place.wait_attached("db", 1);

    write(&format!(
        "journal = \"other.db\"\nmonitor = [\"{web}\", \"{mail}\"]\nlisten = [\"unix:{}\"]\n",
        path(&place, "in.sock")
    ));
    reload(&supervisor, &recorder);
    recorder.wait_log("is written from the next start on");
    recorder.wait_log(&format!("no longer dialling unix:{db}"));
    recorder.wait_log("now listening at");
    place.wait_attached("mail", 1);
    let _guest = monitor("guest")
        .dial_unix(
            path(&place, "in.sock"),
            std::time::Duration::from_millis(20),
        )
        .build()
        .expect("a monitor");
    place.wait_attached("guest", 1);

    // A mistake changes nothing; nor does an address that cannot be listened at.
    for wrong in [
        "monitors = []\n".to_owned(),
        format!(
            "journal = \"j.db\"\nmonitor = [\"{db}\"]\nlisten = [\"unix:/no/such/folder/q\"]\n"
        ),
    ] {
        write(&wrong);
        reload(&supervisor, &recorder);
        recorder.wait_log("the settings stay as they are");
    }
    for emitter in &emitters {
        emit(&emitter.emitter(), "STOP");
    }
    place.wait_for("STOP of those that are recorded", |records| {
        ["web", "mail"]
            .iter()
            .all(|name| !named(records, name, "STOP").is_empty())
    });
    recorder.stop();
    let records = place.wait_for("the journal", |_| true);
    let count = |machine, name| named(&records, machine, name).len();
    assert_eq!(count("db", "STOP"), 0);
    // Those that stay go over to the next recorder.
    assert_eq!((count("web", "attached"), count("web", "detached")), (1, 0));
    let reason = member(named(&records, "db", "detached")[0], "reason");
    assert_eq!(reason, "it was taken out of the recorder's settings");
    assert_eq!(supervisor.said("RELOADING=1").len(), 3);
    assert_eq!(supervisor.said("MONOTONIC_USEC=").len(), 3);
}
