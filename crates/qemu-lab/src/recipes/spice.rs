//! Somebody opens channels of a SPICE display.

use serde_json::json;

use super::{Recipe, migration};
use crate::{
    LabError, Machine,
    guest::spice::{Channel, INPUTS, MAIN},
};

const OPEN: &[&str] = &["-spice", "unix=on,addr=spice.sock,disable-ticketing=on"];
const WITH_PASSWORD: &[&str] = &[
    "-object",
    "secret,id=secret0,data=sesame",
    "-spice",
    "unix=on,addr=spice.sock,password-secret=secret0",
];
/// The server's verdict on a wrong password.
const PERMISSION_DENIED: u32 = 7;

pub(super) const RECIPES: &[Recipe] = &[
    Recipe::new(
        "SPICE_INITIALIZED",
        OPEN,
        |machine| {
            let mut main = connect(machine)?;
            expect(main.link(0, MAIN, "")?, 0)?;
            machine.event("SPICE_INITIALIZED")?;
            Ok(())
        },
        &[
            "SPICE_CONNECTED server.family=unix server.port=spice.sock client.family=unix",
            "SPICE_INITIALIZED server.auth=none client.channel-type=1 client.tls=false",
            "SPICE_DISCONNECTED",
        ],
    ),
    Recipe::new(
        "SPICE_INITIALIZED.password",
        WITH_PASSWORD,
        |machine| {
            let mut main = connect(machine)?;
            expect(main.link(0, MAIN, "sesame")?, 0)?;
            machine.event("SPICE_INITIALIZED")?;
            Ok(())
        },
        &[
            "SPICE_CONNECTED",
            "SPICE_INITIALIZED server.auth=spice",
            "SPICE_DISCONNECTED",
        ],
    ),
    // Main is closed first: closing another channel before it can end QEMU, a fault of its
    // SPICE library.
    Recipe::new(
        "SPICE_INITIALIZED.channels",
        OPEN,
        |machine| {
            let mut main = connect(machine)?;
            expect(main.link(0, MAIN, "")?, 0)?;
            machine.event("SPICE_INITIALIZED")?;
            let session = main.session()?;
            let mut inputs = connect(machine)?;
            expect(inputs.link(session, INPUTS, "")?, 0)?;
            machine.event("SPICE_INITIALIZED")?;
            drop(main);
            machine.event("SPICE_DISCONNECTED")?;
            Ok(())
        },
        &[
            "SPICE_INITIALIZED client.channel-type=1",
            "SPICE_CONNECTED",
            "SPICE_INITIALIZED client.channel-type=3",
            "SPICE_DISCONNECTED",
            "SPICE_DISCONNECTED",
        ],
    ),
    Recipe::new(
        "SPICE_DISCONNECTED",
        WITH_PASSWORD,
        |machine| {
            let mut main = connect(machine)?;
            expect(main.link(0, MAIN, "open")?, PERMISSION_DENIED)
        },
        &["SPICE_CONNECTED", "SPICE_DISCONNECTED"],
    ),
    Recipe::new(
        "SPICE_CONNECTED",
        OPEN,
        |machine| connect(machine).map(drop),
        &["SPICE_CONNECTED", "SPICE_DISCONNECTED"],
    ),
    // QEMU tells it only if it was told where the viewers should go, even if there are none.
    Recipe::new(
        "SPICE_MIGRATE_COMPLETED",
        OPEN,
        |machine| {
            let target = json!({ "protocol": "spice", "hostname": "127.0.0.1", "port": 5999 });
            machine.execute("client_migrate_info", target)?;
            migration::migrate(machine, "exec:cat > /dev/null")
        },
        &["MIGRATION status=completed", "SPICE_MIGRATE_COMPLETED"],
    ),
];

fn connect(machine: &mut Machine) -> Result<Channel, LabError> {
    let channel = Channel::connect(&machine.folder().join("spice.sock"))?;
    machine.event("SPICE_CONNECTED")?;
    Ok(channel)
}

fn expect(verdict: u32, expected: u32) -> Result<(), LabError> {
    match verdict == expected {
        true => Ok(()),
        false => {
            let text = format!("SPICE's verdict is {verdict}, not {expected}");
            Err(LabError::Unexpected(text))
        }
    }
}
