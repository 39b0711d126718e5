//! The tests of qwatch from outside, in one binary; one module a concern.

mod adopt;
mod book;
mod command;
mod decode;
mod demo;
mod disk;
mod emulate;
mod emulator;
mod faults;
// Events of any shape are made up in one place; here a part of that is enough.
#[expect(dead_code)]
#[path = "../../../qmp-events/tests/it/generate.rs"]
mod generate;
mod help;
mod journal;
mod journal_tools;
#[expect(dead_code)]
#[path = "../../../qmp-events/tests/it/json.rs"]
mod json;
mod matrix;
mod packaging;
mod peers;
mod promises;
mod real;
mod record;
mod record_real;
mod recorder;
mod retention;
mod screen;
mod service;
mod storm;
mod supervisor;
mod support;
mod survival;
mod top;
mod wait;
mod watch;
mod why;
