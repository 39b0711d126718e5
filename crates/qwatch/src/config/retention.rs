//! What the journal keeps, as it is written in the configuration file.

use std::time::Duration;

use serde::Deserialize;

use crate::filter::{Case, Globs};
use crate::journal::{Age, MachineRetention, Retention};
use crate::limits::RETENTION_MIN_BYTES;
use crate::time;

/// The section `[retention]`. Without it everything is kept.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// Records older than this are removed: `90d`, `12h`, or `forever`.
    pub max_age: Option<String>,
    /// When the journal takes more than this its oldest records are removed: `10GB`, `500MiB`.
    pub max_size: Option<String>,
    /// Also what a durable follower has not read yet.
    #[serde(default)]
    pub ignore_cursors: bool,
    /// Machines with rules of their own; the first that matches counts.
    #[serde(default)]
    pub machine: Vec<MachineConfig>,
}

/// A section `[[retention.machine]]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct MachineConfig {
    /// Names or globs, comma-separated; `!GLOB` leaves out.
    #[serde(rename = "match")]
    pub names: String,
    /// As above, for these machines.
    pub max_age: Option<String>,
    /// How much the records of each of these machines may take.
    pub max_size: Option<String>,
}

impl RetentionConfig {
    /// The policy that is written here.
    ///
    /// # Errors
    /// In words, when an age, a size or a glob is none.
    pub fn policy(&self) -> Result<Retention, String> {
        let mut policy = Retention {
            max_age: match age("retention.max_age", self.max_age.as_deref())? {
                Some(Age::Limit(age)) => Some(age),
                Some(Age::Forever) | None => None,
            },
            max_size_bytes: size("retention.max_size", self.max_size.as_deref())?,
            ignore_cursors: self.ignore_cursors,
            machines: Vec::with_capacity(self.machine.len()),
        };
        if let Some(size) = policy.max_size_bytes
            && size < RETENTION_MIN_BYTES
        {
            return Err(format!(
                "retention.max_size: less than {RETENTION_MIN_BYTES} bytes is not worth keeping"
            ));
        }
        for machine in &self.machine {
            let globs = Globs::new(std::slice::from_ref(&machine.names), Case::Matters)
                .map_err(|error| format!("retention.machine.match: {error}"))?;
            policy.machines.push(MachineRetention {
                machines: globs,
                max_age: age("retention.machine.max_age", machine.max_age.as_deref())?,
                max_size_bytes: size("retention.machine.max_size", machine.max_size.as_deref())?,
            });
        }
        Ok(policy)
    }
}

fn age(key: &str, text: Option<&str>) -> Result<Option<Age>, String> {
    let Some(text) = text else {
        return Ok(None);
    };
    if text.trim() == "forever" {
        return Ok(Some(Age::Forever));
    }
    let age = time::parse_duration(text).map_err(|_| {
        format!("{key}: `{text}` is no age: write 90d, 12h, 30m, a number of seconds, or forever")
    })?;
    if age < Duration::from_secs(1) {
        return Err(format!("{key}: `{text}` would keep nothing"));
    }
    Ok(Some(Age::Limit(age)))
}

fn size(key: &str, text: Option<&str>) -> Result<Option<u64>, String> {
    let Some(text) = text else {
        return Ok(None);
    };
    bytes(text).map(Some).ok_or_else(|| {
        format!("{key}: `{text}` is no size: write 10GB, 1.5TB, 500MiB, or a number of bytes")
    })
}

/// Bytes: a number, perhaps with a fraction, and a unit of 1000 (`kB`, `MB`, …) or 1024 (`KiB`, `MiB`, …).
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1_u64,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    if part.is_empty() {
        return Some(whole);
    }
    let digits = &part[..part.len().min(6)];
    let scale = 10_u64.pow(u32::try_from(digits.len()).ok()?);
    let part = u128::from(digits.parse::<u64>().ok()?) * u128::from(unit) / u128::from(scale);
    whole.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Result<Retention, String> {
        let config: RetentionConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.policy()
    }

    #[test]
    fn ages_and_sizes_are_read() {
        let policy = policy(
            "max_age = \"90d\"\nmax_size = \"10GB\"\n\
             [[machine]]\nmatch = \"web*,!web-audit\"\nmax_age = \"12h\"\nmax_size = \"1.5MiB\"\n\
             [[machine]]\nmatch = \"*audit\"\nmax_age = \"forever\"\n",
        )
        .expect("a policy");
        let hours = |hours: u64| Duration::from_secs(3600 * hours);
        assert_eq!(policy.max_age, Some(hours(24 * 90)));
        assert_eq!(policy.max_size_bytes, Some(10_000_000_000));
        assert!(!policy.ignore_cursors && !policy.keeps_everything());
        let [web, audit] = &policy.machines[..] else {
            panic!("two rules: {:?}", policy.machines);
        };
        assert_eq!(web.max_age, Some(Age::Limit(hours(12))));
        assert_eq!(web.max_size_bytes, Some(3 << 19));
        assert!(web.machines.matches("web1") && !web.machines.matches("web-audit"));
        assert_eq!(
            (audit.max_age, audit.max_size_bytes),
            (Some(Age::Forever), None)
        );
    }

    #[test]
    fn without_a_word_everything_is_kept() {
        assert!(policy("").expect("a policy").keeps_everything());
        assert!(
            policy("max_age = \"forever\"")
                .expect("a policy")
                .keeps_everything()
        );
    }

    #[test]
    fn what_is_no_age_or_size_is_said_with_its_key() {
        for (text, words) in [
            ("max_age = \"soon\"", "retention.max_age: `soon` is no age"),
            ("max_age = \"0s\"", "would keep nothing"),
            (
                "max_size = \"much\"",
                "retention.max_size: `much` is no size",
            ),
            ("max_size = \"1kB\"", "not worth keeping"),
            ("[[machine]]\nmatch = \"[\"", "retention.machine.match"),
            (
                "[[machine]]\nmatch = \"a\"\nmax_size = \"1 parsec\"",
                "retention.machine.max_size",
            ),
            ("[[machine]]\nmax_age = \"1d\"", "missing field `match`"),
            ("max_aeg = \"1d\"", "unknown field `max_aeg`"),
        ] {
            let error = policy(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_that_are_too_large_are_no_sizes() {
        assert_eq!(bytes("18446744073709551615"), Some(u64::MAX));
        for text in [
            "18446744073709551616",
            "99999999TB",
            "1.2.3",
            "",
            ".",
            "-1",
            "1.xGB",
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
