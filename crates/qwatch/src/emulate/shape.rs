//! An event in the shape a given release gave it.

use qmp_events::facts::{MemberFacts, TypeFacts};
use qmp_events::{Message, Version};
use qmp_protocol::monitor::{Object, Parser, Value, compact};

/// Prints a message without the members that this release does not have; without `data` if none is left.
pub fn shaped(message: &Message<'_>, version: Version) -> String {
    let line = message.encode();
    let Some(kind) = message.event.kind() else {
        return line;
    };
    let facts = kind.facts();
    let too_new = |member: &MemberFacts| member.since.is_some_and(|since| since > version);
    if !any_member(facts.members, &too_new) {
        return line;
    }
    let Some(Ok(Value::Object(whole))) = Parser::default().next(&mut line.as_bytes()) else {
        return line;
    };
    let mut result = Object::new();
    for (name, value) in whole.iter() {
        match value {
            Value::Object(data) if name == "data" => {
                let kept = trim(data, facts.members, version);
                if !kept.is_empty() {
                    result = result.with("data", kept);
                }
            }
            _ => result = result.with(name, value.clone()),
        }
    }
    compact(&result.into())
}

/// The members this release has, in the order of its schema, which decides about the printed order.
fn trim(object: &Object, members: &[MemberFacts], version: Version) -> Object {
    let mut result = Object::new();
    for member in members {
        let Some(value) = object.get(member.name) else {
            continue;
        };
        if member.since.is_some_and(|since| since > version) {
            continue;
        }
        result = match (value, member.ty) {
            (Value::Object(inner), TypeFacts::Object(facts)) => {
                result.with(member.name, trim(inner, facts.members, version))
            }
            _ => result.with(member.name, value.clone()),
        };
    }
    for (name, value) in object.iter() {
        if members.iter().all(|member| member.name != name) {
            result = result.with(name, value.clone());
        }
    }
    result
}

/// Whether `wanted` holds for any member, nested ones included.
fn any_member(members: &[MemberFacts], wanted: &impl Fn(&MemberFacts) -> bool) -> bool {
    members.iter().any(|member| {
        wanted(member)
            || match member.ty {
                TypeFacts::Object(facts) => any_member(facts.members, wanted),
                _ => false,
            }
    })
}

#[cfg(test)]
mod tests {
    use qmp_events::Timestamp;
    use qmp_events::vocabulary::{Reset, ShutdownCause, VncConnected};

    use super::*;

    fn at(message: &Message<'_>, major: u16, minor: u16) -> String {
        shaped(message, Version::new(major, minor))
    }

    #[test]
    fn a_reset_grew_members_over_the_years() {
        let reset = Reset {
            guest: Some(true),
            reason: Some(ShutdownCause::GuestReset),
            ..Reset::default()
        };
        let message = Message::new(
            Timestamp {
                seconds: 1,
                microseconds: 2,
            },
            reset,
        );
        let head = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESET""#;
        assert_eq!(at(&message, 2, 6), format!("{head}}}"));
        assert_eq!(
            at(&message, 2, 10),
            format!("{head}, \"data\": {{\"guest\": true}}}}")
        );
        assert_eq!(at(&message, 7, 2), message.encode());
    }

    #[test]
    fn nested_members_are_looked_at_too() {
        let mut connected = VncConnected::default();
        connected.server.websocket = Some(false);
        connected.client.websocket = Some(false);
        let message = Message::new(Timestamp::UNKNOWN, connected);
        assert!(!at(&message, 2, 2).contains("websocket"));
        assert_eq!(at(&message, 2, 3), message.encode());
    }
}
