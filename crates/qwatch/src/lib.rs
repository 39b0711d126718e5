//! The flight recorder for QEMU virtual machines.

pub mod record;
