//! Run state: the machine stops, runs, resets, sleeps, wakes and ends; its watchdog and its clock.

use crate::Str;

open_enum! {
    /// Why a machine was reset or shut down.
    ///
    /// Causes that begin with `guest-` come from inside the guest, the others from its host.
    ShutdownCause {
        /// No request is pending. Internal to QEMU: not seen in an event.
        None "none";
        /// QEMU or its host failed; the reason is in QEMU's log, not here.
        HostError "host-error";
        /// A monitor client sent `quit`.
        HostQmpQuit "host-qmp-quit";
        /// A monitor client sent `system_reset`.
        HostQmpSystemReset "host-qmp-system-reset";
        /// QEMU received SIGTERM, SIGINT or SIGHUP.
        HostSignal "host-signal";
        /// Somebody closed QEMU's window.
        HostUi "host-ui";
        /// The guest switched itself off.
        GuestShutdown "guest-shutdown";
        /// The guest asked for a reset. In SHUTDOWN: QEMU runs with `-no-reboot` and exits instead.
        GuestReset "guest-reset";
        /// The guest panicked and the panic action is to shut down or to reset.
        GuestPanic "guest-panic";
        /// A partial reset of an s390x machine. Internal to QEMU: not seen in an event.
        SubsystemReset "subsystem-reset";
        /// The reset that precedes the loading of a snapshot. Internal to QEMU: not seen in an
        /// event.
        SnapshotLoad "snapshot-load", since 7.2;
    }
}

open_enum! {
    /// What QEMU does when a watchdog device expires (`-action watchdog=`, `-watchdog-action`).
    WatchdogAction {
        /// The machine is reset: RESET follows.
        Reset "reset";
        /// The power button is pressed: POWERDOWN follows, and SHUTDOWN only if the guest obeys.
        Shutdown "shutdown";
        /// QEMU exits at once: no SHUTDOWN, just the end of the stream.
        Poweroff "poweroff";
        /// The virtual CPUs stop: STOP follows and `query-status` says `watchdog`.
        Pause "pause";
        /// QEMU prints a line to its stderr; the guest runs on.
        Debug "debug";
        /// Nothing is done; the guest runs on.
        None "none";
        /// The guest gets a non-maskable interrupt, usually to make it dump or panic.
        InjectNmi "inject-nmi", since 2.4;
    }
}

event! {
    /// The virtual CPUs start to run.
    ///
    /// Sent by `cont`, at the end of an incoming migration and when a machine starts without `-S`;
    /// just before the CPUs really execute. Not sent if the machine was running already, nor on
    /// waking up from S3 (that is WAKEUP).
    ///
    /// A STOP and RESUME pair with nearly equal stamps need not mean that the CPUs ever stopped:
    /// QEMU makes up such a pair when `cont` overtakes a stop that was already announced.
    RESUME, since 0.12, seed "";
    Resume {}
}

event! {
    /// The virtual CPUs stopped.
    ///
    /// The event has no reason with it. Look at what came before, or up to a second after, since
    /// rate-limited events may arrive late: BLOCK_IO_ERROR with action `stop`, WATCHDOG with action
    /// `pause`, GUEST_PANICKED with action `pause`, SHUTDOWN under `-no-shutdown`, a migration
    /// about to complete. If there is none of them, a client sent `stop`. `query-status` names the
    /// state (`io-error`, `watchdog`, `guest-panicked`, `postmigrate`, `paused`, ...).
    ///
    /// Not sent when the machine was stopped already, when QEMU exits, or for S3 sleep (SUSPEND).
    STOP, since 0.12, seed "";
    Stop {}
}

event! {
    /// The machine was reset.
    ///
    /// One reboot may give several: a guest repeats its request until the machine obeys, and
    /// firmware may reset once more. Do not count reboots by it. Follows WATCHDOG with action
    /// `reset`. A guest woken from S3 by a reset gives this and no WAKEUP.
    ///
    /// QEMU before 2.10 sends no data.
    RESET, since 0.12,
        seed "Has no data there; since 2.10 there is `guest`, since 4.0 `reason`.";
    Reset {
        /// True if the guest asked for it, false if its host did: true for the reasons that begin
        /// with `guest-`.
        guest "guest": bool, since 2.10;
        /// What caused it.
        reason "reason": ShutdownCause, since 4.0;
    }
}

