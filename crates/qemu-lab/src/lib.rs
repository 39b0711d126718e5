//! Real QEMUs for tests: starts them, plays their guests, cleans up.
//!
//! * [`QemuLab`] is the QEMUs to test with. One that is missing is an error, never a reason to
//!   skip.
//! * [`Qemu`] describes a machine and starts it in a temporary folder.
//! * [`Machine`] runs commands, waits for events, plays the guest ([`Machine::qtest`]) or talks to
//!   a real one ([`Machine::shell`]), keeps every byte its monitor sent ([`Machine::captured`])
//!   and is gone when dropped.
//! * [`recipes`] knows how to make a QEMU emit each event, one [`Recipe`] an event or variant.
//!   `cargo run -p qemu-lab WATCHDOG.pause` plays one and prints what came.
//!
//! # A test of one's own
//!
//! ```no_run
//! use qemu_lab::QemuLab;
//!
//! # fn main() -> Result<(), qemu_lab::LabError> {
//! let lab = QemuLab::builder().build()?;
//! for qemu in lab.machines() {
//!     let mut machine = qemu
//!         .args(["-device", "pvpanic", "-action", "panic=pause"])
//!         .monitor("qmp")
//!         .start()?;
//!     // The program under test would now connect to machine.monitor_path("qmp").
//!     machine.qtest().outb(0x505, 1)?; // what a guest's pvpanic driver does
//!     let event = machine.event("GUEST_PANICKED")?;
//!     assert_eq!(event.data["action"], "pause");
//!     machine.event("STOP")?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The same with a Linux that really panics:
//!
//! ```no_run
//! # fn main() -> Result<(), qemu_lab::LabError> {
//! # let binary = qemu_lab::qemu("10.0".parse()?)?;
//! use qemu_lab::{Board, Kernel, Qemu};
//!
//! let mut machine = Qemu::new(&binary)
//!     .board(Board::Q35)
//!     .linux(Kernel::Unpacked)
//!     .args(["-device", "pvpanic-pci", "-action", "panic=pause"])
//!     .start()?;
//! machine.shell("load pvpanic-pci")?; // waits until it is up
//! machine.shell_start("echo c > /proc/sysrq-trigger")?;
//! machine.event("GUEST_PANICKED")?;
//! # Ok(())
//! # }
//! ```
//!
//! Or take a recipe, and let the program under test listen where the machine dials:
//!
//! ```no_run
//! # fn main() -> Result<(), qemu_lab::LabError> {
//! # let socket = "/run/test.sock";
//! let binary = qemu_lab::qemu("10.0".parse()?)?;
//! let recipe = qemu_lab::recipes::named("BLOCK_IO_ERROR.no-space").expect("a recipe");
//! let mut machine = recipe.machine(&binary).dial_out(socket).start()?;
//! recipe.perform(&mut machine)?;
//! let lines: Vec<String> = machine.events().into_iter().map(|event| event.line).collect();
//! # Ok(())
//! # }
//! ```
//!
//! An error of a machine, and a test that panics beside one, show its command line, the last of
//! what its monitor sent and its guest printed, and its standard error. Nothing is left behind in
//! either case, nor if the test is killed: QEMU, what it started, and its folder go.
//!
//! # Which QEMUs
//!
//! Those that `scripts/setup` put into the cache folder ([`REQUIRED`] are the least). Others are
//! named by [`QemuLabBuilder::qemu`] or the environment, and then only these are used:
//!
//! ```text
//! QEMU_LAB_QEMUS=9.2=/opt/qemu-9.2/bin/qemu-system-x86_64:/usr/bin/qemu-system-x86_64
//! ```
//!
//! Without `VERSION=` the program is asked. What some recipes want beyond `qemu-system-x86_64`:
//! those of [`Board::Pseries`] and [`Board::S390`] a `qemu-system-ppc64` or `qemu-system-s390x` in
//! the same folder, those of SPICE a QEMU built with it, those of SASL its plugins and `saslpasswd2` (in the same folder or the `PATH`),
//! those with a [`Kernel`] the Linux of `scripts/setup linux`. Nothing needs root or KVM.
//!
//! # How
//!
//! Mostly there is no guest system: a ROM of ours halts the processor, and devices are driven over
//! QEMU's qtest socket. Such a machine is up in a fifth of a second and idles. What only a guest
//! shows is shown by a Linux whose first process runs what it is told.
//!
//! The lab is blocking and shares no code with what it tests.

mod binary;
mod error;
mod files;
mod guest;
mod lab;
pub mod limits;
mod linux;
mod machine;
mod monitor;
mod ports;
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
pub use lab::{QemuLab, QemuLabBuilder};
pub use linux::Kernel;
pub use machine::Machine;
pub use monitor::LabEvent;
pub use qemu::{Board, KERNEL_FILE, Qemu};
pub use qtest::Qtest;
pub use recipes::Recipe;
