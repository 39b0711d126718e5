//! Moving a machine to another host: phases, passes, devices, and replication by COLO.

use crate::Str;

open_enum! {
    /// Phase of a migration.
    ///
    /// Versions differ in the phases they pass through: treat one you do not know as "still going
    /// on".
    MigrationStatus {
        /// There is none.
        None "none";
        /// It is being set up.
        Setup "setup";
        /// It is being cancelled.
        Cancelling "cancelling";
        /// It was cancelled; the machine stays on the source.
        Cancelled "cancelled";
        /// Memory is being copied while the guest runs on the source.
        Active "active";
        /// The guest runs on the destination, the rest of its memory follows.
        PostcopyActive "postcopy-active", since 2.5;
        /// The destination loads the device state, the guest is about to run there (postcopy).
        PostcopyDevice "postcopy-device", since 10.2;
        /// The connection broke in the postcopy phase: the guest is split over two hosts and hangs
        /// until the migration is resumed (`migrate` with `resume`). End neither side.
        PostcopyPaused "postcopy-paused", since 3.0;
        /// A resumed postcopy sets up its new connection.
        PostcopyRecoverSetup "postcopy-recover-setup", since 9.1;
        /// A resumed postcopy compares notes with the other side; `postcopy-active` follows.
        PostcopyRecover "postcopy-recover", since 3.0;
        /// It is done: the machine lives on the destination.
        Completed "completed";
        /// It failed. On the source the machine normally goes on there; `query-migrate` has the
        /// error.
        Failed "failed";
        /// It is failing and being cleaned up; `failed` follows.
        Failing "failing", since 11.0;
        /// The two machines run in lockstep (COLO).
        Colo "colo", since 2.8;
        /// The machine is stopped and waits for `migrate-continue` (capability
        /// `pause-before-switchover`).
        PreSwitchover "pre-switchover", since 2.11;
        /// The machine is stopped and the state of its devices is being copied.
        Device "device", since 2.11;
        /// The guest has yet to let go of its failover cards, see UNPLUG_PRIMARY.
        WaitUnplug "wait-unplug", since 4.2;
    }
}

open_enum! {
    /// Role of a machine in COLO (two machines in lockstep).
    ColoMode {
        /// Replication is off.
        None "none", since 3.1;
        /// The machine that clients talk to.
        Primary "primary";
        /// Its shadow, ready to take over.
        Secondary "secondary";
    }
}

open_enum! {
    /// Why COLO ended.
    ColoExitReason {
        /// It never failed. Not seen in an event.
        None "none";
        /// Somebody asked for a failover.
        Request "request";
        /// An error, such as a lost connection.
        Error "error";
        /// A failover is being carried out.
        Processing "processing", since 4.0;
    }
}

open_enum! {
    /// State of a passed-through device during a migration (VFIO).
    VfioMigrationState {
        /// It is stopped.
        Stop "stop";
        /// It works.
        Running "running";
        /// It is stopped and its state is being read.
        StopCopy "stop-copy";
        /// It is stopped and receives its state.
        Resuming "resuming";
        /// It works, but starts no transfers to other devices.
        RunningP2p "running-p2p";
        /// It works and its state is being read ahead.
        PreCopy "pre-copy";
        /// As `pre-copy`, but it starts no transfers to other devices.
        PreCopyP2p "pre-copy-p2p";
        /// It prepares for `pre-copy-p2p`.
        PreCopyP2pPrepare "pre-copy-p2p-prepare", since 11.0;
    }
}

event! {
    /// A migration entered another phase.
    ///
    /// Only sent if the migration capability `events` is on, which it is not by default: set it
    /// with `migrate-set-capabilities` on either side. Without it a migration shows as a STOP only.
    ///
    /// The usual way is `setup`, `active`, (10.0 and later: `device`,) `completed`, with STOP
    /// before `completed` on the source and RESUME before it on the destination. The error of a
    /// failure is in `query-migrate`.
    MIGRATION, since 2.4,
        seed "Says that there is no data, then lists `status`. Does not say that the capability \
            `events` must be on. Many phases came later.";
    Migration {
        /// The phase it is in now.
        status "status": MigrationStatus;
    }
}

event! {
    /// The source of a migration begins another pass over the guest's memory.
    ///
    /// Each pass copies what the guest wrote during the one before. Passes that go on and on: the
    /// guest writes faster than the network carries; raise `max-bandwidth`, allow a longer
    /// `downtime-limit` or use postcopy. Only sent if the migration capability `events` is on.
    MIGRATION_PASS, since 2.6,
        seed "Says that there is no data, then lists `pass`. Does not say that the capability \
            `events` must be on. From 11.1 the first pass is not announced: counting starts at \
            2.";
    MigrationPass {
        /// Number of the pass: from 1, or from 2 in 11.1.
        pass "pass": i64;
    }
}

event! {
    /// A passed-through device (VFIO) changed its state during a migration.
    ///
    /// Only sent for devices with `migration-events=on`.
    VFIO_MIGRATION, since 9.1;
    VfioMigration<'a> {
        /// Id of the device; "" if it has none.
        device_id "device-id": Str<'a>;
        /// QOM path of the device.
        qom_path "qom-path": Str<'a>;
        /// State it is in now.
        device_state "device-state": VfioMigrationState;
    }
}

event! {
    /// The lockstep of two machines (COLO) ended, by an error or by request.
    ///
    /// On `error` somebody has to decide which of the two machines goes on, and tell it with
    /// `x-colo-lost-heartbeat`.
    COLO_EXIT, since 3.1;
    ColoExit {
        /// Role of the machine that sent this.
        mode "mode": ColoMode;
        /// Why it ended.
        reason "reason": ColoExitReason;
    }
}