event! {
    /// The power button of the machine was pressed: the guest is asked to shut down.
    ///
    /// A request, not a result: the guest may ignore it, and each press gives another event.
    /// SHUTDOWN follows if the guest obeys. Sent by `system_powerdown` and after WATCHDOG with
    /// action `shutdown`.
    POWERDOWN, since 0.12, seed "";
    Powerdown {}
}

event! {
    /// The machine has shut down and QEMU is about to exit.
    ///
    /// Then the stream ends. Under `-no-shutdown` (`-action shutdown=pause`) QEMU stays, STOP
    /// follows and `query-status` says `shutdown`. A stream that ends without this event means that
    /// QEMU crashed, was killed, or obeyed a watchdog with action `poweroff`; it may also have been
    /// unable to hand the event to a client that did not read.
    ///
    /// QEMU before 2.10 sends no data.
    SHUTDOWN, since 0.12,
        seed "Has no data there; since 2.10 there is `guest`, since 4.0 `reason`.";
    Shutdown {
        /// True if the guest asked for it, false if its host did: true for the reasons that begin
        /// with `guest-`.
        guest "guest": bool, since 2.10;
        /// What caused it.
        reason "reason": ShutdownCause, since 4.0;
    }
}

event! {
    /// The guest went to sleep (ACPI S3): its RAM is kept, its CPUs do nothing.
    ///
    /// There is no STOP with it; `query-status` says `suspended`. WAKEUP follows when the guest
    /// wakes up by itself (a timer, say) or by `system_wakeup`; a RESET ends the sleep as well.
    SUSPEND, since 1.1, seed "";
    Suspend {}
}

event! {
    /// The guest hibernates (ACPI S4): it saved its memory to its own disk and switches off.
    ///
    /// SHUTDOWN with reason `guest-shutdown` follows. To QEMU this is a plain shutdown: only the
    /// guest knows at its next start that it has something to restore.
    SUSPEND_DISK, since 1.2, seed "";
    SuspendDisk {}
}

event! {
    /// The guest woke up from sleep (S3) and runs.
    ///
    /// Ends what SUSPEND began; neither RESUME nor RESET comes with it.
    WAKEUP, since 1.1, seed "";
    Wakeup {}
}

event! {
    /// A watchdog device expired: the guest has not fed it in time, so it hangs or is starved.
    ///
    /// The action tells what follows: RESET (`reset`), POWERDOWN (`shutdown`), STOP (`pause`), the
    /// end of the stream (`poweroff`) or nothing.
    ///
    /// At most one a second goes out, whatever the device: of two expirations within a second the
    /// second event arrives after the RESET or STOP that it led to, with an older stamp than that.
    WATCHDOG, since 0.13,
        seed "Lacks the action `inject-nmi` (2.4). Says that SHUTDOWN follows action `shutdown`: \
            POWERDOWN does, and SHUTDOWN only if the guest obeys; after `poweroff` no event \
            follows.",
        limited [1.2];
    Watchdog {
        /// What QEMU does about it.
        action "action": WatchdogAction;
    }
}

event! {
    /// The guest set its real-time clock.
    ///
    /// Common at boot and when the guest's time service writes the time back. Whoever restarts the
    /// machine later should move `-rtc base` by `offset`, or the guest wakes up in the wrong hour.
    ///
    /// At most one a second goes out, for all clocks of the machine together. Only the clocks
    /// mc146818 (PC), pl031 (Arm) and that of pSeries send it; QEMU 4.0 to 6.2 has it for some
    /// targets only.
    RTC_CHANGE, since 0.13,
        seed "Does not say that `offset` is in seconds. `qom-path` came with 7.0.",
        limited [1.2];
    RtcChange<'a> {
        /// Seconds between the clock as `-rtc base` started it and as the guest has set it now;
        /// negative if the guest's time is earlier.
        offset "offset": i64;
        /// QOM path of the clock.
        qom_path "qom-path": Str<'a>, since 7.0;
    }
}
