//! A QMP command as a user writes it.

use serde_json::{Map, Value};
use thiserror::Error;

/// A command and its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QmpCommand {
    pub(crate) name: String,
    pub(crate) arguments: Map<String, Value>,
    /// To be executed out of band, before what waits.
    pub(crate) oob: bool,
}

/// Why a text is no command.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CommandTextError {
    #[error("the command is no JSON: {0}")]
    NotJson(String),
    #[error("the command must be a JSON object such as {{\"execute\": \"stop\"}}")]
    NotAnObject,
    #[error("the command has no member `execute` that is a string")]
    NoExecute,
    #[error("the command has a member `{0}`; a command has execute or exec-oob, and arguments")]
    Stranger(String),
    #[error("the arguments are no JSON object: {0}")]
    Arguments(String),
    #[error("`{0}` is no argument: write KEY=VALUE, or one JSON object")]
    NotKeyValue(String),
    #[error("the argument `{0}` is there twice, or is an object and a value at once")]
    Twice(String),
    #[error("a command written as JSON has its arguments inside; leave out `{0}`")]
    ArgumentsTwice(String),
}

impl QmpCommand {
    /// Reads what is on the command line: a name with `KEY=VALUE` words or one JSON object, or the
    /// whole command as JSON.
    ///
    /// A value that is JSON is taken as such (`5`, `true`, `[1]`, `"5"`), anything else as a
    /// string. A key with dots goes into nested objects: `file.driver=nbd`.
    pub(crate) fn from_words(first: &str, rest: &[String]) -> Result<Self, CommandTextError> {
        if first.trim_start().starts_with('{') {
            return match rest.first() {
                None => Self::from_json(first),
                Some(more) => Err(CommandTextError::ArgumentsTwice(more.clone())),
            };
        }
        let arguments = match rest {
            [json] if json.trim_start().starts_with('{') => serde_json::from_str(json)
                .map_err(|error| CommandTextError::Arguments(error.to_string()))?,
            words => key_values(words)?,
        };
        Ok(Self {
            name: first.to_owned(),
            arguments,
            oob: false,
        })
    }

    /// Reads a whole command, `{"execute": NAME, "arguments": {...}}`. An `id` is passed over: the
    /// connection has its own.
    pub(crate) fn from_json(text: &str) -> Result<Self, CommandTextError> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| CommandTextError::NotJson(error.to_string()))?;
        let Value::Object(mut members) = value else {
            return Err(CommandTextError::NotAnObject);
        };
        members.remove("id");
        let arguments = match members.remove("arguments") {
            None => Map::new(),
            Some(Value::Object(arguments)) => arguments,
            Some(other) => return Err(CommandTextError::Arguments(other.to_string())),
        };
        let plain = members.remove("execute");
        let oob = plain.is_none();
        let name = match plain.or_else(|| members.remove("exec-oob")) {
            Some(Value::String(name)) => name,
            _ => return Err(CommandTextError::NoExecute),
        };
        match members.keys().next() {
            Some(stranger) => Err(CommandTextError::Stranger(stranger.clone())),
            None => Ok(Self {
                name,
                arguments,
                oob,
            }),
        }
    }
}

fn key_values(words: &[String]) -> Result<Map<String, Value>, CommandTextError> {
    let mut arguments = Map::new();
    for word in words {
        let (key, value) = word
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| CommandTextError::NotKeyValue(word.clone()))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        let mut place = &mut arguments;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                if place.insert(part.to_owned(), value).is_some() {
                    return Err(CommandTextError::Twice(key.to_owned()));
                }
                break;
            }
            let inner = place
                .entry(part)
                .or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(inner) = inner else {
                return Err(CommandTextError::Twice(key.to_owned()));
            };
            place = inner;
        }
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Result<(String, String, bool), CommandTextError> {
        let rest: Vec<String> = words[1..].iter().map(|&word| word.to_owned()).collect();
        let command = QmpCommand::from_words(words[0], &rest)?;
        let arguments = Value::Object(command.arguments).to_string();
        Ok((command.name, arguments, command.oob))
    }

    #[test]
    fn every_way_to_write_a_command() {
        for (typed, expected) in [
            (vec!["stop"], ("stop", "{}", false)),
            (
                vec!["device_del", "id=net0"],
                ("device_del", r#"{"id":"net0"}"#, false),
            ),
            (
                vec![
                    "x",
                    "n=5",
                    "t=true",
                    "s=\"5\"",
                    "big=18446744073709551615",
                    "e=",
                ],
                (
                    "x",
                    r#"{"big":18446744073709551615,"e":"","n":5,"s":"5","t":true}"#,
                    false,
                ),
            ),
            (
                vec![
                    "blockdev-add",
                    "node-name=d",
                    "file.driver=file",
                    "file.filename=/a=b",
                ],
                (
                    "blockdev-add",
                    r#"{"file":{"driver":"file","filename":"/a=b"},"node-name":"d"}"#,
                    false,
                ),
            ),
            (vec!["x", r#"{"a": [1]}"#], ("x", r#"{"a":[1]}"#, false)),
            (
                vec![r#"{"execute": "cont", "id": 5}"#],
                ("cont", "{}", false),
            ),
            (
                vec![r#" {"exec-oob": "migrate-pause", "arguments": {}}"#],
                ("migrate-pause", "{}", true),
            ),
        ] {
            let (name, arguments, oob) = expected;
            let expected = Ok((name.to_owned(), arguments.to_owned(), oob));
            assert_eq!(words(&typed), expected, "{typed:?}");
        }
    }

    #[test]
    fn what_is_no_command_says_why() {
        for (typed, expected) in [
            (
                vec!["x", "net0"],
                "`net0` is no argument: write KEY=VALUE, or one JSON object",
            ),
            (
                vec!["x", "a=1", "a.b=2"],
                "the argument `a.b` is there twice, or is an object and a value at once",
            ),
            (
                vec!["x", "a=1", "a=2"],
                "the argument `a` is there twice, or is an object and a value at once",
            ),
            (
                vec!["{}"],
                "the command has no member `execute` that is a string",
            ),
            (
                vec![r#"{"execute": "x", "timeout": 5}"#],
                "the command has a member `timeout`; a command has execute or exec-oob, and arguments",
            ),
            (
                vec![r#"{"execute": "x"}"#, "a=1"],
                "a command written as JSON has its arguments inside; leave out `a=1`",
            ),
            (
                vec![r#"{"execute": "x", "arguments": 5}"#],
                "the arguments are no JSON object: 5",
            ),
        ] {
            let error = words(&typed).expect_err(expected).to_string();
            assert_eq!(error, expected);
        }
    }
}
