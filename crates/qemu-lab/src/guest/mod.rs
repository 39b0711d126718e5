//! What a guest's drivers would do, over qtest.

pub(crate) mod ide;
pub(crate) mod pci;
pub(crate) mod power;
