//! Somebody is at the other end of a device, or no longer.

use std::{
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    thread,
};

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
    // A helper that may reserve disks for QEMU. That it is lost, QEMU notices only when a guest
    // reserves a real SCSI disk.
    Recipe::new(
        "PR_MANAGER_STATUS_CHANGED",
        &[],
        help_with_reservations,
        &["PR_MANAGER_STATUS_CHANGED id=pr0 connected=true"],
    ),
];

/// Adds QEMU's side of a helper and is the helper: both send what they can do, which is nothing,
/// and QEMU answers the command only then.
fn help_with_reservations(machine: &mut Machine) -> Result<(), LabError> {
    const ABILITIES: [u8; 4] = [0; 4];
    let path = machine.folder().join("helper.sock");
    let socket =
        UnixListener::bind(&path).map_err(LabError::io(format!("listen at {}", path.display())))?;
    let helper = thread::spawn(move || -> io::Result<UnixStream> {
        let (mut stream, _) = socket.accept()?;
        stream.write_all(&ABILITIES)?;
        stream.read_exact(&mut [0; ABILITIES.len()])?;
        Ok(stream)
    });
    let manager = json!({ "qom-type": "pr-manager-helper", "id": "pr0", "path": "helper.sock" });
    machine.execute("object-add", manager)?;
    let connection = helper
        .join()
        .map_err(|_| LabError::Unexpected("the helper panicked".to_owned()))?;
    let _open = connection.map_err(LabError::io("help QEMU with reservations"))?;
    machine.event("PR_MANAGER_STATUS_CHANGED").map(drop)
}

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
