//! Real QEMUs for tests: starts them, plays their guests, cleans up.
//!
//! * [`installed`] finds the QEMUs that `scripts/setup` fetched; one that is missing is an error,
//!   never a reason to skip.
//! * [`Qemu`] describes a machine and starts it in a temporary folder.
//! * [`Machine`] runs commands, waits for events, plays the guest ([`Machine::qtest`]), keeps
//!   every byte its monitor sent ([`Machine::captured`]) and is gone when dropped.
//! * [`recipes`] knows how to make a QEMU emit each event, one [`Recipe`] an event or variant.
//!
//! There is no guest system: a ROM of ours halts the processor, and devices are driven over
//! QEMU's qtest socket. A machine is up in a fifth of a second and idles.
//!
//! The lab is blocking and shares no code with what it tests.

mod binary;
mod error;
mod files;
mod guest;
pub mod limits;
mod machine;
mod monitor;
mod process;
mod qemu;
mod qtest;
pub mod recipes;

pub use binary::{QEMUS_VARIABLE, QemuBinary, REQUIRED, Version, cached, installed, qemu};
pub use error::LabError;
pub use files::{write_corrupt_qcow2, write_raw_image};
pub use guest::{
    ide,
    virtio::{DEVICE_CONFIG, Legacy},
};
pub use machine::Machine;
pub use monitor::LabEvent;
pub use qemu::{Board, Qemu};
pub use qtest::Qtest;
pub use recipes::Recipe;
