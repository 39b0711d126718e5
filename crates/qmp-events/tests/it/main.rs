//! Everything the vocabulary promises, checked from outside the crate.

mod book;
mod captured;
mod generate;
mod json;
mod properties;
mod robust;
mod seed;
mod unknown;
