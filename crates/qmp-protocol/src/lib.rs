//! The QEMU Machine Protocol as pure state machines: framing, client session, monitor session.
