//! `qwatch check`: is a monitor reachable, and does the vocabulary have all that its QEMU has.

mod compare;
mod report;
mod schema;
