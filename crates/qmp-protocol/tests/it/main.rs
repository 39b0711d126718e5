//! Tests of the crate through its public interface.

mod client_session;
mod framing;
mod fuzzing;
mod monitor_conversations;
mod monitor_fuzz;
mod monitor_limiter;
mod monitor_session;
