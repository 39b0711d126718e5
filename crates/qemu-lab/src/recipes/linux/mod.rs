//! What a real Linux does with the devices QEMU gives it. One boot serves several events where
//! they do not end it, so these recipes expect more than the one event they are named after.

use super::Recipe;
use crate::{Board, Kernel};

pub(super) mod devices;
pub(super) mod disks;
pub(super) mod failures;
pub(super) mod hotplug;
pub(super) mod power;

impl Recipe {
    /// It needs a Linux on a PC with PCI Express.
    const fn in_linux(self) -> Recipe {
        self.board(Board::Q35).linux(Kernel::Unpacked)
    }
}
