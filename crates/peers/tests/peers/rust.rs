//! The crates `qapi` 0.15 (blocking) and `qmp` (tokio).

use std::fmt::Write;
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use qapi::Command;
use qapi::qmp::{
    cont, migrate_pause, query_name, query_status, query_version, quit, stop, system_powerdown,
};
use qmp::{Client, Endpoint};
use serde_json::Value;

use crate::same_with_both;

/// No answer within this is no answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_crate_qapi_drives_it() {
    let seen = same_with_both(with_qapi);
    for part in ["vm1", "STOP", "RESUME", "POWERDOWN", "SHUTDOWN", "postcopy"] {
        assert!(seen.contains(part), "no {part}:\n{seen}");
    }
}

type Qmp = qapi::Qmp<qapi::Stream<BufReader<UnixStream>, UnixStream>>;

fn with_qapi(path: &Path) -> String {
    let stream = UnixStream::connect(path).expect("a listening monitor");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    let mut qmp: Qmp = qapi::Qmp::new(qapi::Stream::new(reader, stream));
    let mut seen = String::new();
    writeln!(seen, "{:?}", qmp.handshake().expect("a greeting")).expect("a string");
    run(&mut qmp, &query_version {}, &mut seen);
    run(&mut qmp, &query_name {}, &mut seen);
    run(&mut qmp, &stop {}, &mut seen);
    run(&mut qmp, &query_status {}, &mut seen);
    run(&mut qmp, &cont {}, &mut seen);
    run(&mut qmp, &query_status {}, &mut seen);
    run(&mut qmp, &system_powerdown {}, &mut seen);
    run(&mut qmp, &migrate_pause {}, &mut seen);
    qmp.nop().expect("an answer");
    run(&mut qmp, &quit {}, &mut seen);
    seen
}

fn run<C: Command>(qmp: &mut Qmp, command: &C, seen: &mut String)
where
    C::Ok: std::fmt::Debug,
{
    let answer = qmp.execute(command);
    writeln!(seen, "{}: {answer:?}", C::NAME).expect("a string");
    for event in qmp.events() {
        writeln!(seen, "{event:?}").expect("a string");
    }
}

#[test]
fn the_crate_qmp_drives_it() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let seen = same_with_both(|path| {
        runtime.block_on(async {
            let conversation = tokio::time::timeout(PATIENCE, with_qmp(path));
            conversation.await.expect("an end in time")
        })
    });
    for part in [
        "vm1",
        "STOP",
        "RESUME",
        "POWERDOWN",
        "SHUTDOWN",
        "CommandNotFound",
    ] {
        assert!(seen.contains(part), "no {part}:\n{seen}");
    }
}

async fn with_qmp(path: &Path) -> String {
    let client = Client::connect(Endpoint::unix(path))
        .await
        .expect("a greeting");
    let mut events = client.events();
    let mut seen = format!("{:?}\n", client.greeting());
    for (command, event) in [
        ("query-version", false),
        ("query-name", false),
        ("stop", true),
        ("query-status", false),
        ("cont", true),
        ("system_powerdown", true),
        ("migrate-pause", false),
        ("no-such-command", false),
        ("quit", true),
    ] {
        let answer: Result<Value, _> = client.execute(command, None::<()>).await;
        writeln!(seen, "{command}: {answer:?}").expect("a string");
        if event {
            let event = events.recv().await;
            writeln!(seen, "{event:?}").expect("a string");
        }
    }
    seen
}
