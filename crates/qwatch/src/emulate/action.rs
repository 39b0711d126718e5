//! What can happen to an emulated machine.

use std::borrow::Cow;

use qmp_events::vocabulary::{
    BlockErrorAction, GuestPanicAction, IoOperationType, JobType, WatchdogAction,
};

/// One thing that happens to a machine. What cannot happen in its state (a stop while it is stopped, the
/// end of a job there is not) does nothing and emits nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It starts to run for the first time.
    PowerOn,
    /// Its CPUs are stopped from outside.
    Stop,
    /// Its CPUs run again; disks in error are tried again.
    Continue,
    /// It is reset, by its guest or from outside.
    Reset {
        /// By its guest.
        guest: bool,
    },
    /// Its power button is pressed.
    PressPower,
    /// Its guest switches itself off, and the process ends.
    SwitchOff,
    /// A client ends its process.
    Quit,
    /// Its process is told to end by a signal.
    Signal,
    /// Its process dies without a word.
    Die,
    /// Its guest falls asleep (S3).
    Suspend,
    /// It is woken.
    WakeUp,
    /// A request to a disk fails.
    DiskError {
        /// Node name of the disk.
        disk: Cow<'static, str>,
        /// What was tried.
        operation: IoOperationType,
        /// What the disk's error policy does.
        action: BlockErrorAction,
        /// The host's error text; `No space left on device` counts as such.
        reason: Cow<'static, str>,
    },
    /// A block job starts.
    JobStart {
        /// Its id.
        job: Cow<'static, str>,
        /// What it does.
        kind: JobType,
        /// Its length in bytes.
        length: i64,
    },
    /// A block job has copied so much.
    JobProgress {
        /// Its id.
        job: Cow<'static, str>,
        /// How far it is, in bytes.
        offset: i64,
    },
    /// A mirror or commit has caught up and waits to be completed.
    JobReady {
        /// Its id.
        job: Cow<'static, str>,
    },
    /// A block job ends well.
    JobComplete {
        /// Its id.
        job: Cow<'static, str>,
    },
    /// A block job fails.
    JobFail {
        /// Its id.
        job: Cow<'static, str>,
        /// The error text.
        error: Cow<'static, str>,
    },
    /// A block job is cancelled.
    JobCancel {
        /// Its id.
        job: Cow<'static, str>,
    },
    /// Its guest panics.
    Panic {
        /// What is done about it.
        action: GuestPanicAction,
    },
    /// Its watchdog expires.
    Watchdog {
        /// What is done about it.
        action: WatchdogAction,
    },
    /// A migration to another host comes this far.
    Migrate(MigrationPhase),
    /// A VNC client opens a connection, not logged in yet.
    VncConnect {
        /// Its address and port.
        client: Cow<'static, str>,
    },
    /// A VNC client is logged in.
    VncLogin {
        /// Its address and port.
        client: Cow<'static, str>,
    },
    /// A VNC client leaves.
    VncLeave {
        /// Its address and port.
        client: Cow<'static, str>,
    },
    /// A SPICE client opens one of its channels.
    SpiceConnect {
        /// Its address and port.
        client: Cow<'static, str>,
        /// The channel's type; 1 is the main one.
        channel: i64,
    },
    /// A SPICE client closes its channels.
    SpiceLeave {
        /// Its address and port, as at the first channel.
        client: Cow<'static, str>,
    },
    /// Its guest gives memory back or takes it.
    Balloon {
        /// Memory left to it, in bytes.
        actual: i64,
    },
    /// A program in its guest opens or closes a virtio-serial port.
    Port {
        /// Id of the port.
        port: Cow<'static, str>,
        /// Opens.
        open: bool,
    },
    /// Its guest sets its clock.
    SetClock {
        /// Seconds by which it differs from the host's.
        offset: i64,
    },
}

/// How far a migration has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPhase {
    /// It is prepared.
    Setup,
    /// Memory is copied while the machine runs.
    Active,
    /// A further pass over the memory begins.
    Pass(i64),
    /// The machine stops, the rest is copied, all is done.
    Complete,
    /// It failed; the machine runs on.
    Fail,
    /// It was cancelled; the machine runs on.
    Cancel,
}
