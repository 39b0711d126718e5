//! The flight recorder for QEMU virtual machines.

pub mod attach;
pub mod cli;
pub mod config;
pub mod demo;
pub mod emulate;
pub mod exchange;
pub mod filter;
pub mod journal;
pub mod limits;
pub mod machine;
pub mod output;
pub mod record;
pub mod service;
pub mod states;
pub mod time;
