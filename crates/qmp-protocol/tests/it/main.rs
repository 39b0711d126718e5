//! Tests of the crate through its public interface.

mod monitor_conversations;
mod monitor_limiter;
mod monitor_session;
