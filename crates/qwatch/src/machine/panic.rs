//! What a guest told about its panic, in words.

use qmp_events::vocabulary::GuestPanicInformation;

use super::text::clipped;
use crate::output::escape::visible;

/// The panic, decoded; what the guest chose is escaped.
pub(super) fn decoded(info: &GuestPanicInformation<'_>) -> Vec<String> {
    match info {
        GuestPanicInformation::HyperV(registers) => {
            let parameters = [
                registers.arg2,
                registers.arg3,
                registers.arg4,
                registers.arg5,
            ];
            let parameters: Vec<String> = parameters.map(|p| format!("{p:#x}")).into();
            let code = registers.arg1;
            let name = bug_check(code).map_or(String::new(), |name| format!(" {name}"));
            vec![
                format!("Hyper-V crash registers: {code:#x}{name}, {}", parameters.join(", ")),
                "for a Windows guest the first is the bug check (stop code), the others its parameters"
                    .to_owned(),
            ]
        }
        GuestPanicInformation::S390(cpu) => vec![format!(
            "CPU {} of the guest: {}, program status word {:016x} {:016x}",
            cpu.core,
            s390_reason(cpu.reason.as_str()),
            cpu.psw_mask,
            cpu.psw_addr
        )],
        GuestPanicInformation::Tdx(fatal) => {
            let page = fatal.gpa.map_or(String::new(), |gpa| {
                format!(", details at guest address {gpa:#x}")
            });
            vec![format!(
                "TDX guest: fatal error {:#x}{page}: \"{}\"",
                fatal.error_code,
                visible(&clipped(&fatal.message))
            )]
        }
        GuestPanicInformation::Sev(request) => vec![format!(
            "SEV guest asked to be terminated: code {:#x} of set {:#x}{}",
            request.code,
            request.set,
            sev_reason(request.set, request.code)
        )],
        GuestPanicInformation::Unknown(other) => {
            vec![format!(
                "in a form not known here: {}",
                visible(&clipped(&other.tag))
            )]
        }
    }
}

/// The names of the bug checks that are met most.
fn bug_check(code: u64) -> Option<&'static str> {
    Some(match code {
        0x0A => "IRQL_NOT_LESS_OR_EQUAL",
        0x1A => "MEMORY_MANAGEMENT",
        0x1E => "KMODE_EXCEPTION_NOT_HANDLED",
        0x3B => "SYSTEM_SERVICE_EXCEPTION",
        0x50 => "PAGE_FAULT_IN_NONPAGED_AREA",
        0x77 => "KERNEL_STACK_INPAGE_ERROR",
        0x7A => "KERNEL_DATA_INPAGE_ERROR",
        0x7B => "INACCESSIBLE_BOOT_DEVICE",
        0x7E => "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED",
        0x7F => "UNEXPECTED_KERNEL_MODE_TRAP",
        0x80 => "NMI_HARDWARE_FAILURE",
        0x9F => "DRIVER_POWER_STATE_FAILURE",
        0xA0 => "INTERNAL_POWER_ERROR",
        0xC2 => "BAD_POOL_CALLER",
        0xC4 => "DRIVER_VERIFIER_DETECTED_VIOLATION",
        0xD1 => "DRIVER_IRQL_NOT_LESS_OR_EQUAL",
        0xE2 => "MANUALLY_INITIATED_CRASH",
        0xEF => "CRITICAL_PROCESS_DIED",
        0xF4 => "CRITICAL_OBJECT_TERMINATION",
        0x101 => "CLOCK_WATCHDOG_TIMEOUT",
        0x109 => "CRITICAL_STRUCTURE_CORRUPTION",
        0x124 => "WHEA_UNCORRECTABLE_ERROR",
        0x133 => "DPC_WATCHDOG_VIOLATION",
        0x139 => "KERNEL_SECURITY_CHECK_FAILURE",
        _ => return None,
    })
}

fn s390_reason(reason: &str) -> String {
    match reason {
        "disabled-wait" => "waits with all interrupts off, for ever".to_owned(),
        "extint-loop" => "external interrupts lead back into themselves".to_owned(),
        "pgmint-loop" => "program interrupts lead back into themselves".to_owned(),
        "opint-loop" => "operation exceptions lead back into themselves".to_owned(),
        "unknown" | "" => "crashed for a reason QEMU could not tell".to_owned(),
        other => visible(other).into_owned(),
    }
}

/// Codes of set 0, from the specification of the guest-hypervisor communication block.
fn sev_reason(set: i64, code: i64) -> &'static str {
    match (set, code) {
        (0, 0) => " (general request)",
        (0, 1) => " (the protocol versions do not match)",
        (0, 2) => " (a feature is not supported)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use qmp_events::Event;

    use super::*;

    #[track_caller]
    fn check(info: &str, expected: &str) {
        let data = format!(r#"{{"action": "pause", "info": {info}}}"#);
        let event = Event::from_json("GUEST_PANICKED", Some(&data)).expect("JSON");
        let Event::GuestPanicked(panic) = event else {
            panic!("another event");
        };
        assert_eq!(decoded(&panic.info.expect("info"))[0], expected);
    }

    #[test]
    fn panics_in_words() {
        check(
            r#"{"type": "hyper-v", "arg1": 239, "arg2": 18446744073709551615, "arg3": 0, "arg4": 0, "arg5": 1}"#,
            "Hyper-V crash registers: 0xef CRITICAL_PROCESS_DIED, 0xffffffffffffffff, 0x0, 0x0, 0x1",
        );
        check(
            r#"{"type": "s390", "core": 2, "psw-mask": 562956395872256, "psw-addr": 1102832, "reason": "disabled-wait"}"#,
            "CPU 2 of the guest: waits with all interrupts off, for ever, program status word 0002000180000000 000000000010d3f0",
        );
        check(
            r#"{"type": "tdx", "error-code": 7, "message": "no\u001b[2J", "gpa": 4096}"#,
            "TDX guest: fatal error 0x7, details at guest address 0x1000: \"no\\x1b[2J\"",
        );
        check(
            r#"{"type": "sev", "set": 0, "code": 2}"#,
            "SEV guest asked to be terminated: code 0x2 of set 0x0 (a feature is not supported)",
        );
        check(
            r#"{"type": "new", "x": 1}"#,
            "in a form not known here: new",
        );
    }
}
