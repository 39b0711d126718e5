//! The vocabulary of QEMU's QMP events: every event typed, its facts, its wire form.
