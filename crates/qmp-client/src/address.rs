//! Where a monitor is, spelled as QEMU spells it.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Address of a QMP monitor, as on QEMU's own command line.
///
/// What one gave to QEMU's `-qmp` can be given here, and means the same connection seen from the
/// other end:
///
/// | written | meaning |
/// |---|---|
/// | `unix:/run/vm.qmp` | a UNIX socket that QEMU listens on |
/// | `/run/vm.qmp`, `./vm.qmp` | the same; nothing in it has a special meaning |
/// | `unix:/run/vm.qmp,server=on,wait=off` | the same, as QEMU wants it |
/// | `unix:/run/vm.qmp,server,nowait` | the same, as QEMU before 6.0 wanted it |
/// | `unix:/run/vm.qmp,server=off` | QEMU is the client and dials *us*, see [`Address::is_listen`] |
/// | `unix:/run/vm.qmp,reconnect-ms=1000` | the same: only a client reconnects |
/// | `@vm`, `unix:@vm`, `unix:vm,abstract=on` | a UNIX socket in the abstract namespace (Linux) |
/// | `tcp:localhost:4444,server=on` | a TCP port; `tcp::4444` is this host, `tcp:[::1]:4444` is IPv6 |
///
/// In `unix:` a comma in the path is doubled, as for QEMU. A file whose name begins with `@` is
/// `./@name`.
///
/// ```
/// use qmp_client::Address;
///
/// let address: Address = "unix:/run/vm.qmp,server=on,wait=off".parse()?;
/// assert_eq!(address, Address::unix("/run/vm.qmp"));
/// assert_eq!(address.to_string(), "unix:/run/vm.qmp");
///
/// let error = "unix:/run/vm.qmp,sever=on".parse::<Address>().unwrap_err();
/// assert!(error.to_string().contains("unknown option `sever`"));
/// # Ok::<(), qmp_client::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A UNIX stream socket with a file name, of any length.
    Unix {
        /// The socket file.
        path: PathBuf,
        /// QEMU dials us.
        listen: bool,
    },
    /// A UNIX stream socket with a name that is no file (Linux).
    Abstract {
        /// The name, without the NUL byte or `@` before it.
        name: String,
        /// QEMU dials us.
        listen: bool,
    },
    /// A TCP port.
    Tcp {
        /// Name or IP address; `localhost` if none was given.
        host: String,
        /// Number of the port.
        port: u16,
        /// QEMU dials us.
        listen: bool,
    },
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing, or nothing after `unix:`.
    #[error("the address is empty: write unix:PATH, tcp:HOST:PORT or a path")]
    Empty,
    /// An option that means nothing here.
    #[error("unknown option `{name}`: after {kind} only {known} have a meaning")]
    UnknownOption {
        /// As written.
        name: String,
        /// `unix:PATH` or `tcp:HOST:PORT`.
        kind: &'static str,
        /// The options that are known.
        known: &'static str,
    },
    /// An option with a value it cannot have.
    #[error("option `{name}` cannot be `{value}`: write {expected}")]
    OptionValue {
        /// The option.
        name: String,
        /// As written.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// No port, or none between 1 and 65535.
    #[error("`{0}` has no port number: write tcp:HOST:PORT, with PORT from 1 to 65535")]
    Port(String),
    /// A character device of QEMU's that cannot be reached from outside, or a forgotten `tcp:`.
    #[error("`{0}` is neither unix:PATH, tcp:HOST:PORT nor a path (a path with a colon is ./PATH)")]
    Kind(String),
}

/// The options that QEMU takes after an address and that are harmless or meaningful here.
const UNIX_OPTIONS: &str =
    "server, wait, nowait, reconnect, reconnect-ms, abstract=on and tight=on";
const TCP_OPTIONS: &str = "server, wait, nowait, reconnect, reconnect-ms and nodelay";

