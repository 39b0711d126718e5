//! Events made up from the facts: every member of every event, present or not, with values of its
//! type, known and unknown; and whatever a later or downstream QEMU might add.

use std::collections::BTreeMap;

use proptest::{char::range, collection::vec, option, prelude::*, sample::select};
use qmp_events::{
    EventKind, Outside,
    facts::{MemberFacts, TypeFacts},
};

use crate::json::Json;

/// A message of this kind, in the order in which QEMU adds the members.
pub(crate) fn message(kind: EventKind) -> BoxedStrategy<Json> {
    let top = ["event", "timestamp", "data"];
    (
        timestamp(),
        object(kind.facts().members, None),
        strangers(top.into()),
    )
        .prop_map(move |(timestamp, data, strangers)| {
            let mut members = vec![
                ("event".into(), Json::Text(kind.name().into())),
                ("timestamp".into(), timestamp),
            ];
            if !data.members().is_empty() {
                members.push(("data".into(), data));
            }
            members.extend(strangers);
            Json::Object(members)
        })
        .boxed()
}

/// A message of any kind.
pub(crate) fn any_message() -> BoxedStrategy<Json> {
    select(EventKind::ALL).prop_flat_map(message).boxed()
}

/// What of a generated message is outside the vocabulary, worked out from the facts alone.
pub(crate) fn expected_outside(kind: EventKind, message: &Json) -> Vec<Outside> {
    let mut found = Vec::new();
    for (name, value) in message.members() {
        match name.as_str() {
            "event" | "timestamp" => {}
            "data" => outside_object(value, kind.facts().members, "", &mut found),
            _ => found.push(Outside::Member(format!(".{name}"))),
        }
    }
    found
}

fn outside_object(object: &Json, known: &[MemberFacts], path: &str, found: &mut Vec<Outside>) {
    for (name, value) in object.members() {
        let here = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        match known.iter().find(|member| member.name == name) {
            Some(member) => outside_value(value, &member.ty, &here, found),
            None => found.push(Outside::Member(here)),
        }
    }
}

fn outside_value(value: &Json, ty: &TypeFacts, path: &str, found: &mut Vec<Outside>) {
    let unknown = |member: String, word: &Json| Outside::Value {
        member,
        value: word.text().into(),
    };
    match ty {
        TypeFacts::Enum(facts) if facts.values.iter().any(|v| v.name == value.text()) => {}
        TypeFacts::Enum(_) => found.push(unknown(path.into(), value)),
        TypeFacts::Object(facts) => outside_object(value, facts.members, path, found),
        TypeFacts::Union(facts) => {
            let tag = value.member(facts.tag).expect("every union has its tag");
            let beside = value.members().iter().cloned();
            let beside = Json::Object(beside.filter(|(name, _)| name != facts.tag).collect());
            match facts.branches.iter().find(|known| known.name == tag.text()) {
                Some(branch) => outside_object(&beside, branch.object.members, path, found),
                None => {
                    found.push(unknown(format!("{path}.{}", facts.tag), tag));
                    outside_object(&beside, &[], path, found);
                }
            }
        }
        _ => {}
    }
}

fn timestamp() -> BoxedStrategy<Json> {
    let numbers = prop_oneof![
        4 => (0..i64::from(u32::MAX), 0..1_000_000_i64),
        1 => Just((-1, -1)),
        1 => (integer(), integer()),
    ];
    numbers
        .prop_map(|(seconds, microseconds)| {
            Json::Object(vec![
                ("seconds".into(), Json::Scalar(seconds.to_string())),
                (
                    "microseconds".into(),
                    Json::Scalar(microseconds.to_string()),
                ),
            ])
        })
        .boxed()
}

