//! Settings of the recorder: its configuration file, and where things are by default.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

mod retention;

pub use retention::RetentionConfig;

/// The configuration file, TOML. Its keys are the long options of `qwatch record`, and what is kept.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The journal file.
    pub journal: Option<PathBuf>,
    /// Addresses at which QEMUs dial in.
    #[serde(default)]
    pub listen: Vec<String>,
    /// Monitors that are dialled: addresses, or globs over socket files.
    #[serde(default)]
    pub monitor: Vec<String>,
    /// How long a machine whose events the journal does not take is waited for: `30s`, `5m`.
    pub patience: Option<String>,
    /// What the journal keeps.
    #[serde(default)]
    pub retention: RetentionConfig,
}

/// A configuration file that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no TOML, or has other keys or values than it may have.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, column, and what would be right; several lines.
        message: String,
    },
}

impl Config {
    /// Reads a configuration file. Relative paths in it are relative to its own folder.
    ///
    /// # Errors
    /// When the file cannot be read, or has anything in it that is not known.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Io {
            path: path.to_path_buf(),
            source,
        })?;
        let mut config: Self = toml::from_str(&text).map_err(|error| ConfigError::Malformed {
            path: path.to_path_buf(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        if let (Some(journal), Some(folder)) = (&mut config.journal, path.parent()) {
            *journal = folder.join(&journal);
        }
        Ok(config)
    }
}

/// The journal of this user when none is named: `/var/lib/qwatch/journal.db` for root, else
/// `$XDG_STATE_HOME/qwatch/journal.db` (`~/.local/state` if that is not set).
pub fn default_journal() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from(SYSTEM_JOURNAL);
    }
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local/state")))
        .map_or_else(
            || PathBuf::from(SYSTEM_JOURNAL),
            |state| state.join("qwatch/journal.db"),
        )
}

/// The journal to read when none is named: the user's own, or the system's if the user has none.
pub fn journal_to_read() -> PathBuf {
    let own = default_journal();
    if !own.exists() && Path::new(SYSTEM_JOURNAL).exists() {
        return PathBuf::from(SYSTEM_JOURNAL);
    }
    own
}

const SYSTEM_JOURNAL: &str = "/var/lib/qwatch/journal.db";

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("qwatch.toml");
        fs::write(&path, text).expect("written");
        Config::read(&path)
            .map(|mut config| {
                config.journal = config.journal.map(|journal| {
                    journal
                        .strip_prefix(dir.path())
                        .map_or(journal.clone(), Path::to_path_buf)
                });
                config
            })
            .map_err(|error| {
                error
                    .to_string()
                    .replace(&dir.path().display().to_string(), "DIR")
            })
    }

    #[test]
    fn the_keys_are_the_options() {
        let config = read(
            "journal = \"j.db\"\nlisten = [\"unix:/run/qmp.sock\"]\nmonitor = [\"/run/vm/*.sock\"]\n",
        );
        assert_eq!(
            config,
            Ok(Config {
                journal: Some("j.db".into()),
                listen: vec!["unix:/run/qmp.sock".to_owned()],
                monitor: vec!["/run/vm/*.sock".to_owned()],
                patience: None,
                retention: RetentionConfig::default(),
            })
        );
        assert_eq!(read(""), Ok(Config::default()));
    }

    #[test]
    fn a_slip_is_shown_with_its_place_and_what_would_be_right() {
        insta::assert_snapshot!(read("\nlissen = []\n").expect_err("no such key"), @r"
        DIR/qwatch.toml: TOML parse error at line 2, column 1
          |
        2 | lissen = []
          | ^^^^^^
        unknown field `lissen`, expected one of `journal`, `listen`, `monitor`, `patience`, `retention`
        ");
        let error = read("listen = \"unix:/a\"\n").expect_err("no list");
        assert!(
            error.contains("line 1, column 10") && error.contains("expected a sequence"),
            "{error}"
        );
    }
}
