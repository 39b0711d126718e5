//! Nothing but tests: clients that others wrote for QEMU, unmodified, talk to a real QEMU and to our
//! monitor, and must not notice a difference.
