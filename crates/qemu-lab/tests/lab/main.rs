//! The lab on real QEMUs.

mod machine;
