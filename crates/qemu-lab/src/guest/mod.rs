//! Counterparts of QEMU: what a guest's drivers do, over qtest, and a viewer of its console.

pub mod ide;
mod oaep;
pub(crate) mod pci;
pub(crate) mod power;
pub(crate) mod sasl;
pub(crate) mod spice;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod vhost_user;
pub(crate) mod virtio;
pub(crate) mod vnc;
