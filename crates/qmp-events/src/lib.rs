//! The vocabulary of QEMU's QMP events.

mod timestamp;

pub use timestamp::Timestamp;
