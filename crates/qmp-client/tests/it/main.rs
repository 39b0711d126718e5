//! The client against a peer that plays a script: every fault that a real QEMU has and some more.

mod commands;
mod faults;
mod hearing;
mod listening;
mod machine;
mod reconnecting;
mod stage;
