//! Answers of queries in a `state` record, read leniently: what is not as expected is not there.

use serde_json::Value;

/// The elements of a list; none of anything else.
pub(super) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A member that is text, and not empty.
pub(super) fn text<'v>(value: &'v Value, member: &str) -> Option<&'v str> {
    value.get(member)?.as_str().filter(|text| !text.is_empty())
}

/// A member that is a number and not negative.
pub(super) fn number(value: &Value, member: &str) -> Option<u64> {
    value.get(member)?.as_u64()
}

/// A member that is true or false.
pub(super) fn truth(value: &Value, member: &str) -> Option<bool> {
    value.get(member)?.as_bool()
}
