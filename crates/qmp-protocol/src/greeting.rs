//! The first message of a connection.

use std::fmt;

use serde::Deserialize;

use crate::limits::CAPABILITIES_MAX_COUNT;

/// What QEMU says first to whoever connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    /// The QEMU at the other end.
    pub version: QemuVersion,
    /// What it can do beyond the plain protocol; `oob`, or nothing.
    pub capabilities: Vec<String>,
}

/// Version of a QEMU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QemuVersion {
    /// The 7 of 7.2.22.
    pub major: u32,
    /// The 2 of 7.2.22. In a development version the last release's, see `micro`.
    pub minor: u32,
    /// The 22 of 7.2.22; 50 and above on the way to the next release.
    pub micro: u32,
    /// What the distribution added, such as `Debian 1:7.2+dfsg-7`; mostly empty.
    pub package: String,
}

impl Greeting {
    /// True if out-of-band commands can be enabled (since 4.0, on sockets).
    pub fn offers_oob(&self) -> bool {
        self.capabilities.iter().any(|name| name == "oob")
    }

    /// Reads the `QMP` member; `None` if it is no JSON object. Any missing part is taken as empty: later
    /// versions of the protocol may say it differently, and nothing here depends on it.
    pub fn read(raw: &str) -> Option<Self> {
        let wire: Wire = serde_json::from_str(raw).ok()?;
        let qemu = wire.version.qemu;
        let capabilities = wire.capabilities.into_iter().take(CAPABILITIES_MAX_COUNT);
        Some(Self {
            version: QemuVersion {
                major: qemu.major,
                minor: qemu.minor,
                micro: qemu.micro,
                package: wire.version.package,
            },
            capabilities: capabilities
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect(),
        })
    }
}

impl Greeting {
    /// The `QMP` member, as [`Greeting::read`] reads it.
    pub fn to_json(&self) -> String {
        let QemuVersion {
            major,
            minor,
            micro,
            package,
        } = &self.version;
        serde_json::json!({
            "version": {
                "qemu": { "micro": micro, "minor": minor, "major": major },
                "package": package,
            },
            "capabilities": self.capabilities,
        })
        .to_string()
    }
}

/// Prints like `7.2.22` or `10.0.2 (Debian 1:10.0.2+ds-2)`.
impl fmt::Display for QemuVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.major, self.minor, self.micro)?;
        // Some distributions put the parentheses (and a space) into it, others do not.
        let package = self.package.trim();
        match package.trim_start_matches('(').trim_end_matches(')') {
            "" => Ok(()),
            package => write!(out, " ({package})"),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wire {
    version: WireVersion,
    capabilities: Vec<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireVersion {
    qemu: WireNumbers,
    package: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireNumbers {
    major: u32,
    minor: u32,
    micro: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_print_as_people_say_them() {
        let raw = r#"{"version": {"qemu": {"micro": 2, "minor": 0, "major": 10},
            "package": " (Debian 1:10.0.2+ds-2)"}, "capabilities": ["oob", 7]}"#;
        let greeting = Greeting::read(raw).unwrap();
        assert_eq!(
            greeting.version.to_string(),
            "10.0.2 (Debian 1:10.0.2+ds-2)"
        );
        assert!(greeting.offers_oob());
        assert_eq!(greeting.capabilities, ["oob"]);
        assert_eq!(Greeting::read(&greeting.to_json()), Some(greeting));
    }
}