impl Address {
    /// A UNIX socket that QEMU listens on.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix {
            path: path.into(),
            listen: false,
        }
    }

    /// True if QEMU dials us (it was given `server=off` or a `reconnect`): use
    /// [`Listener::bind`](crate::Listener::bind). False if QEMU listens: use
    /// [`connect`](crate::connect). Without any option QEMU is taken to listen.
    pub fn is_listen(&self) -> bool {
        match self {
            Self::Unix { listen, .. }
            | Self::Abstract { listen, .. }
            | Self::Tcp { listen, .. } => *listen,
        }
    }

    /// The socket file; `None` if there is none.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unix { path, .. } => Some(path),
            Self::Abstract { .. } | Self::Tcp { .. } => None,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(rest) = text.strip_prefix("unix:") {
            parse_unix(rest)
        } else if let Some(rest) = text.strip_prefix("tcp:") {
            parse_tcp(rest)
        } else if let Some(name) = text.strip_prefix('@') {
            abstract_name(name, false)
        } else {
            parse_path(text)
        }
    }
}

/// The shortest spelling that QEMU understands too: parsing it gives the same address.
impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { path, .. } => {
                let path = path.display().to_string().replace(',', ",,");
                let here = if path.starts_with('@') { "./" } else { "" };
                write!(out, "unix:{here}{path}")?;
            }
            Self::Abstract { name, .. } => {
                write!(out, "unix:{},abstract=on", name.replace(',', ",,"))?;
            }
            Self::Tcp { host, port, .. } if host.contains(':') => {
                write!(out, "tcp:[{host}]:{port}")?;
            }
            Self::Tcp { host, port, .. } => write!(out, "tcp:{host}:{port}")?,
        }
        let option = if self.is_listen() { ",server=off" } else { "" };
        out.write_str(option)
    }
}

/// Options after an address.
#[derive(Default)]
struct Settings {
    server: Option<bool>,
    reconnect: bool,
    abstract_name: bool,
}

impl Settings {
    fn parse(
        options: &[String],
        kind: &'static str,
        known: &'static str,
    ) -> Result<Self, AddressError> {
        let mut settings = Self::default();
        for option in options {
            let (name, value) = option.split_once('=').unwrap_or((option, "on"));
            settings.set(name, value, kind, known)?;
        }
        Ok(settings)
    }

    fn set(
        &mut self,
        name: &str,
        value: &str,
        kind: &'static str,
        known: &'static str,
    ) -> Result<(), AddressError> {
        let unix = kind.starts_with("unix");
        match name {
            "server" => self.server = Some(switch(name, value)?),
            "wait" | "nowait" => drop(switch(name, value)?),
            "nodelay" if !unix => drop(switch(name, value)?),
            "reconnect" | "reconnect-ms" => self.reconnect = number(name, value)? > 0,
            "abstract" if unix => self.abstract_name = switch(name, value)?,
            "tight" if unix && switch(name, value)? => {}
            "tight" if unix => {
                return Err(AddressError::OptionValue {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    expected: "tight=on, or nothing: it is QEMU's default",
                });
            }
            _ => {
                return Err(AddressError::UnknownOption {
                    name: name.to_owned(),
                    kind,
                    known,
                });
            }
        }
        Ok(())
    }

    /// Who dials, by QEMU's rules.
    fn listen(&self) -> bool {
        match self.server {
            Some(server) => !server,
            None => self.reconnect,
        }
    }
}

fn switch(name: &str, value: &str) -> Result<bool, AddressError> {
    match value {
        "on" | "yes" | "true" | "y" => Ok(true),
        "off" | "no" | "false" | "n" => Ok(false),
        _ => Err(AddressError::OptionValue {
            name: name.to_owned(),
            value: value.to_owned(),
            expected: "on or off",
        }),
    }
}

fn number(name: &str, value: &str) -> Result<u64, AddressError> {
    value.parse().map_err(|_| AddressError::OptionValue {
        name: name.to_owned(),
        value: value.to_owned(),
        expected: "a number",
    })
}

fn parse_unix(text: &str) -> Result<Address, AddressError> {
    let mut parts = split_at_commas(text);
    let first = parts.remove(0);
    let settings = Settings::parse(&parts, "unix:PATH", UNIX_OPTIONS)?;
    let listen = settings.listen();
    if settings.abstract_name {
        return abstract_name(&first, listen);
    }
    match first.strip_prefix('@') {
        Some(name) => abstract_name(name, listen),
        None if first.is_empty() => Err(AddressError::Empty),
        None => Ok(Address::Unix {
            path: first.into(),
            listen,
        }),
    }
}

