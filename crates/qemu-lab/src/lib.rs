//! Real QEMUs for tests: starts them, plays their guests, cleans up.
