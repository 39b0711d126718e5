//! Which QEMU a monitor is, as far as a client can tell.

use qmp_events::Version;

use super::value::{Object, Value};

/// What a monitor says about itself in its greeting, and how it prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Personality {
    /// The release: decides about rate limits, built-in commands, defaults, and how wrong input is
    /// complained about.
    pub version: Version,
    /// The third number of the version, the 22 of 7.2.22.
    pub micro: u16,
    /// The packager's version, "" for QEMU's own releases.
    pub package: String,
    /// Offer out-of-band execution. QEMU does since 4.0 where its monitor has a thread of its own, which
    /// is to say on sockets.
    pub oob: bool,
    /// Print each message over several lines, as `pretty=on`.
    pub pretty: bool,
}

/// First release that offers `oob` without being asked to.
const OOB_SINCE: Version = Version::new(4, 0);

impl Personality {
    /// The first release `major.minor.0` as QEMU's own source builds it, on a socket.
    pub fn of(version: Version) -> Self {
        Self {
            version,
            micro: 0,
            package: String::new(),
            oob: version >= OOB_SINCE,
            pretty: false,
        }
    }

    /// The answer to `query-version`, which is also part of the greeting.
    pub fn version_info(&self) -> Value {
        let numbers = Object::new()
            .with("major", i64::from(self.version.major))
            .with("minor", i64::from(self.version.minor))
            .with("micro", i64::from(self.micro));
        let info = Object::new()
            .with("qemu", numbers)
            .with("package", self.package.as_str());
        info.into()
    }

    /// The first message of a session.
    pub fn greeting(&self) -> Value {
        let capabilities: Vec<&str> = if self.oob { vec!["oob"] } else { Vec::new() };
        let greeting = Object::new()
            .with("version", self.version_info())
            .with("capabilities", capabilities);
        Object::new().with("QMP", greeting).into()
    }
}
