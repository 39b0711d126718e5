//! Everything the vocabulary promises, checked from outside the crate.

mod captured;
mod generate;
mod json;
mod properties;
mod seed;
