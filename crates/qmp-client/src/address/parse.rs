//! Reading an address, with the options that QEMU takes after it.

use std::net::Ipv6Addr;
use std::str::FromStr;

use super::{Address, AddressError};

/// The options that QEMU takes after an address and that are harmless or meaningful here.
const UNIX_OPTIONS: &str =
    "server, wait, nowait, reconnect, reconnect-ms, abstract=on and tight=on";
const TCP_OPTIONS: &str = "server, wait, nowait, reconnect, reconnect-ms and nodelay";

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
