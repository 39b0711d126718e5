//! The facts of an event as JSON.

use qmp_events::facts::{BranchFacts, EnumFacts, EventFacts, LimitSince, MemberFacts, TypeFacts};
use serde_json::{Map, Value, json};

use super::seen::{Seen, seen};

/// One object on one line, with its line end.
pub(super) fn line(facts: &EventFacts) -> String {
    let mut object = object([
        ("event", json!(facts.name)),
        ("summary", json!(facts.doc.summary())),
        ("doc", json!(facts.doc.paragraphs())),
        ("since", json!(facts.since.to_string())),
        ("unstable", json!(facts.unstable)),
        ("limits", facts.limits.iter().map(limit).collect()),
        ("members", facts.members.iter().map(member).collect()),
    ]);
    put(&mut object, "removed", facts.removed.map(|v| v.to_string()));
    put(&mut object, "latch", facts.latch);
    put(&mut object, "seed", facts.seed);
    match seen(facts.name) {
        Seen::By(recipes) => {
            let recipes = recipes.into_iter();
            let recipe = |(name, versions): (&str, &str)| {
                let versions: Vec<&str> = versions.split(", ").collect();
                json!({"recipe": name, "versions": versions})
            };
            object.insert("seen".to_owned(), recipes.map(recipe).collect());
        }
        Seen::Not(why) => put(&mut object, "unseen", Some(why)),
    }
    format!("{}\n", Value::Object(object))
}

fn limit(limit: &LimitSince) -> Value {
    let mut object = object([
        ("since", json!(limit.since.to_string())),
        (
            "period_ms",
            json!(qmp_events::facts::LIMIT_PERIOD.as_millis()),
        ),
    ]);
    put(&mut object, "key", limit.key);
    if let Some((member, value)) = limit.except {
        object.insert(
            "except".to_owned(),
            json!({"member": member, "value": value}),
        );
    }
    Value::Object(object)
}

fn member(facts: &MemberFacts) -> Value {
    let mut object = object([
        ("name", json!(facts.name)),
        ("type", json!(facts.ty.name())),
        ("optional", json!(facts.optional)),
        ("doc", json!(facts.doc.paragraphs())),
    ]);
    put(&mut object, "since", facts.since.map(|v| v.to_string()));
    match facts.ty {
        TypeFacts::Enum(known) => {
            object.insert("values".to_owned(), values(known));
        }
        TypeFacts::Object(inner) => {
            object.insert(
                "members".to_owned(),
                inner.members.iter().map(member).collect(),
            );
        }
        TypeFacts::Union(union) => {
            object.insert("tag".to_owned(), json!(union.tag));
            object.insert(
                "branches".to_owned(),
                union.branches.iter().map(branch).collect(),
            );
        }
        TypeFacts::Bool | TypeFacts::Int | TypeFacts::Uint(_) | TypeFacts::Str | TypeFacts::Any => {
        }
    }
    Value::Object(object)
}

fn branch(facts: &BranchFacts) -> Value {
    let mut object = object([
        ("value", json!(facts.name)),
        ("doc", json!(facts.doc.paragraphs())),
        ("members", facts.object.members.iter().map(member).collect()),
    ]);
    put(&mut object, "since", facts.since.map(|v| v.to_string()));
    Value::Object(object)
}

fn values(facts: &EnumFacts) -> Value {
    let value = |facts: &qmp_events::facts::ValueFacts| {
        let mut object = object([
            ("value", json!(facts.name)),
            ("doc", json!(facts.doc.paragraphs())),
        ]);
        put(&mut object, "since", facts.since.map(|v| v.to_string()));
        Value::Object(object)
    };
    facts.values.iter().map(value).collect()
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    let members = members.into_iter();
    members
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// A member that is left out when there is nothing to say.
fn put(object: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value.into());
    }
}
