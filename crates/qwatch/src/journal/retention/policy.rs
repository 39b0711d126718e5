//! What is kept, as the user says it.

use std::time::Duration;

use crate::filter::Globs;

/// How long and how much is kept. The default keeps everything.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Retention {
    /// Records older than this are removed.
    pub max_age: Option<Duration>,
    /// When the journal takes more bytes than this, its oldest records are removed.
    pub max_size_bytes: Option<u64>,
    /// Also what a durable follower has not read yet.
    pub ignore_cursors: bool,
    /// Machines with rules of their own; the first that matches counts.
    pub machines: Vec<MachineRetention>,
}

/// What is kept of some machines, in place of the general age and in addition to the general size.
#[derive(Clone, Debug)]
pub struct MachineRetention {
    /// Which machines.
    pub machines: Globs,
    /// Records older than this are removed; `None` leaves it at the general age.
    pub max_age: Option<Age>,
    /// When the records of one machine take more bytes than this, its oldest are removed.
    pub max_size_bytes: Option<u64>,
}

/// An age that has a word for "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Records older than this are removed.
    Limit(Duration),
    /// Age is no reason to remove a record.
    Forever,
}

impl Retention {
    /// Whether nothing is ever removed.
    pub fn keeps_everything(&self) -> bool {
        let harmless = |rule: &MachineRetention| {
            rule.max_size_bytes.is_none() && !matches!(rule.max_age, Some(Age::Limit(_)))
        };
        self.max_age.is_none()
            && self.max_size_bytes.is_none()
            && self.machines.iter().all(harmless)
    }

    /// After how many microseconds a record of this machine is removed.
    pub(super) fn age_us(&self, machine: &str) -> Option<i64> {
        let age = match self.rule(machine).and_then(|rule| rule.max_age) {
            Some(Age::Forever) => None,
            Some(Age::Limit(age)) => Some(age),
            None => self.max_age,
        };
        age.map(micros)
    }

    /// The shortest age after which anything is removed.
    pub(super) fn shortest_age_us(&self) -> Option<i64> {
        let of_machines = self.machines.iter().filter_map(|rule| match rule.max_age {
            Some(Age::Limit(age)) => Some(age),
            _ => None,
        });
        of_machines.chain(self.max_age).min().map(micros)
    }

    /// How many bytes the records of this machine may take.
    pub(super) fn size_bytes(&self, machine: &str) -> Option<u64> {
        self.rule(machine)?.max_size_bytes
    }

    /// Whether any machine has a size of its own.
    pub(super) fn limits_machines(&self) -> bool {
        self.machines
            .iter()
            .any(|rule| rule.max_size_bytes.is_some())
    }

    fn rule(&self, machine: &str) -> Option<&MachineRetention> {
        self.machines
            .iter()
            .find(|rule| rule.machines.matches(machine))
    }
}

fn micros(age: Duration) -> i64 {
    i64::try_from(age.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Case;

    fn rule(glob: &str, max_age: Option<Age>) -> MachineRetention {
        MachineRetention {
            machines: Globs::new(&[glob.to_owned()], Case::Matters).expect("a glob"),
            max_age,
            max_size_bytes: None,
        }
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let day = Duration::from_secs(86_400);
        let policy = Retention {
            max_age: Some(90 * day),
            machines: vec![
                rule("web-audit", Some(Age::Forever)),
                rule("web*", Some(Age::Limit(7 * day))),
                rule("db*", None),
            ],
            ..Retention::default()
        };
        let age_days = |machine| policy.age_us(machine).map(|us| us / 86_400_000_000);
        assert_eq!(
            ["web-audit", "web1", "db1", "other"].map(age_days),
            [None, Some(7), Some(90), Some(90)]
        );
        assert_eq!(policy.shortest_age_us(), Some(7 * 86_400_000_000));
        assert!(!policy.keeps_everything());
        assert!(Retention::default().keeps_everything());
    }
}
