//! Memory: ballooning, resizable memory devices, hardware memory errors.

use crate::Str;

open_enum! {
    /// Whose memory was hit by a hardware error.
    MemoryFailureRecipient {
        /// Memory that QEMU itself uses.
        Hypervisor "hypervisor";
        /// RAM of the guest.
        Guest "guest";
    }
}

open_enum! {
    /// What QEMU does about a hardware memory error.
    MemoryFailureAction {
        /// Nothing: the error need not be handled now, or the guest could not handle it.
        Ignore "ignore";
        /// The error is passed on to the guest, as a machine check or its like.
        Inject "inject";
        /// It cannot be handled: QEMU is about to end.
        Fatal "fatal";
        /// The guest could not take it and is reset: RESET follows.
        Reset "reset";
    }
}

object! {
    /// Details of a hardware memory error.
    MemoryFailureFlags {
        /// True if the damaged data was about to be used (action required), false if it was found
        /// in passing (action optional).
        action_required "action-required": bool;
        /// True if it struck while an earlier one was still being handled.
        recursive "recursive": bool;
    }
}

event! {
    /// The guest changed how much memory it gives back through its virtio balloon.
    ///
    /// Moves in steps towards the target that the `balloon` command set; a guest may stay short of
    /// it. At most one a second goes out, so intermediate values are lost, the last is not. Setting
    /// the same value again gives no event.
    BALLOON_CHANGE, since 1.2, seed "", limited [1.2];
    BalloonChange {
        /// Memory left to the guest, in bytes: its RAM less what the balloon holds. Multiples of
        /// 4 KiB.
        actual "actual": i64;
    }
}

event! {
    /// The guest reported its memory use through the Hyper-V dynamic memory protocol
    /// (`hv-balloon`).
    ///
    /// Periodic while the device has `status-report=on`; at most one a second goes out.
    /// `query-hv-balloon-status-report` gives the latest.
    HV_BALLOON_STATUS_REPORT, since 8.2, limited [8.2];
    HvBalloonStatusReport {
        /// Memory in use in the guest plus memory it cannot use (ballooned out, offline), in bytes.
        committed "committed": u64;
        /// Memory free for new allocations in the guest, in bytes.
        available "available": u64;
    }
}

event! {
    /// The guest changed the size of a memory device, in practice of a `virtio-mem`.
    ///
    /// It approaches the device's `requested-size` as the guest plugs or unplugs blocks; a guest
    /// may stay short of it. At most one a second goes out per device (before 6.2: for all devices
    /// together). `query-memory-devices` gives the present sizes.
    MEMORY_DEVICE_SIZE_CHANGE, since 5.1, limited [5.1] [6.2 per "qom-path"];
    MemoryDeviceSizeChange<'a> {
        /// Id of the device; absent if it has none.
        id "id": Str<'a>, optional;
        /// Size the guest has now, in bytes.
        size "size": u64;
        /// QOM path of the device.
        qom_path "qom-path": Str<'a>, since 6.2;
    }
}

event! {
    /// The host found a hardware error in memory of this machine.
    ///
    /// The host's own log names the page and the module. Plan to move the machine away: more may
    /// come. With action `reset` RESET follows; with `fatal` the stream ends soon.
    MEMORY_FAILURE, since 5.2;
    MemoryFailure {
        /// Whose memory was hit.
        recipient "recipient": MemoryFailureRecipient;
        /// What QEMU does about it.
        action "action": MemoryFailureAction;
        /// Details.
        flags "flags": MemoryFailureFlags;
    }
}
