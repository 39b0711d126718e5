//! The lab on real QEMUs.

mod machine;
mod recipes;
