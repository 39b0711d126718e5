//! The answer to `query-qmp-schema`: a monitor's own description of its commands and events.
//!
//! Shaped as QEMU's: one list of commands, events and the types they use. Names of types other than JSON's
//! own are numbers, so that nobody builds on them. What a command returns is not declared by embedders
//! and is called `any`.

use std::collections::HashMap;

use qmp_events::facts::{MemberFacts, TypeFacts, UnionFacts};
use qmp_events::{EventKind, Version};
use qmp_protocol::monitor::{Object, Value};

use crate::commands::{ArgumentKind, CommandInfo};

/// Describes these commands, and the events of a release.
pub(crate) fn describe(version: Version, commands: &[CommandInfo]) -> Value {
    let mut schema = Schema {
        version,
        commands_and_events: Vec::new(),
        types: Vec::new(),
        numbers: HashMap::new(),
        builtins: Vec::new(),
    };
    for command in commands {
        schema.command(command);
    }
    let facts = EventKind::ALL.iter().map(|kind| kind.facts());
    for event in facts.filter(|event| event.exists_in(version)) {
        let data = schema.object(&format!("data of {}", event.name), event.members);
        let entity = entity(event.name, "event").with("arg-type", data);
        let unstable = event.unstable && version >= UNSTABLE_SINCE;
        let entity = entity.with_some("features", unstable.then(|| vec!["unstable"]));
        schema.commands_and_events.push(entity.into());
    }
    let mut all = schema.commands_and_events;
    all.extend(schema.types);
    all.extend(schema.builtins.into_iter().map(|(name, json)| {
        let builtin = entity(name, "builtin").with("json-type", json);
        builtin.into()
    }));
    Value::Array(all)
}

/// First release that says `unstable` in its schema; before, names began with `x-`.
const UNSTABLE_SINCE: Version = Version::new(6, 2);

/// First release that lists the values of an enum as members.
const ENUM_MEMBERS_SINCE: Version = Version::new(6, 2);

/// First release that says which commands may be executed out of band.
const ALLOW_OOB_SINCE: Version = Version::new(2, 12);

/// The description being made.
struct Schema {
    version: Version,
    commands_and_events: Vec<Value>,
    types: Vec<Value>,
    /// The number of each type, by what it is called here.
    numbers: HashMap<String, String>,
    /// JSON's own types in use: name and what they are.
    builtins: Vec<(&'static str, &'static str)>,
}

impl Schema {
    fn command(&mut self, command: &CommandInfo) {
        let arguments: Vec<Value> = command
            .arguments
            .iter()
            .map(|argument| {
                let ty = self.argument(&argument.kind);
                member(&argument.name, &ty, argument.optional)
            })
            .collect();
        let key = match arguments.is_empty() {
            true => NO_MEMBERS.to_owned(),
            false => format!("arguments of {}", command.name),
        };
        let arguments = self.define(&key, |_| {
            Object::new()
                .with("meta-type", "object")
                .with("members", arguments)
        });
        let returns = match command.returns_nothing {
            true => self.object("", &[]),
            false => self.builtin("any", "value"),
        };
        let oob = command.oob && self.version >= ALLOW_OOB_SINCE;
        let entity = entity(&command.name, "command")
            .with("arg-type", arguments)
            .with("ret-type", returns)
            .with_some("allow-oob", oob.then_some(true));
        self.commands_and_events.push(entity.into());
    }

    fn argument(&mut self, kind: &ArgumentKind) -> String {
        match kind {
            ArgumentKind::String => self.builtin("str", "string"),
            ArgumentKind::Int => self.builtin("int", "int"),
            ArgumentKind::Number => self.builtin("number", "number"),
            ArgumentKind::Bool => self.builtin("bool", "boolean"),
            ArgumentKind::Any => self.builtin("any", "value"),
            ArgumentKind::Words(words) => {
                let element = self.words(&format!("{words:?}"), words.iter().map(String::as_str));
                let key = format!("[{element}]");
                if let Some(number) = self.numbers.get(&key) {
                    return number.clone();
                }
                // As in QEMU, a list is called by its element, in brackets.
                let list = entity(&key, "array").with("element-type", element);
                self.types.push(list.into());
                self.numbers.insert(key.clone(), key.clone());
                key
            }
        }
    }

    fn ty(&mut self, ty: TypeFacts) -> String {
        match ty {
            TypeFacts::Bool => self.builtin("bool", "boolean"),
            TypeFacts::Int | TypeFacts::Uint(_) => self.builtin("int", "int"),
            TypeFacts::Str => self.builtin("str", "string"),
            TypeFacts::Any => self.builtin("any", "value"),
            TypeFacts::Enum(facts) => {
                let version = self.version;
                let values = facts.values.iter();
                let values =
                    values.filter(|value| value.since.is_none_or(|since| since <= version));
                self.words(facts.name, values.map(|value| value.name))
            }
            TypeFacts::Object(facts) => self.object(facts.name, facts.members),
            TypeFacts::Union(facts) => self.union(facts),
        }
    }

