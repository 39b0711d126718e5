//! Somebody connects to QEMU: to its console, to a network card's other end.

use std::os::unix::net::UnixStream;

use super::Recipe;
use crate::{LabError, Machine, guest::vnc};

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
    vnc::handshake(&mut viewer)?;
    machine.event("VNC_INITIALIZED")?;
    Ok(())
}