fn abstract_name(name: &str, listen: bool) -> Result<Address, AddressError> {
    if name.is_empty() {
        return Err(AddressError::Empty);
    }
    Ok(Address::Abstract {
        name: name.to_owned(),
        listen,
    })
}

fn parse_tcp(text: &str) -> Result<Address, AddressError> {
    let mut parts = split_at_commas(text);
    let first = parts.remove(0);
    let settings = Settings::parse(&parts, "tcp:HOST:PORT", TCP_OPTIONS)?;
    let no_port = || AddressError::Port(format!("tcp:{first}"));
    let (host, port) = first.rsplit_once(':').ok_or_else(no_port)?;
    let port = port
        .parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(no_port)?;
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = match inner {
        Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => inner,
        None if host.is_empty() => "localhost",
        None if !host.contains([':', '[', ']']) => host,
        _ => return Err(no_port()),
    };
    Ok(Address::Tcp {
        host: host.to_owned(),
        port,
        listen: settings.listen(),
    })
}

fn parse_path(text: &str) -> Result<Address, AddressError> {
    let first = text.split('/').next().unwrap_or_default();
    match text {
        "" => Err(AddressError::Empty),
        _ if first.contains(':') => Err(AddressError::Kind(text.to_owned())),
        path => Ok(Address::unix(path)),
    }
}

/// Splits at single commas; two in a row stand for one. At least one part.
fn split_at_commas(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == ',' && letters.next_if_eq(&',').is_none() {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, printed: &str) {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.to_string(), printed);
        assert_eq!(printed.parse::<Address>().as_ref(), Ok(&address));
    }

    #[test]
    fn as_on_qemus_command_line() {
        check("unix:/p", "unix:/p");
        check("unix:/p,server=on,wait=off", "unix:/p");
        check("unix:/p,server,nowait", "unix:/p");
        check("unix:/p,server=off", "unix:/p,server=off");
        check("unix:/p,reconnect=1", "unix:/p,server=off");
        check("unix:/p,server=on,reconnect=0", "unix:/p");
        check("unix:a,,b,server=on", "unix:a,,b");
        check("/a,b", "unix:/a,,b");
        check("vm.qmp", "unix:vm.qmp");
        check("./with:colon", "unix:./with:colon");
        check("tcp:host:4444,server=on,nodelay=on", "tcp:host:4444");
        check("tcp::4444", "tcp:localhost:4444");
        check("tcp:[::1]:4444,server=off", "tcp:[::1]:4444,server=off");
    }

    #[test]
    fn abstract_names_in_three_spellings() {
        for text in [
            "@vm",
            "unix:@vm",
            "unix:vm,abstract=on",
            "unix:vm,abstract=on,tight=on",
        ] {
            check(text, "unix:vm,abstract=on");
        }
        assert_eq!("unix:./@vm".parse(), Ok(Address::unix("./@vm")));
        assert_eq!(Address::unix("@vm").to_string(), "unix:./@vm");
    }

    #[test]
    fn a_wrong_address_says_what_would_be_right() {
        let cases = [
            ("", "empty"),
            ("unix:", "empty"),
            ("@", "empty"),
            (
                "unix:/p,telnet=on",
                "`telnet`: after unix:PATH only server, wait",
            ),
            ("unix:/p,nodelay=on", "unknown option `nodelay`"),
            ("unix:/p,", "unknown option ``"),
            ("unix:/p,server=maybe", "write on or off"),
            ("unix:/p,reconnect=soon", "write a number"),
            ("unix:p,abstract=on,tight=off", "write tight=on"),
            ("tcp:host", "port number"),
            ("tcp:host:0", "port number"),
            ("tcp:host:65536", "port number"),
            ("tcp:::1:4444", "port number"),
            (
                "localhost:4444",
                "neither unix:PATH, tcp:HOST:PORT nor a path",
            ),
            ("telnet:localhost:4444", "neither"),
        ];
        for (text, part) in cases {
            let message = text.parse::<Address>().unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
