//! The part of `query-qmp-schema`'s answer that describes events.

use std::collections::HashMap;

use serde::Deserialize;

/// Everything a QEMU says about itself, by the names of its types (numbers, mostly).
pub(super) struct Schema {
    entities: HashMap<String, Entity>,
}

/// One entry of the answer. Which members are there depends on `meta`; unknown ones are passed
/// over.
#[derive(Deserialize)]
pub(super) struct Entity {
    pub(super) name: String,
    #[serde(rename = "meta-type")]
    meta: String,
    #[serde(rename = "arg-type")]
    arg_type: Option<String>,
    #[serde(rename = "json-type")]
    json_type: Option<String>,
    /// Of an object, or since QEMU 6.2 of an enum.
    #[serde(default)]
    members: Vec<Member>,
    /// Of an enum, before and since 6.2.
    #[serde(default)]
    values: Vec<String>,
    tag: Option<String>,
    #[serde(default)]
    variants: Vec<Variant>,
}

/// A member of an object. Alternates have members without a name, enums without a type.
#[derive(Deserialize)]
pub(super) struct Member {
    #[serde(default)]
    pub(super) name: String,
    #[serde(rename = "type", default)]
    pub(super) type_name: String,
    /// There, with whatever value, when the member is optional.
    #[serde(default, deserialize_with = "present")]
    pub(super) default: bool,
}

/// What an object has besides, when its tag has this value.
#[derive(Deserialize)]
pub(super) struct Variant {
    pub(super) case: String,
    #[serde(rename = "type")]
    pub(super) type_name: String,
}

/// A type, as far as events use it.
#[derive(Clone, Copy)]
pub(super) enum Shape<'s> {
    /// A type of JSON's: `string`, `int`, `number`, `boolean`, `value` (any).
    Builtin(&'s str),
    Enum(&'s Entity),
    /// With or without variants.
    Object(&'s Entity),
    /// A list or an alternate; no event that we know has one.
    Other(&'s str),
}

impl Schema {
    /// Reads the answer of `query-qmp-schema`.
    pub(super) fn read(answer: &str) -> Result<Self, serde_json::Error> {
        let list: Vec<Entity> = serde_json::from_str(answer)?;
        let entities = list.into_iter().map(|entity| (key(&entity), entity));
        Ok(Self {
            entities: entities.collect(),
        })
    }

    /// The events, by name.
    pub(super) fn events(&self) -> Vec<&Entity> {
        let all = self.entities.values();
        let mut events: Vec<_> = all.filter(|entity| entity.meta == "event").collect();
        events.sort_by_key(|event| &event.name);
        events
    }

    /// The event of this name.
    pub(super) fn event(&self, name: &str) -> Option<&Entity> {
        let entity = self.entities.get(&format!("event {name}"))?;
        (entity.meta == "event").then_some(entity)
    }

    /// The object that an event has as its data; empty for an event without data.
    pub(super) fn data<'s>(&'s self, event: &Entity) -> Option<&'s Entity> {
        self.object(event.arg_type.as_deref()?)
    }

    /// The object of this name.
    pub(super) fn object(&self, name: &str) -> Option<&Entity> {
        match self.shape(name) {
            Some(Shape::Object(entity)) => Some(entity),
            _ => None,
        }
    }

    /// The type of this name.
    pub(super) fn shape(&self, name: &str) -> Option<Shape<'_>> {
        let entity = self.entities.get(name)?;
        Some(match entity.meta.as_str() {
            "builtin" => Shape::Builtin(entity.json_type.as_deref().unwrap_or("value")),
            "enum" => Shape::Enum(entity),
            "object" => Shape::Object(entity),
            other => Shape::Other(other),
        })
    }
}

impl Entity {
    /// Members of an object.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Words of an enum.
    pub(super) fn words(&self) -> Vec<&str> {
        if self.values.is_empty() {
            return self.members.iter().map(|m| m.name.as_str()).collect();
        }
        self.values.iter().map(String::as_str).collect()
    }

    /// The member that tells the variants of an object apart.
    pub(super) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// What an object has besides, by the value of its tag.
    pub(super) fn variants(&self) -> &[Variant] {
        &self.variants
    }
}

/// Events and commands are in the same list as types; a type could have their name.
fn key(entity: &Entity) -> String {
    match entity.meta.as_str() {
        meta @ ("event" | "command") => format!("{meta} {}", entity.name),
        _ => entity.name.clone(),
    }
}

/// True for any value, `null` too; `#[serde(default)]` makes an absent member false.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer)?;
    Ok(true)
}
