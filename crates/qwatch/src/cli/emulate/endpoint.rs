//! Where an emulated machine is reached.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use qmp_client::Address;
use qmp_monitor::Builder;

/// One monitor of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// It listens on this socket.
    Unix(PathBuf),
    /// It listens on this port; 0 is one the system chooses.
    Tcp(SocketAddr),
    /// It dials this socket, again and again.
    Dial(PathBuf),
}

/// Pause between two tries to dial.
pub(super) const REDIAL: Duration = Duration::from_millis(100);

impl Endpoint {
    /// Reads an address as it is written for QEMU's `-qmp`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(host) = free_port(text) {
            return Ok(Self::Tcp(resolve(host, 0)?));
        }
        let address: Address = text
            .parse()
            .map_err(|error: qmp_client::AddressError| error.to_string())?;
        match address {
            Address::Unix { path, listen } => Ok(match listen {
                true => Self::Dial(path),
                false => Self::Unix(path),
            }),
            Address::Tcp {
                host,
                port,
                listen: false,
            } => Ok(Self::Tcp(resolve(&host, port)?)),
            Address::Tcp { .. } => Err("a machine can dial UNIX sockets only".to_owned()),
            Address::Abstract { .. } => {
                Err("an emulated machine cannot listen there: write unix:PATH".to_owned())
            }
        }
    }

    /// Adds it to a monitor.
    pub(super) fn add_to(&self, builder: Builder) -> Builder {
        match self {
            Self::Unix(path) => builder.listen_unix(path),
            Self::Tcp(address) => builder.listen_tcp(*address),
            Self::Dial(path) => builder.dial_unix(path, REDIAL),
        }
    }

    /// As a client spells it; `port` is the one the system chose.
    pub(super) fn shown(&self, port: Option<u16>) -> String {
        match self {
            Self::Unix(path) => Address::unix(path).to_string(),
            Self::Tcp(address) => {
                let mut address = *address;
                address.set_port(port.unwrap_or(address.port()));
                format!("tcp:{address}")
            }
            Self::Dial(path) => format!("{},server=off", Address::unix(path)),
        }
    }
}

/// The host of `tcp:HOST:0`, which is an address to listen on but none to dial.
fn free_port(text: &str) -> Option<&str> {
    let address = text.strip_prefix("tcp:")?.split(',').next()?;
    let (host, port) = address.rsplit_once(':')?;
    (port == "0").then_some(host)
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, String> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "localhost" } else { host };
    let found = (host, port).to_socket_addrs();
    let found = found.map_err(|error| format!("cannot find the host `{host}`: {error}"))?;
    // QEMU prefers IPv4 as well unless told otherwise.
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    let first = found.first().copied();
    first.ok_or_else(|| format!("the host `{host}` has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_qemu() {
        let unix = |path: &str| Ok(Endpoint::Unix(path.into()));
        assert_eq!(Endpoint::parse("unix:/a,server=on,wait=off"), unix("/a"));
        assert_eq!(Endpoint::parse("/a"), unix("/a"));
        let dial = Endpoint::parse("unix:/a,server=off").expect("an address");
        assert_eq!(dial, Endpoint::Dial("/a".into()));
        assert_eq!(dial.shown(None), "unix:/a,server=off");
        let free = Endpoint::parse("tcp:127.0.0.1:0,server=on").expect("an address");
        assert_eq!(free.shown(Some(4444)), "tcp:127.0.0.1:4444");
        let six = Endpoint::parse("tcp:[::1]:4444").expect("an address");
        assert_eq!(six.shown(None), "tcp:[::1]:4444");
        assert!(Endpoint::parse("@vm").is_err() && Endpoint::parse("tcp:x").is_err());
    }
}
