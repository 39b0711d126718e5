//! Which QEMUs this machine has, and where.
//!
//! In this order: what `QEMU_LAB_QEMUS` names, the cache folder that `scripts/setup` fills,
//! `qemu-system-x86_64` of the `PATH`.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
};

use crate::LabError;

/// The versions every test has to run on; the list in `scripts/setup` is the same one.
pub const REQUIRED: [Version; 3] = [Version::new(7, 2), Version::new(10, 0), Version::new(11, 1)];

/// Names the QEMUs to use instead of all others: `VERSION=PATH` or `PATH`, colons between them.
pub const QEMUS_VARIABLE: &str = "QEMU_LAB_QEMUS";

/// The program of the target all recipes are written for.
const PROGRAM: &str = "qemu-system-x86_64";

/// A QEMU that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuBinary {
    /// Its version.
    pub version: Version,
    /// Its `qemu-system-x86_64`.
    pub path: PathBuf,
}

/// The QEMUs to test with, oldest first: those of [`QEMUS_VARIABLE`] if it is set, else the
/// [`REQUIRED`] ones and whatever else the cache folder holds.
///
/// # Errors
///
/// [`LabError::Missing`] if a required one is not there. A test must not skip it: it would look
/// as if it had passed.
pub fn installed() -> Result<Vec<QemuBinary>, LabError> {
    find(&REQUIRED)
}

/// As [`installed`], with other versions that have to be there.
pub(crate) fn find(required: &[Version]) -> Result<Vec<QemuBinary>, LabError> {
    if let Some(named) = named_by_variable()? {
        return Ok(named);
    }
    let mut found = in_cache(&cache_folder()?);
    let missing: Vec<Version> = required
        .iter()
        .copied()
        .filter(|version| found.iter().all(|b| b.version != *version))
        .collect();
    if !missing.is_empty() {
        let on_path = probe(Path::new(PROGRAM)).ok();
        for version in missing {
            match &on_path {
                Some(binary) if binary.version == version => found.push(binary.clone()),
                _ => {
                    return Err(LabError::Missing {
                        version,
                        looked: tree(version)?,
                    });
                }
            }
        }
    }
    found.sort_by_key(|binary| binary.version);
    Ok(found)
}

/// The QEMU of one version.
///
/// # Errors
///
/// [`LabError::Missing`] if it is not there.
pub fn qemu(version: Version) -> Result<QemuBinary, LabError> {
    installed()?
        .into_iter()
        .find(|binary| binary.version == version)
        .ok_or(LabError::Missing {
            version,
            looked: tree(version)?,
        })
}

/// What `scripts/setup` put into the cache folder under this name, beside the QEMUs.
///
/// # Errors
///
/// [`LabError::Setting`] if it is not there.
pub fn cached(name: &str) -> Result<PathBuf, LabError> {
    let path = cache_folder()?.join(name);
    match path.exists() {
        true => Ok(path),
        false => Err(LabError::Setting(format!(
            "{} is missing: run scripts/setup",
            path.display()
        ))),
    }
}

/// A QEMU version as far as events depend on it: `7.2` and `7.2.22` are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
}

impl Version {
    /// A version from its two numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Version {
        Version { major, minor }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

impl FromStr for Version {
    type Err = LabError;

    fn from_str(text: &str) -> Result<Version, LabError> {
        let mut numbers = text.split('.').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Version { major, minor }),
            _ => Err(LabError::Setting(format!(
                "{text:?} is no QEMU version such as 7.2"
            ))),
        }
    }
}

fn named_by_variable() -> Result<Option<Vec<QemuBinary>>, LabError> {
    let Ok(setting) = env::var(QEMUS_VARIABLE) else {
        return Ok(None);
    };
    let mut named = Vec::new();
    for item in setting.split(':').filter(|item| !item.is_empty()) {
        named.push(match item.split_once('=') {
            Some((version, path)) => QemuBinary {
                version: version.parse()?,
                path: PathBuf::from(path),
            },
            None => probe(Path::new(item))?,
        });
    }
    if named.is_empty() {
        return Err(LabError::Setting(format!(
            "{QEMUS_VARIABLE} is set but names no QEMU"
        )));
    }
    named.sort_by_key(|binary| binary.version);
    Ok(Some(named))
}

/// All trees that are complete: `scripts/setup` renames a finished one into place.
fn in_cache(folder: &Path) -> Vec<QemuBinary> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix("qemu-")?.parse().ok()?;
            let path = entry.path().join(PROGRAM);
            path.exists().then_some(QemuBinary { version, path })
        })
        .collect()
}

/// Where `scripts/setup` puts a version.
fn tree(version: Version) -> Result<PathBuf, LabError> {
    Ok(cache_folder()?.join(format!("qemu-{version}")))
}

fn cache_folder() -> Result<PathBuf, LabError> {
    let set = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(folder) = set("QWATCH_TEST_CACHE") {
        return Ok(folder);
    }
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|caches| caches.join("qwatch-test"))
        .ok_or_else(|| LabError::Setting("set QWATCH_TEST_CACHE or HOME".to_owned()))
}

/// Asks a program for its version.
pub(crate) fn probe(program: &Path) -> Result<QemuBinary, LabError> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .map_err(LabError::io(format!("run {} --version", program.display())))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .strip_prefix("QEMU emulator version ")
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or_else(|| LabError::Setting(format!("{} is no QEMU", program.display())))?
        .parse()?;
    Ok(QemuBinary {
        version,
        path: program.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_and_forget_the_rest() {
        let parse = |text: &str| text.parse::<Version>().expect("a version");
        assert!(parse("7.2.22") < parse("10.0"));
        assert_eq!(parse("10.0.2"), Version::new(10, 0));
        assert_eq!(parse("10.0").to_string(), "10.0");
        for bad in ["", "7", "seven.two", "7."] {
            assert!(
                bad.parse::<Version>().is_err(),
                "{bad:?} was taken for a version"
            );
        }
    }

    #[test]
    fn a_missing_version_says_what_to_do() {
        let error = LabError::Missing {
            version: Version::new(7, 2),
            looked: "/c/qemu-7.2".into(),
        };
        assert_eq!(
            error.to_string(),
            "QEMU 7.2 is not installed: run scripts/setup (looked for /c/qemu-7.2)"
        );
    }
}
