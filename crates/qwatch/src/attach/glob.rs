//! Globs over socket files.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use thiserror::Error;

use crate::limits::GLOB_MAX_FILES;

/// A pattern of paths, `/run/vm/*/qmp.sock`: `*`, `?`, `[…]` and `{…,…}` within a name.
#[derive(Clone, Debug)]
pub struct SocketGlob {
    text: String,
    /// Where the search begins: everything before the first pattern.
    root: PathBuf,
    names: Vec<GlobMatcher>,
}

/// A pattern that does not parse.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{text}` is no glob of socket files: {reason}")]
pub struct GlobError {
    /// As written.
    text: String,
    /// What is wrong with it.
    reason: String,
}

impl SocketGlob {
    /// Whether an address is meant as a glob.
    pub fn is_glob(address: &str) -> bool {
        address.contains(['*', '?', '[', '{']) && !address.starts_with("tcp:")
    }

    /// Reads a glob; `unix:` before it is allowed.
    ///
    /// # Errors
    /// When a part of it is malformed.
    pub fn new(text: &str) -> Result<Self, GlobError> {
        let error = |reason: String| GlobError {
            text: text.to_owned(),
            reason,
        };
        let path = Path::new(text.strip_prefix("unix:").unwrap_or(text));
        let mut root = PathBuf::new();
        let mut names = Vec::new();
        for component in path.components() {
            let Some(name) = component.as_os_str().to_str() else {
                return Err(error("it is not UTF-8".to_owned()));
            };
            if names.is_empty() && !Self::is_glob(name) {
                root.push(component);
                continue;
            }
            if !matches!(component, Component::Normal(_)) {
                return Err(error(format!("`{name}` cannot stand behind a pattern")));
            }
            let glob = GlobBuilder::new(name).literal_separator(true).build();
            names.push(
                glob.map_err(|e| error(e.kind().to_string()))?
                    .compile_matcher(),
            );
        }
        Ok(Self {
            text: text.to_owned(),
            root,
            names,
        })
    }

    /// Whether a path fits, be there a socket or not.
    pub fn matches(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.root) else {
            return false;
        };
        let mut names = self.names.iter();
        let fits = below.components().all(|component| {
            let name = component.as_os_str().to_str();
            names
                .next()
                .zip(name)
                .is_some_and(|(glob, name)| is_match(glob, name))
        });
        fits && names.next().is_none()
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The socket files there are now, at most [`GLOB_MAX_FILES`]. A folder that cannot be read has none.
    /// A leading dot must be written out, as in a shell.
    pub fn expand(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.root, &self.names, &mut found);
        found.sort_unstable();
        found
    }
}

/// Goes down one folder a name.
fn walk(folder: &Path, names: &[GlobMatcher], found: &mut Vec<PathBuf>) {
    let Some((name, below)) = names.split_first() else {
        return;
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        if found.len() >= GLOB_MAX_FILES {
            return;
        }
        let file = entry.file_name();
        let Some(file) = file.to_str() else {
            continue;
        };
        if !is_match(name, file) {
            continue;
        }
        if !below.is_empty() {
            walk(&entry.path(), below, found);
        } else if fs::metadata(entry.path()).is_ok_and(|meta| meta.file_type().is_socket()) {
            found.push(entry.path());
        }
    }
}

/// A leading dot must be written out.
fn is_match(glob: &GlobMatcher, name: &str) -> bool {
    (!name.starts_with('.') || glob.glob().glob().starts_with('.')) && glob.is_match(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn only_sockets_that_match_are_found() {
        let dir = TempDir::new().expect("a folder");
        let at = |path: &str| dir.path().join(path);
        for folder in ["a", "b", "c"] {
            fs::create_dir(at(folder)).expect("made");
        }
        let paths = [
            "a/qmp.sock",
            "b/qmp.sock",
            "b/.hidden.sock",
            "b/other",
            "top.sock",
        ];
        let _sockets: Vec<_> = paths
            .map(|path| UnixListener::bind(at(path)).expect("bound"))
            .into();
        fs::write(at("c/qmp.sock"), "no socket").expect("written");
        let expand = |glob: &str| -> Vec<String> {
            let glob =
                SocketGlob::new(&format!("{}/{glob}", dir.path().display())).expect("a glob");
            let found = glob.expand();
            let relative = found
                .iter()
                .map(|path| path.strip_prefix(dir.path()).expect("below"));
            relative.map(|path| path.display().to_string()).collect()
        };
        assert_eq!(expand("*/qmp.sock"), ["a/qmp.sock", "b/qmp.sock"]);
        assert_eq!(expand("*.sock"), ["top.sock"]);
        assert_eq!(expand("b/*"), ["b/other", "b/qmp.sock"]);
        assert_eq!(expand("{a,c}/*.sock"), ["a/qmp.sock"]);
        assert_eq!(expand("none/*"), Vec::<String>::new());
        assert_eq!(expand("b/.h*"), ["b/.hidden.sock"]);
        let glob = SocketGlob::new("/run/*/qmp.sock").expect("a glob");
        for (path, fits) in [
            ("/run/a/qmp.sock", true),
            ("/run/qmp.sock", false),
            ("/run/a/b/qmp.sock", false),
            ("/run/.a/qmp.sock", false),
            ("/run/a", false),
        ] {
            assert_eq!(glob.matches(Path::new(path)), fits, "{path}");
        }
    }

    #[test]
    fn what_is_no_glob_is_said() {
        assert!(
            SocketGlob::is_glob("unix:/run/*.sock") && !SocketGlob::is_glob("unix:/run/a.sock")
        );
        assert!(!SocketGlob::is_glob("tcp:[::1]:4444"));
        let error = SocketGlob::new("/run/[a.sock")
            .expect_err("malformed")
            .to_string();
        assert!(
            error.starts_with("`/run/[a.sock` is no glob of socket files: "),
            "{error}"
        );
        SocketGlob::new("/run/*/../x").expect_err("cannot go up behind a pattern");
    }
}
