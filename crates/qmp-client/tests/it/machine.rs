//! The client and the emulated machine of `qmp-monitor`: both sides of the protocol at once.

use qmp_client::{ExecuteError, Item, Options, RefusedCommand, connect};
use qmp_events::vocabulary::{Resume, Stop};
use qmp_monitor::{CommandTable, Monitor, Object};
use tempfile::TempDir;

use crate::stage::next_name;

#[tokio::test]
async fn a_conversation_in_every_form() {
    // The release decides about out-of-band, and `pretty` about the line ends inside messages.
    for (version, offers_oob) in [
        ("2.6", false),
        ("4.0", true),
        ("10.0", true),
        ("11.1", true),
    ] {
        for pretty in [false, true] {
            converse(version, offers_oob, pretty).await;
        }
    }
}

async fn converse(version: &str, offers_oob: bool, pretty: bool) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("qmp");
    let commands = CommandTable::new().with("stop", |call| {
        call.emit(Stop::default());
        Ok(Object::new().into())
    });
    let machine = Monitor::builder()
        .version(version)
        .pretty(pretty)
        .commands(commands)
        .listen_unix(&path)
        .build()
        .unwrap();
    let options = Options {
        oob: true,
        ..Options::default()
    };
    let address = qmp_client::Address::unix(&path);
    let mut connection = connect(&address, &options).await.unwrap();
    let client = connection.client;
    assert!(client.greeting().version.to_string().starts_with(version));
    assert_eq!(client.oob(), offers_oob);

    // More than QEMU's queue takes, given at once.
    let stops = (0..20).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.execute("stop", ()).await })
    });
    for stop in stops.collect::<Vec<_>>() {
        let result = stop.await.unwrap().unwrap();
        assert_eq!(result.get().replace(char::is_whitespace, ""), "{}");
    }
    let refused = client.execute_oob("stop", ()).await.unwrap_err();
    match refused {
        ExecuteError::Command(error) if offers_oob => {
            assert!(error.desc.contains("does not support OOB"), "{error}");
        }
        ExecuteError::Refused(RefusedCommand::NoOob) if !offers_oob => {}
        other => panic!("{other}"),
    }

    machine.emit(Resume::default());
    for _ in 0..20 {
        assert_eq!(next_name(&mut connection.events).await, "STOP");
    }
    let last = connection.events.next().await;
    let Ok(Item::Event(event)) = last else {
        panic!("{last:?}")
    };
    assert_eq!(event.decode().unwrap().event.name(), "RESUME");
    assert_eq!(event.text.contains("\r\n"), pretty, "as sent");
    drop(machine);
    assert!(connection.events.next().await.is_err());
}
