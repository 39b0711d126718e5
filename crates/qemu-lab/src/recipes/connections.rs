//! Somebody is at the other end of a network card, or no longer.

use std::os::unix::net::{UnixListener, UnixStream};

use serde_json::json;

use super::Recipe;
use crate::{LabError, Machine, guest::vhost_user::Backend};

pub(super) const RECIPES: &[Recipe] = &[
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
    Recipe::new(
        "NETDEV_VHOST_USER_CONNECTED",
        &[],
        |machine| {
            let backend = serve_card(machine)?;
            machine.event("NETDEV_VHOST_USER_CONNECTED")?;
            drop(backend);
            Ok(())
        },
        &[
            "NETDEV_VHOST_USER_CONNECTED netdev-id=netdev0 chardev-id=chardev0",
            "NETDEV_VHOST_USER_DISCONNECTED netdev-id=netdev0",
        ],
    )
    .since(10, 0),
];

/// Adds a card whose other side is a process: here the lab. QEMU answers the second command only
/// when it has talked to that process.
fn serve_card(machine: &mut Machine) -> Result<Backend, LabError> {
    let path = machine.folder().join("card.sock");
    let socket =
        UnixListener::bind(&path).map_err(LabError::io(format!("listen at {}", path.display())))?;
    let address = json!({ "type": "unix", "data": { "path": "card.sock" } });
    let connection = json!({ "type": "socket", "data": { "addr": address, "server": false } });
    machine.execute(
        "chardev-add",
        json!({ "id": "chardev0", "backend": connection }),
    )?;
    let backend = Backend::serve(&socket)?;
    let card = json!({ "type": "vhost-user", "id": "netdev0", "chardev": "chardev0" });
    machine.execute("netdev_add", card)?;
    Ok(backend)
}
