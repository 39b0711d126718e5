//! What the service manager says in the environment.

use std::env;
use std::ffi::OsString;
use std::process;
use std::time::Duration;

use crate::limits::INHERITED_MAX;

/// The variables, understood. What is meant for another process, or makes no sense, is not there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Environment {
    pub(super) notify_socket: Option<OsString>,
    pub(super) keeps_descriptors: bool,
    pub(super) watchdog: Option<Duration>,
    /// Descriptors that are handed over.
    pub(super) descriptors: usize,
}

impl Environment {
    pub(super) fn of_this_process() -> Self {
        Self::of(process::id(), |name| env::var_os(name))
    }

    pub(super) fn of(pid: u32, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name| variable(name)?.into_string().ok();
        let number = |name| text(name)?.parse::<u64>().ok();
        let notify_socket = variable("NOTIFY_SOCKET").filter(|address| !address.is_empty());
        // A manager that says how many descriptors it keeps may say none.
        let keeps_descriptors = notify_socket.is_some() && number("FDSTORE") != Some(0);
        let is_ours = |name| text(name).map(|text| text == pid.to_string());
        let watchdog = number("WATCHDOG_USEC")
            .filter(|length_us| *length_us > 0 && is_ours("WATCHDOG_PID") != Some(false))
            .map(Duration::from_micros);
        let descriptors = number("LISTEN_FDS")
            .filter(|_| is_ours("LISTEN_PID") == Some(true))
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| *count <= INHERITED_MAX);
        Self {
            notify_socket,
            keeps_descriptors,
            watchdog,
            descriptors: descriptors.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Environment {
        Environment::of(7, |name| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(found.1.into())
        })
    }

    #[test]
    fn nothing_is_said_where_there_is_no_manager() {
        assert_eq!(of(&[]), Environment::default());
        assert_eq!(of(&[("NOTIFY_SOCKET", "")]), Environment::default());
    }

    #[test]
    fn a_manager_keeps_descriptors_unless_it_says_none() {
        let keeps = |more: &[(&str, &str)]| {
            of(&[&[("NOTIFY_SOCKET", "@n")], more].concat()).keeps_descriptors
        };
        assert!(keeps(&[]), "as systemd before 254");
        assert!(keeps(&[("FDSTORE", "4096")]));
        assert!(!keeps(&[("FDSTORE", "0")]));
    }

    #[test]
    fn what_is_meant_for_another_process_is_not_ours() {
        let watchdog = |pid| of(&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", pid)]).watchdog;
        assert_eq!(watchdog("7"), Some(Duration::from_secs(3)));
        assert_eq!(watchdog("8"), None);
        let descriptors =
            |pid, count| of(&[("LISTEN_PID", pid), ("LISTEN_FDS", count)]).descriptors;
        assert_eq!(descriptors("7", "3"), 3);
        assert_eq!(descriptors("8", "3"), 0);
        assert_eq!(descriptors("7", "-1"), 0);
        assert_eq!(descriptors("7", "99999999999"), 0);
        assert_eq!(of(&[("LISTEN_FDS", "3")]).descriptors, 0, "whose?");
    }
}
