//! What a message of the server is.

use qmp_events::layout;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::CommandError;
use crate::greeting::Greeting;

/// A message from a QMP server, told apart by its top-level keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage<'a> {
    /// The first message of a connection.
    Greeting(Greeting),
    /// An event, the whole object as sent; `qmp_events` reads it.
    Event(&'a str),
    /// The answer to a command, or to something that was none.
    Reply(Reply<'a>),
    /// A JSON object that is none of these, or no JSON object at all.
    Other,
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The command's `id` as raw JSON; `None` if it had none, or could not be read at all.
    pub id: Option<&'a str>,
    /// What the command returned, as raw JSON, or its error.
    pub result: Result<&'a str, CommandError>,
}

impl<'a> ServerMessage<'a> {
    /// Tells what one message is. Never fails: what is not known is [`ServerMessage::Other`].
    ///
    /// ```
    /// use qmp_protocol::ServerMessage;
    ///
    /// let ServerMessage::Reply(reply) = ServerMessage::classify(r#"{"return": {}, "id": 7}"#)
    /// else { panic!() };
    /// assert_eq!((reply.id, reply.result), (Some("7"), Ok("{}")));
    /// ```
    pub fn classify(text: &'a str) -> Self {
        if layout::stamp(text.as_bytes()).is_some() {
            return Self::Event(text);
        }
        match serde_json::from_str::<TopLevel<'a>>(text) {
            Ok(top) => top.classify(text),
            Err(_) => Self::Other,
        }
    }
}

/// The keys that tell messages apart.
#[derive(Deserialize)]
struct TopLevel<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    event: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present", rename = "QMP")]
    qmp: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present", rename = "return")]
    returned: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
}

impl<'a> TopLevel<'a> {
    fn classify(self, text: &'a str) -> ServerMessage<'a> {
        if self.event.is_some_and(|name| name.get().starts_with('"')) {
            return ServerMessage::Event(text);
        }
        if let Some(greeting) = self.qmp.and_then(|raw| Greeting::read(raw.get())) {
            return ServerMessage::Greeting(greeting);
        }
        let result = match (self.returned, self.error) {
            (Some(value), _) => Ok(value.get()),
            (None, Some(error)) => Err(CommandError::read(error.get())),
            (None, None) => return ServerMessage::Other,
        };
        ServerMessage::Reply(Reply {
            id: self.id.map(RawValue::get),
            result,
        })
    }
}

/// A member that is there, even if it is `null`.
fn present<'de, D: Deserializer<'de>>(input: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(input).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorClass;

    const STOP: &str = concat!(
        r#"{"timestamp": {"seconds": 1267020223, "microseconds": 435656}, "#,
        r#""event": "STOP"}"#
    );

    #[test]
    fn events_in_any_layout() {
        let no_clock = r#"{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "STOP"}"#;
        let layouts = [
            STOP,
            no_clock,
            r#"{"event":"STOP","timestamp":{"seconds":1,"microseconds":2}}"#,
            "{\r\n    \"data\": {\"return\": 1},\r\n    \"event\": \"X\"\r\n}",
            r#"{"event": "STOP", "return": {}}"#,
        ];
        for text in layouts {
            assert_eq!(ServerMessage::classify(text), ServerMessage::Event(text));
        }
    }

    #[test]
    fn replies_with_every_sort_of_id() {
        for id in [
            "7",
            "null",
            "\"a\\u0020b\"",
            "{\"a\": [1, 2]}",
            "18446744073709551616",
        ] {
            let text = format!("{{\"return\": [1, {{}}], \"id\": {id}}}");
            let ServerMessage::Reply(reply) = ServerMessage::classify(&text) else {
                panic!("{text}")
            };
            assert_eq!((reply.id, reply.result), (Some(id), Ok("[1, {}]")));
        }
    }

    #[test]
    fn errors_are_typed_by_class() {
        let text = r#"{"error": {"class": "CommandNotFound", "desc": "The command x has not been found"}}"#;
        let ServerMessage::Reply(reply) = ServerMessage::classify(text) else {
            panic!()
        };
        let error = reply.result.unwrap_err();
        assert_eq!(reply.id, None);
        assert_eq!(error.class, ErrorClass::CommandNotFound);
        assert_eq!(
            error.to_string(),
            "The command x has not been found (CommandNotFound)"
        );
    }

    #[test]
    fn what_is_not_known_is_other() {
        let texts = [
            "{}",
            "[]",
            "",
            "{",
            r#"{"event": 7}"#,
            r#"{"QMP": 7}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": 7}"#,
            r#"{"execute": "stop"}"#,
        ];
        for text in texts {
            assert_eq!(
                ServerMessage::classify(text),
                ServerMessage::Other,
                "{text}"
            );
        }
    }

    #[test]
    fn a_null_return_is_a_return() {
        let text = r#"{"return": null, "id": 3}"#;
        let ServerMessage::Reply(reply) = ServerMessage::classify(text) else {
            panic!()
        };
        assert_eq!(reply.result, Ok("null"));
    }
}
