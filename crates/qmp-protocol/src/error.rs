//! Errors that QEMU answers a command with.

use std::fmt;

use serde::Deserialize;

/// QEMU's answer to a command that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{desc} ({class})")]
pub struct CommandError {
    /// What sort of error; the only part to branch on.
    pub class: ErrorClass,
    /// QEMU's text for people. It differs between versions: show it, do not compare it.
    pub desc: String,
}

impl CommandError {
    /// Reads the `error` member of a reply. What is missing is left empty: a malformed error is
    /// still an error.
    pub(crate) fn read(raw: &str) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Wire {
            class: String,
            desc: String,
        }
        let wire: Wire = serde_json::from_str(raw).unwrap_or_else(|_| Wire {
            class: String::new(),
            desc: raw.to_owned(),
        });
        Self {
            class: ErrorClass::from(wire.class.as_str()),
            desc: wire.desc,
        }
    }
}

/// What sort of error, by the name on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Anything that has no class of its own; by far the most frequent.
    GenericError,
    /// No such command, or not in this state: before negotiation, or negotiation a second time.
    CommandNotFound,
    /// The device has not been made active by the guest (balloon).
    DeviceNotActive,
    /// No such device.
    DeviceNotFound,
    /// The command needs KVM in a newer version or at all.
    KvmMissingCap,
    /// A class that current QEMU does not have; `DeviceEncrypted` existed up to 2.9.
    Other(Box<str>),
}

impl ErrorClass {
    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::GenericError => "GenericError",
            Self::CommandNotFound => "CommandNotFound",
            Self::DeviceNotActive => "DeviceNotActive",
            Self::DeviceNotFound => "DeviceNotFound",
            Self::KvmMissingCap => "KVMMissingCap",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for ErrorClass {
    fn from(name: &str) -> Self {
        match name {
            "GenericError" => Self::GenericError,
            "CommandNotFound" => Self::CommandNotFound,
            "DeviceNotActive" => Self::DeviceNotActive,
            "DeviceNotFound" => Self::DeviceNotFound,
            "KVMMissingCap" => Self::KvmMissingCap,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_survives_its_name() {
        let names = [
            "GenericError",
            "CommandNotFound",
            "DeviceNotActive",
            "DeviceNotFound",
            "KVMMissingCap",
            "DeviceEncrypted",
        ];
        for name in names {
            assert_eq!(ErrorClass::from(name).as_str(), name);
        }
    }

    #[test]
    fn a_malformed_error_is_still_an_error() {
        let error = CommandError::read("17");
        assert_eq!(error.desc, "17");
        let error = CommandError::read(r#"{"class": "GenericError"}"#);
        assert_eq!(
            (error.class, error.desc.as_str()),
            (ErrorClass::GenericError, "")
        );
    }
}