    fn words<'w>(&mut self, key: &str, words: impl Iterator<Item = &'w str>) -> String {
        let words: Vec<&str> = words.collect();
        let members = (self.version >= ENUM_MEMBERS_SINCE).then(|| {
            let named = words.iter().map(|word| Object::new().with("name", *word));
            named.collect::<Vec<Object>>()
        });
        self.define(key, |_| {
            Object::new()
                .with("meta-type", "enum")
                .with_some("members", members)
                .with("values", words)
        })
    }

    /// The members this release has.
    fn object(&mut self, key: &str, members: &[MemberFacts]) -> String {
        let version = self.version;
        let mut members = members
            .iter()
            .filter(|member| member.since.is_none_or(|since| since <= version))
            .peekable();
        let key = members.peek().map_or(NO_MEMBERS, |_| key);
        self.define(key, |schema| {
            let members = members.map(|facts| {
                let ty = schema.ty(facts.ty);
                member(facts.name, &ty, facts.optional)
            });
            let members: Vec<Value> = members.collect();
            Object::new()
                .with("meta-type", "object")
                .with("members", members)
        })
    }

    fn union(&mut self, facts: &'static UnionFacts) -> String {
        let version = self.version;
        let branches = facts.branches.iter();
        let branches = branches.filter(move |it| it.since.is_none_or(|since| since <= version));
        self.define(facts.name, |schema| {
            let words = branches.clone().map(|branch| branch.name);
            let tag = schema.words(&format!("tag of {}", facts.name), words);
            let variants: Vec<Object> = branches
                .map(|branch| {
                    let ty = schema.object(branch.object.name, branch.object.members);
                    Object::new().with("case", branch.name).with("type", ty)
                })
                .collect();
            Object::new()
                .with("meta-type", "object")
                .with("members", vec![member(facts.tag, &tag, false)])
                .with("tag", facts.tag)
                .with("variants", variants)
        })
    }

    fn builtin(&mut self, name: &'static str, json: &'static str) -> String {
        if self.builtins.iter().all(|(known, _)| *known != name) {
            self.builtins.push((name, json));
        }
        name.to_owned()
    }

    /// The number of a type; one that is new is described by `make`.
    fn define(&mut self, key: &str, make: impl FnOnce(&mut Self) -> Object) -> String {
        if let Some(number) = self.numbers.get(key) {
            return number.clone();
        }
        let number = self.numbers.len().to_string();
        self.numbers.insert(key.to_owned(), number.clone());
        let described = make(self).with("name", number.as_str());
        self.types.push(described.into());
        number
    }
}

/// What the type of an object without members is called here.
const NO_MEMBERS: &str = "nothing";

fn entity(name: &str, meta: &str) -> Object {
    Object::new().with("name", name).with("meta-type", meta)
}

/// A member that has a `default` may be left out.
fn member(name: &str, ty: &str, optional: bool) -> Value {
    Object::new()
        .with("name", name)
        .with_some("default", optional.then_some(Value::Null))
        .with("type", ty)
        .into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn text<'v>(entity: &'v Value, name: &str) -> Option<&'v str> {
        entity.as_object()?.get(name)?.as_str()
    }

    fn described(version: &str) -> Vec<Value> {
        let commands = [
            CommandInfo::new("stop").without_return(),
            CommandInfo::new("migrate-pause").with_oob(),
            CommandInfo::new("device_del").with_argument("id", ArgumentKind::String),
            CommandInfo::new("x").with_optional("y", ArgumentKind::Words(vec!["oob".to_owned()])),
        ];
        match describe(version.parse().expect("a version"), &commands) {
            Value::Array(all) => all,
            other => panic!("{other:?}"),
        }
    }

    /// Every type that is named is there, and none is there twice.
    #[test]
    fn the_description_is_whole() {
        for version in ["2.6", "6.1", "7.2", "11.1"] {
            let all = described(version);
            let mut names = HashSet::new();
            for entity in &all {
                let name = text(entity, "name").expect("a name");
                assert!(names.insert(name), "{version}: {name} twice");
            }
            let mut named = Vec::new();
            for entity in &all {
                for place in ["arg-type", "ret-type", "element-type"] {
                    named.extend(text(entity, place));
                }
                for list in ["members", "variants"] {
                    let members = entity.as_object().and_then(|it| it.get(list)?.as_array());
                    named.extend(
                        members
                            .unwrap_or(&[])
                            .iter()
                            .filter_map(|it| text(it, "type")),
                    );
                }
            }
            assert!(named.len() > 100);
            for name in named {
                assert!(names.contains(name), "{version}: {name} is missing");
            }
        }
    }

    #[test]
    fn commands_are_described_as_declared() {
        let all = described("7.2");
        let find = |name: &str| {
            let found = all.iter().find(|it| text(it, "name") == Some(name));
            found.and_then(Value::as_object).expect(name)
        };
        let pause = find("migrate-pause");
        assert_eq!(pause.get("allow-oob"), Some(&Value::Bool(true)));
        assert_eq!(find("stop").get("ret-type"), find("stop").get("arg-type"));
        let id = find("device_del").get("arg-type").and_then(Value::as_str);
        let id = find(id.expect("a type")).get("members").cloned();
        let member = Object::new().with("name", "id").with("type", "str");
        assert_eq!(id, Some(vec![member].into()));
        let y = find("x").get("arg-type").and_then(Value::as_str);
        let y = format!("{:?}", find(y.expect("a type")).get("members"));
        assert!(y.contains("default") && y.contains("\"["), "{y}");
        let old = described("2.6");
        assert!(!format!("{old:?}").contains("allow-oob"));
    }
}