/// An object of these members, the tag of a union first.
fn object(
    known: &'static [MemberFacts],
    tag: Option<(&'static str, BoxedStrategy<String>)>,
) -> BoxedStrategy<Json> {
    let mut names: Vec<_> = known.iter().map(|member| member.name).collect();
    let mut members = Vec::new();
    if let Some((name, value)) = tag {
        names.push(name);
        members.push(
            value
                .prop_map(move |value| Some((name.to_owned(), Json::Text(value))))
                .boxed(),
        );
    }
    for member in known {
        let named = value(member.ty).prop_map(move |value| (member.name.to_owned(), value));
        members.push(if member.optional || member.since.is_some() {
            option::of(named).boxed()
        } else {
            named.prop_map(Some).boxed()
        });
    }
    (members, strangers(names))
        .prop_map(|(known, strangers)| {
            Json::Object(known.into_iter().flatten().chain(strangers).collect())
        })
        .boxed()
}

fn value(ty: TypeFacts) -> BoxedStrategy<Json> {
    let scalar = |literal: String| Json::Scalar(literal);
    match ty {
        TypeFacts::Bool => any::<bool>()
            .prop_map(move |b| scalar(b.to_string()))
            .boxed(),
        TypeFacts::Int => integer().prop_map(move |i| scalar(i.to_string())).boxed(),
        TypeFacts::Uint(bits) => {
            let max = u64::MAX >> (64 - u32::from(bits));
            let beyond_f64 = 1_u64 << 53;
            prop_oneof![0..=max, Just(0), Just(max), Just((beyond_f64 + 1).min(max))]
                .prop_map(move |u| scalar(u.to_string()))
                .boxed()
        }
        TypeFacts::Str => text().prop_map(Json::Text).boxed(),
        TypeFacts::Any => anything(),
        TypeFacts::Enum(facts) => {
            let known: Vec<_> = facts
                .values
                .iter()
                .map(|value| value.name.to_owned())
                .collect();
            prop_oneof![3 => select(known), 1 => text()]
                .prop_map(Json::Text)
                .boxed()
        }
        TypeFacts::Object(facts) => object(facts.members, None),
        TypeFacts::Union(facts) => {
            let known: Vec<_> = facts.branches.iter().map(|branch| branch.name).collect();
            let is_new = move |tag: &String| !known.contains(&tag.as_str());
            let new = text().prop_filter("a new shape", is_new).boxed();
            let mut shapes = vec![object(&[], Some((facts.tag, new)))];
            for branch in facts.branches {
                let tag = Just(branch.name.to_owned()).boxed();
                shapes.push(object(branch.object.members, Some((facts.tag, tag))));
            }
            proptest::strategy::Union::new(shapes).boxed()
        }
    }
}

/// Members that the vocabulary does not have; mostly none.
fn strangers(known: Vec<&'static str>) -> BoxedStrategy<Vec<(String, Json)>> {
    let name = prop_oneof![
        "[a-z][a-z0-9-]{0,12}",
        "__[a-z]{2,3}\\.[a-z]{2,8}_[a-z]{1,8}",
        text()
    ];
    let members = (name, anything());
    prop_oneof![
        3 => Just(Vec::new()),
        1 => vec(members, 1..4),
    ]
    .prop_map(move |members| {
        let members: BTreeMap<_, _> = members
            .into_iter()
            .filter(|(name, _)| !known.contains(&name.as_str()))
            .collect();
        members.into_iter().collect()
    })
    .boxed()
}

/// Any JSON value.
fn anything() -> BoxedStrategy<Json> {
    let fixed = [
        "null",
        "true",
        "false",
        "-0",
        "0.1",
        "-1.5e300",
        "1E+2",
        "18446744073709551616",
    ];
    let leaf = prop_oneof![
        select(fixed.to_vec()).prop_map(|literal| Json::Scalar(literal.into())),
        any::<u64>().prop_map(|number| Json::Scalar(number.to_string())),
        integer().prop_map(|number| Json::Scalar(number.to_string())),
        text().prop_map(Json::Text),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::Array),
            proptest::collection::btree_map(text(), inner, 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
    .boxed()
}

fn integer() -> BoxedStrategy<i64> {
    prop_oneof![any::<i64>(), -5..5_i64, Just(i64::MIN), Just(i64::MAX)].boxed()
}

/// Text with all that is hard about it: quotes, controls, surrogate pairs, noncharacters.
pub(crate) fn text() -> BoxedStrategy<String> {
    let hard = prop_oneof![
        range('\0', '\u{1f}'),
        range('\u{7f}', '\u{a0}'),
        range('\u{10000}', '\u{10ffff}'),
        select(vec![
            '"', '\\', '/', '\u{7f}', '\u{2028}', '\u{feff}', '\u{ffff}', 'é'
        ]),
    ];
    prop_oneof![
        4 => "[ -~]{0,16}",
        1 => vec(any::<char>(), 0..8).prop_map(String::from_iter),
        1 => vec(hard, 0..8).prop_map(String::from_iter),
    ]
    .boxed()
}
