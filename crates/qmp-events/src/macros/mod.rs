//! The macros that make Rust of the vocabulary: `event!`, `object!`, `open_enum!`, `union!`, and
//! `catalogue!`, which gathers the events.
//!
//! The lists under `vocabulary/` are the only place where an event is written down; types, reading,
//! writing and [facts](crate::facts) all come from there. `macro_rules!`, so that the list is Rust
//! and its comments are documentation, with no build step.

#[macro_use]
mod field;
#[macro_use]
mod object;
#[macro_use]
mod open_enum;
#[macro_use]
mod union;
#[macro_use]
mod event;
#[macro_use]
mod catalogue;
