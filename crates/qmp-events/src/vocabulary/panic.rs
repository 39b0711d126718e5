//! The guest's last words: panics, crash kernels and shutdowns told through the panic device.

use crate::Str;

open_enum! {
    /// What QEMU does about a panicked guest (`-action panic=`).
    GuestPanicAction {
        /// The virtual CPUs stop: STOP follows and `query-status` says `guest-panicked`.
        Pause "pause";
        /// The machine goes down: STOP may follow, then SHUTDOWN with reason `guest-panic`.
        Poweroff "poweroff", since 2.8;
        /// Nothing: the guest goes on by itself.
        Run "run", since 5.0;
    }
}

open_enum! {
    /// Why a CPU of an s390x guest is considered crashed.
    S390CrashReason {
        /// QEMU could not tell. (Called "unknown" on the wire.)
        Unspecified "unknown";
        /// The CPU waits with all interrupts masked: it can never wake up.
        DisabledWait "disabled-wait";
        /// External interrupts lead back into themselves for ever.
        ExtintLoop "extint-loop";
        /// Program interrupts (exceptions) lead back into themselves for ever.
        PgmintLoop "pgmint-loop";
        /// Operation exceptions (invalid instructions) lead back into themselves for ever.
        OpintLoop "opint-loop";
    }
}

object! {
    /// The five crash registers of the Hyper-V interface, as the guest filled them.
    ///
    /// Windows puts its bug check code into the first and the parameters of the bug check into the
    /// others. All 64 bits count: do not pass them through floating point.
    GuestPanicHyperV {
        /// First register; the bug check code of a Windows guest.
        arg1 "arg1": u64;
        /// Second register; first parameter of the bug check.
        arg2 "arg2": u64;
        /// Third register; second parameter of the bug check.
        arg3 "arg3": u64;
        /// Fourth register; third parameter of the bug check.
        arg4 "arg4": u64;
        /// Fifth register; fourth parameter of the bug check.
        arg5 "arg5": u64;
    }
}

object! {
    /// The state of the crashed CPU of an s390x guest.
    GuestPanicS390 {
        /// Number of the CPU.
        core "core": u32;
        /// Upper half of its program status word: the flags.
        psw_mask "psw-mask": u64;
        /// Lower half of its program status word: the address of the instruction.
        psw_addr "psw-addr": u64;
        /// Why it counts as crashed.
        reason "reason": S390CrashReason;
    }
}

object! {
    /// A fatal error that a guest in an Intel TDX trust domain reported.
    GuestPanicTdx<'a> {
        /// The guest's error code, as Intel's interface between guest and host defines it.
        error_code "error-code": u32;
        /// The guest's own words. Nobody checked them: escape before you print.
        message "message": Str<'a>;
        /// Guest physical address of a page with more details, if the guest gave one.
        gpa "gpa": u64, optional;
    }
}

object! {
    /// A request of a guest under AMD SEV to be terminated.
    GuestPanicSev {
        /// Which set of reason codes `code` belongs to; 0 is the set of the GHCB specification.
        set "set": i64;
        /// The reason code within that set.
        code "code": i64;
    }
}

union! {
    /// What the guest told about its crash, by the interface through which it told.
    GuestPanicInformation<'a> by "type" {
        /// Crash registers of the Hyper-V interface, as Windows guests fill them.
        HyperV "hyper-v", since 2.9: GuestPanicHyperV;
        /// State of the crashed CPU of an s390x guest.
        S390 "s390", since 2.12: GuestPanicS390;
        /// Fatal error reported by a guest in an Intel TDX trust domain.
        Tdx "tdx", since 10.1: GuestPanicTdx<'a>;
        /// Termination request of a guest under AMD SEV.
        Sev "sev", since 11.0: GuestPanicSev;
    }
}

event! {
    /// The guest's operating system panicked.
    ///
    /// What follows depends on `action`: STOP after `pause`; perhaps STOP, then SHUTDOWN with
    /// reason `guest-panic`, after `poweroff`; nothing after `run`, where the guest reboots or
    /// hangs as it sees fit. Not rate-limited: a guest can panic again and again.
    ///
    /// QEMU learns of it only if the guest tells: by a `pvpanic` device and its driver, by the
    /// Hyper-V crash registers, or on s390x by the state of its CPUs. A guest with none of these
    /// dies silently.
    GUEST_PANICKED, since 1.5,
        seed "Its example has no timestamp. Says that `action` is always `pause`: there are \
            `poweroff` (2.8) and `run` (5.0) too. `info` came with 2.9.";
    GuestPanicked<'a> {
        /// What QEMU does about it.
        action "action": GuestPanicAction;
        /// What the guest told; a `pvpanic` device tells nothing.
        info "info": GuestPanicInformation<'a>, optional, since 2.9;
    }
}

event! {
    /// The guest panicked and its crash kernel took over, usually to save a dump and to reboot.
    ///
    /// Needs a `pvpanic` device. QEMU does nothing about it; expect a RESET when the dump is done.
    GUEST_CRASHLOADED, since 5.0;
    GuestCrashloaded<'a> {
        /// What QEMU does about it: always `run`.
        action "action": GuestPanicAction;
        /// What the guest told; a `pvpanic` device tells nothing.
        info "info": GuestPanicInformation<'a>, optional;
    }
}

event! {
    /// The guest asked for a shutdown through its `pvpanic` device.
    ///
    /// SHUTDOWN with reason `guest-shutdown` follows. Guests without ACPI or another power control
    /// end this way.
    GUEST_PVSHUTDOWN, since 9.1;
    GuestPvshutdown {}
}
