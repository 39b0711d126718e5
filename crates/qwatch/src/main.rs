//! The `qwatch` program.

fn main() {}
