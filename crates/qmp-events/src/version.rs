//! Releases of QEMU.

use std::{fmt, str::FromStr};

/// A feature release of QEMU, such as 7.2; ordered as released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// The 7 of 7.2.
    pub major: u16,
    /// The 2 of 7.2.
    pub minor: u16,
}

impl Version {
    /// QEMU `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Reads `7.2` at compile time, for the vocabulary's own text.
    pub(crate) const fn literal(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut parts = [0_u16; 2];
        let mut part = 0;
        let mut i = 0;
        while i < bytes.len() {
            if bytes[i] == b'.' {
                part += 1;
            } else {
                assert!(bytes[i].is_ascii_digit(), "a version is MAJOR.MINOR");
                parts[part] = parts[part] * 10 + (bytes[i] - b'0') as u16;
            }
            i += 1;
        }
        assert!(part == 1, "a version is MAJOR.MINOR");
        Self::new(parts[0], parts[1])
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The text was no `MAJOR.MINOR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionError;

impl std::error::Error for VersionError {}

impl fmt::Display for VersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a QEMU version such as 7.2")
    }
}

impl FromStr for Version {
    type Err = VersionError;

    /// Takes `7.2`, and `7.2.22` with the last number left out of account.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let mut parts = text.split('.').map(|part| part.parse::<u16>().ok());
        let (major, minor, micro, end) = (parts.next(), parts.next(), parts.next(), parts.next());
        match (major, minor, micro, end) {
            (Some(Some(major)), Some(Some(minor)), None | Some(Some(_)), None) => {
                Ok(Self::new(major, minor))
            }
            _ => Err(VersionError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        let v = |text: &str| text.parse::<Version>().unwrap();
        assert!(v("10.0") > v("9.2") && v("2.10") > v("2.9"));
        assert_eq!(v("7.2.22"), Version::literal("7.2"));
        for bad in ["", "7", "7.x", "7.2.a", "7.2.1.0", "-1.2"] {
            assert_eq!(bad.parse::<Version>(), Err(VersionError), "{bad}");
        }
    }
}
