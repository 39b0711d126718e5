//! Free TCP ports, for servers that cannot choose one themselves.

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

use crate::LabError;

/// What QEMU says about a port that somebody else has.
pub(crate) const TAKEN: &str = "in use";

/// Below those that the system gives to outgoing connections, so that it does not take one.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port of this host that nobody uses, another one each time.
pub(crate) fn free() -> Result<u16, LabError> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Test programs that run at once begin at different places.
    let process = u16::try_from(process::id() % u32::from(COUNT)).unwrap_or_default();
    let begin = process.wrapping_mul(31);
    for _ in 0..COUNT {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + begin.wrapping_add(given) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(LabError::Unexpected("no TCP port is free".to_owned()))
}
