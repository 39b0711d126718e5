//! Somebody opens channels of a SPICE display.

use serde_json::json;

use super::{Recipe, migration};
use crate::{
    LabError, Machine,
    guest::{
        sasl::{self, Sasl},
        spice::{Channel, FOLLOWS, FOLLOWS_SEAMLESSLY, INPUTS, MAIN, Ticket, word},
        stream, tls,
    },
};

const OPEN: &[&str] = &["-spice", "unix=on,addr=spice.sock,disable-ticketing=on"];
const WITH_PASSWORD: &[&str] = &[
    "-object",
    "secret,id=secret0,data=sesame",
    "-spice",
    "unix=on,addr=spice.sock,password-secret=secret0",
];
/// What a client shows where nothing is asked for.
const NOTHING: Ticket = Ticket::Password("");
/// The server's verdict on a wrong password.
const PERMISSION_DENIED: u32 = 7;

pub(super) const RECIPES: &[Recipe] = &[
    Recipe::new(
        "SPICE_INITIALIZED",
        OPEN,
        |machine| {
            let mut main = connect(machine)?;
            expect(main.link(0, MAIN, NOTHING)?, 0)?;
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
            expect(main.link(0, MAIN, Ticket::Password("sesame"))?, 0)?;
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
            expect(main.link(0, MAIN, NOTHING)?, 0)?;
            machine.event("SPICE_INITIALIZED")?;
            let session = main.session()?;
            let mut inputs = connect(machine)?;
            expect(inputs.link(session, INPUTS, NOTHING)?, 0)?;
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
            expect(
                main.link(0, MAIN, Ticket::Password("open"))?,
                PERMISSION_DENIED,
            )
        },
        &["SPICE_CONNECTED", "SPICE_DISCONNECTED"],
    ),
    Recipe::new(
        "SPICE_CONNECTED",
        OPEN,
        |machine| connect(machine).map(drop),
        &["SPICE_CONNECTED", "SPICE_DISCONNECTED"],
    ),
    Recipe::new(
        "SPICE_INITIALIZED.tcp",
        &["-spice", "addr=127.0.0.1,port={port},disable-ticketing=on"],
        |machine| {
            let mut main = connect_tcp(machine)?;
            expect(main.link(0, MAIN, NOTHING)?, 0)?;
            machine.event("SPICE_INITIALIZED").map(drop)
        },
        &[
            "SPICE_CONNECTED server.family=ipv4 server.host=127.0.0.1 client.family=ipv4",
            "SPICE_INITIALIZED server.auth=none client.tls=false",
            "SPICE_DISCONNECTED client.family=ipv4",
        ],
    ),
    Recipe::new(
        "SPICE_INITIALIZED.tls",
        &[
            "-spice",
            "addr=127.0.0.1,tls-port={port},x509-dir=.,disable-ticketing=on",
        ],
        |machine| {
            let mut main = connect_tls(machine)?;
            expect(main.link(0, MAIN, NOTHING)?, 0)?;
            machine.event("SPICE_INITIALIZED").map(drop)
        },
        &[
            "SPICE_CONNECTED",
            "SPICE_INITIALIZED server.auth=none client.tls=true",
            "SPICE_DISCONNECTED",
        ],
    )
    .files(tls::write_certificates),
    // Who the user is, SPICE does not tell.
    Recipe::new(
        "SPICE_INITIALIZED.tls-sasl",
        &[
            "-spice",
            "addr=127.0.0.1,tls-port={port},x509-dir=.,sasl=on",
        ],
        |machine| {
            sasl::add_user(machine)?;
            let mut main = connect_tls(machine)?;
            expect(main.link(0, MAIN, Ticket::Sasl(Sasl::Plain))?, 0)?;
            machine.event("SPICE_INITIALIZED").map(drop)
        },
        &[
            "SPICE_CONNECTED",
            "SPICE_INITIALIZED server.auth=sasl client.tls=true",
            "SPICE_DISCONNECTED",
        ],
    )
    .files(|folder| {
        tls::write_certificates(folder)?;
        sasl::write_configuration(folder)
    }),
    // QEMU tells it only if it was told where the viewers should go, even if there are none.
    Recipe::new(
        "SPICE_MIGRATE_COMPLETED",
        OPEN,
        |machine| {
            send_viewers_to(machine, 5999)?;
            migration::migrate(machine, "exec:cat > /dev/null")
        },
        &["MIGRATION status=completed", "SPICE_MIGRATE_COMPLETED"],
    ),
    Recipe::new(
        "SPICE_MIGRATE_COMPLETED.viewer",
        &["-spice", "addr=127.0.0.1,port={port},disable-ticketing=on"],
        viewer_follows,
        &[
            "SPICE_INITIALIZED",
            "MIGRATION status=completed",
            "SPICE_MIGRATE_COMPLETED",
            "SPICE_DISCONNECTED",
        ],
    ),
    Recipe::new(
        "SPICE_MIGRATE_COMPLETED.seamless",
        &[
            "-spice",
            "addr=127.0.0.1,port={port},disable-ticketing=on,seamless-migration=on",
        ],
        viewer_follows_seamlessly,
        &[
            "SPICE_INITIALIZED",
            "MIGRATION status=completed",
            "SPICE_MIGRATE_COMPLETED",
            "SPICE_DISCONNECTED",
        ],
    ),
];

