//! The list: every event, written down once.

event! {
    /// The virtual CPUs stopped.
    STOP, since 0.12, seed "";
    Stop {}
}

event! {
    /// A watchdog device of the guest expired.
    WATCHDOG, since 0.13, seed "", limited [1.2];
    Watchdog {
        /// What QEMU does about it.
        action "action": WatchdogAction;
    }
}

open_enum! {
    /// What QEMU does when a watchdog expires.
    WatchdogAction {
        /// The machine is stopped.
        Pause "pause";
    }
}

catalogue! { Stop, Watchdog }
