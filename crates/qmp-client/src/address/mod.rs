//! Where a monitor is, spelled as QEMU spells it.

mod parse;

use std::fmt;
use std::path::{Path, PathBuf};

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
