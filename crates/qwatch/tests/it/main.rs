//! The tests of qwatch from outside, in one binary; one module a concern.

mod adopt;
mod book;
mod command;
mod decode;
mod demo;
mod emulate;
mod emulator;
mod faults;
mod help;
mod journal;
mod journal_tools;
mod matrix;
mod packaging;
mod peers;
mod real;
mod record;
mod record_real;
mod recorder;
mod retention;
mod screen;
mod service;
mod supervisor;
mod support;
mod top;
mod wait;
mod watch;