/// The viewer is told where the machine will be, connects there, and when it is there, leaves.
fn viewer_follows(machine: &mut Machine) -> Result<(), LabError> {
    const BEGIN: u16 = 101;
    const CONNECTED: u16 = 102;
    const END: u16 = 112;
    const FOLLOWED: u16 = 109;
    let target = target(machine, "")?;
    let mut main = connect_tcp(machine)?;
    expect(main.link_with(0, MAIN, FOLLOWS, NOTHING)?, 0)?;
    machine.event("SPICE_INITIALIZED")?;
    let session = main.session()?;
    send_viewers_to(machine, target.port())?;
    main.receive(BEGIN)?;
    let mut there = Channel::new(stream::tcp(target.port())?);
    expect(there.link_with(session, MAIN, FOLLOWS, NOTHING)?, 0)?;
    main.send(CONNECTED, &[])?;
    migration::migrate(machine, &incoming(&target))?;
    main.receive(END)?;
    there.send(FOLLOWED, &[])?;
    drop(main);
    machine.event("SPICE_DISCONNECTED").map(drop)
}

/// The same, but what the channel has under way is passed on by the viewer.
fn viewer_follows_seamlessly(machine: &mut Machine) -> Result<(), LabError> {
    const BEGIN: u16 = 116;
    /// Where in its body the version of the source's state is.
    const VERSION_OFFSET: usize = 20;
    const TAKE_OVER: u16 = 110;
    const AGREED: u16 = 117;
    const CONNECTED: u16 = 111;
    const MIGRATE: u16 = 1;
    const FLUSHED: u16 = 4;
    const STATE: u16 = 2;
    const STATE_PASSED_ON: u16 = 5;
    let target = target(machine, ",seamless-migration=on")?;
    let mut main = connect_tcp(machine)?;
    expect(main.link_with(0, MAIN, FOLLOWS_SEAMLESSLY, NOTHING)?, 0)?;
    machine.event("SPICE_INITIALIZED")?;
    let session = main.session()?;
    send_viewers_to(machine, target.port())?;
    let version = word(&main.receive(BEGIN)?, VERSION_OFFSET)?;
    let mut there = Channel::new(stream::tcp(target.port())?);
    let verdict = there.link_with(session, MAIN, FOLLOWS_SEAMLESSLY, NOTHING)?;
    expect(verdict, 0)?;
    there.send(TAKE_OVER, &version.to_le_bytes())?;
    there.receive(AGREED)?;
    main.send(CONNECTED, &[])?;
    migration::migrate(machine, &incoming(&target))?;
    main.receive(MIGRATE)?;
    main.send(FLUSHED, &[])?;
    let state = main.receive(STATE)?;
    there.send(STATE_PASSED_ON, &state)?;
    drop(main);
    machine.event("SPICE_DISCONNECTED").map(drop)
}

/// The machine to migrate to.
fn target(machine: &Machine, more: &str) -> Result<Machine, LabError> {
    let spice = format!("addr=127.0.0.1,port={{port}},disable-ticketing=on{more}");
    let target = machine.another().args(["-spice", &spice]);
    target.args(["-incoming", "unix:incoming.sock"]).start()
}

/// Where it waits.
fn incoming(target: &Machine) -> String {
    format!("unix:{}", target.folder().join("incoming.sock").display())
}

fn send_viewers_to(machine: &mut Machine, port: u16) -> Result<(), LabError> {
    let target = json!({ "protocol": "spice", "hostname": "127.0.0.1", "port": port });
    machine.execute("client_migrate_info", target).map(drop)
}

fn connect_tcp(machine: &mut Machine) -> Result<Channel, LabError> {
    let channel = Channel::new(stream::tcp(machine.port())?);
    machine.event("SPICE_CONNECTED")?;
    Ok(channel)
}

fn connect_tls(machine: &mut Machine) -> Result<Channel, LabError> {
    let stream = stream::tcp(machine.port())?;
    machine.event("SPICE_CONNECTED")?;
    Ok(Channel::new(tls::wrap(stream, machine.folder())?))
}

fn connect(machine: &mut Machine) -> Result<Channel, LabError> {
    let channel = Channel::new(stream::unix(&machine.folder().join("spice.sock"))?);
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
