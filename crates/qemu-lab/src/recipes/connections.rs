//! Somebody connects to QEMU: to its console, to a network card's other end.

use std::os::unix::net::UnixStream;

use serde_json::json;

use super::Recipe;
use crate::{
    LabError, Machine,
    guest::vnc::{self, Security, WebSocket},
};

pub(super) const RECIPES: &[Recipe] = &[
    Recipe::new(
        "VNC_INITIALIZED",
        &["-vnc", "unix:vnc.sock"],
        visit_console,
        &[
            "VNC_CONNECTED server.family=unix client.family=unix",
            "VNC_INITIALIZED server.auth=none",
            "VNC_DISCONNECTED server.auth=none",
        ],
    ),
    Recipe::new(
        "VNC_INITIALIZED.tcp",
        &["-vnc", "127.0.0.1:0,to=99"],
        |machine| {
            let port = console_port(machine, false)?;
            let mut viewer = vnc::connect_tcp(port)?;
            machine.event("VNC_CONNECTED")?;
            expect(vnc::handshake(&mut viewer, Security::Nobody)?, true)?;
            machine.event("VNC_INITIALIZED")?;
            Ok(())
        },
        &[
            "VNC_CONNECTED server.family=ipv4 server.host=127.0.0.1 server.websocket=false \
             client.family=ipv4",
            "VNC_INITIALIZED server.auth=none client.host=127.0.0.1 client.websocket=false",
            "VNC_DISCONNECTED",
        ],
    ),
    // The server's own end is told as if there were no websocket.
    Recipe::new(
        "VNC_INITIALIZED.websocket",
        &["-vnc", "127.0.0.1:0,to=99,websocket=on"],
        |machine| {
            let port = console_port(machine, true)?;
            let stream = vnc::connect_tcp(port)?;
            machine.event("VNC_CONNECTED")?;
            let mut viewer = WebSocket::upgrade(stream)?;
            expect(vnc::handshake(&mut viewer, Security::Nobody)?, true)?;
            machine.event("VNC_INITIALIZED")?;
            Ok(())
        },
        &[
            "VNC_CONNECTED server.websocket=false client.websocket=true",
            "VNC_INITIALIZED client.websocket=true",
            "VNC_DISCONNECTED client.websocket=true",
        ],
    ),
    Recipe::new(
        "VNC_INITIALIZED.password",
        &["-vnc", "unix:vnc.sock,password=on"],
        |machine| {
            let mut viewer = visit_with_password(machine)?;
            expect(
                vnc::handshake(&mut viewer, Security::Password("sesame"))?,
                true,
            )?;
            machine.event("VNC_INITIALIZED")?;
            Ok(())
        },
        &[
            "VNC_CONNECTED server.auth=vnc",
            "VNC_INITIALIZED server.auth=vnc",
            "VNC_DISCONNECTED",
        ],
    ),
    Recipe::new(
        "VNC_DISCONNECTED.password",
        &["-vnc", "unix:vnc.sock,password=on"],
        |machine| {
            let mut viewer = visit_with_password(machine)?;
            expect(
                vnc::handshake(&mut viewer, Security::Password("open"))?,
                false,
            )
        },
        &["VNC_CONNECTED", "VNC_DISCONNECTED server.auth=vnc"],
    ),
    // A viewer that hangs up at once was never initialized.
    Recipe::new(
        "VNC_DISCONNECTED",
        &["-vnc", "unix:vnc.sock"],
        |machine| {
            let viewer = vnc::connect(&machine.folder().join("vnc.sock"))?;
            machine.event("VNC_CONNECTED")?;
            drop(viewer);
            Ok(())
        },
        &["VNC_CONNECTED", "VNC_DISCONNECTED"],
    ),
    Recipe::new(
        "NETDEV_STREAM_CONNECTED",
        &[
            "-netdev",
            "stream,id=netdev0,server=on,addr.type=unix,addr.path=net.sock",
        ],
        |machine| {
            let other_end = UnixStream::connect(machine.folder().join("net.sock"))
                .map_err(LabError::io("connect to the network card"))?;
            machine.event("NETDEV_STREAM_CONNECTED")?;
            drop(other_end);
            Ok(())
        },
        &[
            "NETDEV_STREAM_CONNECTED netdev-id=netdev0 addr.type=unix",
            "NETDEV_STREAM_DISCONNECTED netdev-id=netdev0",
        ],
    ),
];

fn visit_console(machine: &mut Machine) -> Result<(), LabError> {
    let mut viewer = vnc::connect(&machine.folder().join("vnc.sock"))?;
    machine.event("VNC_CONNECTED")?;
    expect(vnc::handshake(&mut viewer, Security::Nobody)?, true)?;
    machine.event("VNC_INITIALIZED")?;
    Ok(())
}

fn visit_with_password(machine: &mut Machine) -> Result<UnixStream, LabError> {
    let arguments = json!({ "protocol": "vnc", "password": "sesame" });
    machine.execute("set_password", arguments)?;
    let viewer = vnc::connect(&machine.folder().join("vnc.sock"))?;
    machine.event("VNC_CONNECTED")?;
    Ok(viewer)
}

/// The port QEMU chose.
fn console_port(machine: &mut Machine, websocket: bool) -> Result<u16, LabError> {
    let consoles = machine.run("query-vnc-servers")?;
    let ends = consoles[0]["server"].as_array().into_iter().flatten();
    let end = ends
        .filter(|end| end["websocket"] == websocket)
        .find_map(|end| end["service"].as_str());
    let port = end.and_then(|port| port.parse().ok());
    port.ok_or_else(|| LabError::Unexpected(format!("query-vnc-servers said {consoles}")))
}

fn expect(let_in: bool, expected: bool) -> Result<(), LabError> {
    match let_in == expected {
        true => Ok(()),
        false => Err(LabError::Unexpected(format!("let in: {let_in}"))),
    }
}
