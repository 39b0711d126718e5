//! Tests of the monitor over real sockets, as a plain client sees it.

mod client;
mod commands;
mod connections;
mod embedding;
mod events;
