//! A state as text, so that a long journal need not be folded from its beginning.
//!
//! It is a cache: what another version of the fold wrote is not read, and the records are folded anew.

use serde::{Deserialize, Serialize};

use super::State;

/// Of the fold and of the form; any change of what a record does to a state is a new number.
pub(super) const SNAPSHOT_VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'s> {
    version: u32,
    state: &'s State,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
struct Read {
    state: State,
}

impl State {
    /// The state as text.
    pub fn to_snapshot(&self) -> String {
        let written = Written {
            version: SNAPSHOT_VERSION,
            state: self,
        };
        serde_json::to_string(&written).expect("strings, numbers and lists always serialize")
    }

    /// The state back; `None` for text of another version.
    pub fn from_snapshot(text: &str) -> Option<Self> {
        let Version { version } = serde_json::from_str(text).ok()?;
        if version != SNAPSHOT_VERSION {
            return None;
        }
        let Read { state } = serde_json::from_str(text).ok()?;
        Some(state)
    }
}
