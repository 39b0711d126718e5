//! Whether an event explains the STOP behind it, as far as a listener can tell on the spot.
//!
//! What led to a state is worked out from the records, by whoever reads them. Here is only decided whether
//! QEMU is asked while it still knows: after a STOP that nothing announced.

use serde_json::Value;

/// The last few events of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Causes {
    /// An event said that the machine is going to stop.
    announced: bool,
}

impl Causes {
    /// Takes the next event; true if it is a STOP without a known cause.
    pub(super) fn hear(&mut self, name: &str, data: Option<&str>) -> bool {
        let stops = |action| data.is_some_and(|data| has(data, "action", action));
        match name {
            "STOP" => return !std::mem::take(&mut self.announced),
            "RESUME" | "RESET" => self.announced = false,
            "BLOCK_IO_ERROR" => self.announced |= stops("stop"),
            "WATCHDOG" | "GUEST_PANICKED" => self.announced |= stops("pause"),
            "SHUTDOWN" | "SUSPEND_DISK" => self.announced = true,
            // On its way to another host, unless that came to nothing.
            "MIGRATION" => {
                let is = |status| data.is_some_and(|data| has(data, "status", status));
                self.announced = !is("failed") && !is("cancelled");
            }
            _ => {}
        }
        false
    }
}

fn has(data: &str, member: &str, value: &str) -> bool {
    let data: Option<Value> = serde_json::from_str(data).ok();
    data.is_some_and(|data| data[member] == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stop_that_nothing_announced_is_worth_asking() {
        let mut causes = Causes::default();
        let mut hear = |name, data| causes.hear(name, data);
        assert!(hear("STOP", None));
        assert!(!hear("RESUME", None));
        for (name, data, worth) in [
            ("BLOCK_IO_ERROR", r#"{"action": "stop"}"#, false),
            ("BLOCK_IO_ERROR", r#"{"action": "report"}"#, true),
            // Stops the job, not the machine.
            ("BLOCK_JOB_ERROR", r#"{"action": "stop"}"#, true),
            ("WATCHDOG", r#"{"action": "pause"}"#, false),
            ("WATCHDOG", r#"{"action": "inject-nmi"}"#, true),
            ("GUEST_PANICKED", r#"{"action": "pause"}"#, false),
            ("SHUTDOWN", r#"{"guest": true}"#, false),
            ("POWERDOWN", "{}", true),
            ("GUEST_PANICKED", "no JSON", true),
            ("MIGRATION", r#"{"status": "completed"}"#, false),
            ("MIGRATION", r#"{"status": "failed"}"#, true),
        ] {
            assert!(!hear(name, Some(data)));
            assert_eq!(hear("STOP", None), worth, "{name} {data}");
        }
        assert!(!hear("SHUTDOWN", None));
        assert!(!hear("RESET", None));
        assert!(hear("STOP", None), "that SHUTDOWN came to nothing");
    }
}
