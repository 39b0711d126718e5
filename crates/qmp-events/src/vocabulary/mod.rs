//! The vocabulary: every event that a QEMU since 2.1 can send, one file per subsystem.
//!
//! This is the only place where an event is written down. The macros make of each entry the Rust
//! type, its reading and writing, and its facts at run time; the comments are the documentation of
//! both. Members stand in the order of QEMU's schema.

mod block;
mod devices;
mod display;
mod host;
mod jobs;
mod memory;
mod migration;
mod network;
mod panic;
mod run_state;
mod s390;

pub use block::*;
pub use devices::*;
pub use display::*;
pub use host::*;
pub use jobs::*;
pub use memory::*;
pub use migration::*;
pub use network::*;
pub use panic::*;
pub use run_state::*;
pub use s390::*;

catalogue! {
    AcpiDeviceOst<'a>,
    BalloonChange,
    BlockExportDeleted<'a>,
    BlockImageCorrupted<'a>,
    BlockIoError<'a>,
    BlockJobCancelled<'a>,
    BlockJobCompleted<'a>,
    BlockJobError<'a>,
    BlockJobPending<'a>,
    BlockJobReady<'a>,
    BlockWriteThreshold<'a>,
    ColoExit,
    CommandDropped,
    CpuPolarizationChange,
    DeviceDeleted<'a>,
    DeviceTrayMoved<'a>,
    DeviceUnplugGuestError<'a>,
    DumpCompleted<'a>,
    FailoverNegotiated<'a>,
    GuestCrashloaded<'a>,
    GuestPanicked<'a>,
    GuestPvshutdown,
    HvBalloonStatusReport,
    JobStatusChange<'a>,
    MemoryDeviceSizeChange<'a>,
    MemoryFailure,
    MemUnplugError<'a>,
    Migration,
    MigrationPass,
    NetdevStreamConnected<'a>,
    NetdevStreamDisconnected<'a>,
    NetdevVhostUserConnected<'a>,
    NetdevVhostUserDisconnected<'a>,
    NicRxFilterChanged<'a>,
    Powerdown,
    PrManagerStatusChanged<'a>,
    QuorumFailure<'a>,
    QuorumReportBad<'a>,
    RdmaGidStatusChanged<'a>,
    Reset,
    Resume,
    RtcChange<'a>,
    SclpCpiInfoAvailable,
    Shutdown,
    SpiceConnected<'a>,
    SpiceDisconnected<'a>,
    SpiceInitialized<'a>,
    SpiceMigrateCompleted,
    Stop,
    Suspend,
    SuspendDisk,
    UnplugPrimary<'a>,
    VfioMigration<'a>,
    VfuClientHangup<'a>,
    VncConnected<'a>,
    VncDisconnected<'a>,
    VncInitialized<'a>,
    VserportChange<'a>,
    Wakeup,
    Watchdog,
}
