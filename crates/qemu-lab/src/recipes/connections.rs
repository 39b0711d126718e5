//! Somebody is at the other end of a network card, or no longer.

use std::os::unix::net::UnixStream;

use super::Recipe;
use crate::LabError;

pub(super) const RECIPES: &[Recipe] = &[Recipe::new(
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
)];
