//! The `state` record: what QEMU's read-only queries say right after an attachment.

use std::fmt::Write;

use qmp_client::{Client, ErrorClass, ExecuteError};
use serde_json::json;

use crate::limits::{STATE_ANSWER_MAX_BYTES, STATE_TIMEOUT};

/// What is asked. Never `query-rx-filter`: it arms NIC_RX_FILTER_CHANGED anew, so that asking would change
/// what QEMU's other clients hear.
const QUERIES: [&str; 9] = [
    "query-status",
    "query-block",
    "query-block-jobs",
    "query-jobs",
    "query-migrate",
    "query-balloon",
    "query-vnc",
    "query-spice",
    "query-chardev",
];

/// Asks everything; gives the data of the record, one member a query, or `None` if QEMU has gone.
///
/// What this QEMU does not know, or has no device for, is left out.
pub(super) async fn ask(client: &Client) -> Option<String> {
    let client = client.with_timeout(STATE_TIMEOUT);
    let mut data = String::from("{");
    for query in QUERIES {
        let answer = match client.execute(query, ()).await {
            Ok(answer) if answer.get().len() > STATE_ANSWER_MAX_BYTES => {
                json!({ "omitted_bytes": answer.get().len() }).to_string()
            }
            Ok(answer) => answer.get().to_owned(),
            Err(ExecuteError::Command(error)) => match error.class {
                ErrorClass::CommandNotFound | ErrorClass::DeviceNotActive => continue,
                _ => json!({ "error": error.desc }).to_string(),
            },
            Err(ExecuteError::Closed(_)) => return None,
            Err(error) => json!({ "error": error.to_string() }).to_string(),
        };
        let comma = if data.len() > 1 { ", " } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(data, "{comma}\"{query}\": {answer}");
    }
    data.push('}');
    Some(data)
}
