//! What a QEMU's own schema and the vocabulary have that the other lacks.

use qmp_events::facts::{EnumFacts, EventFacts, MemberFacts, TypeFacts, UnionFacts};
use qmp_events::{EventKind, Version};

use super::schema::{Entity, Schema, Shape};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) event: String,
    /// Path of the member in dots from `data` down; `None` for the event itself.
    pub(super) member: Option<String>,
    /// The value of an enum or of a union's tag; `None` for the member itself.
    pub(super) value: Option<String>,
    pub(super) kind: Kind,
}

/// What kind of difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// QEMU has it, the vocabulary does not.
    Lacking,
    /// Both have it, and the vocabulary could not read what QEMU may send.
    Differs(String),
    /// The vocabulary has it, this QEMU does not; why.
    Absent(Why),
}

/// Why a QEMU may not have what the vocabulary has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A later release brought it.
    Since(Version),
    /// A release took it away.
    Removed(Version),
    /// Nothing about releases: built without the feature, for another target, or an old value that
    /// went.
    NotInThisBuild,
}

impl Difference {
    /// Whether the vocabulary must grow.
    pub(super) fn is_lack(&self) -> bool {
        !matches!(self.kind, Kind::Absent(_))
    }
}

/// Compares the schema of a QEMU of this release with the whole vocabulary: first what the
/// vocabulary lacks, then what the QEMU does not have, each by event.
pub(super) fn compare(schema: &Schema, version: Version) -> Vec<Difference> {
    let mut found = Vec::new();
    for event in schema.events() {
        if EventKind::from_name(&event.name).is_none() {
            found.push(Difference {
                event: event.name.clone(),
                member: None,
                value: None,
                kind: Kind::Lacking,
            });
        }
    }
    for kind in EventKind::ALL {
        let facts = kind.facts();
        let mut walk = Walk {
            schema,
            version,
            event: facts.name,
            found: &mut found,
        };
        match schema.event(facts.name) {
            Some(event) => walk.event(facts, event),
            None => walk.absent("", None, event_absent(facts, version)),
        }
    }
    found.sort_by_key(|difference| !difference.is_lack());
    found
}

fn event_absent(facts: &EventFacts, version: Version) -> Why {
    match facts.removed {
        Some(removed) if removed <= version => Why::Removed(removed),
        _ => since(Some(facts.since), version),
    }
}

fn since(since: Option<Version>, version: Version) -> Why {
    match since {
        Some(since) if since > version => Why::Since(since),
        _ => Why::NotInThisBuild,
    }
}

/// The walk through the data of one event, down both sides at once.
struct Walk<'w> {
    schema: &'w Schema,
    version: Version,
    event: &'static str,
    found: &'w mut Vec<Difference>,
}

impl Walk<'_> {
    fn event(&mut self, facts: &EventFacts, event: &Entity) {
        match self.schema.data(event) {
            Some(data) => self.members("", facts.members, data, None),
            None => {
                for member in facts.members {
                    self.member_absent("", member);
                }
            }
        }
    }

    /// `tag` is the member of a union that the vocabulary does not list among the members.
    fn members(&mut self, path: &str, known: &[MemberFacts], object: &Entity, tag: Option<&str>) {
        for member in known {
            let theirs = object.members().iter().find(|m| m.name == member.name);
            let Some(theirs) = theirs else {
                self.member_absent(path, member);
                continue;
            };
            let path = join(path, member.name);
            if theirs.default && !member.optional && member.since.is_none() {
                self.differs(&path, "optional there, always expected here".to_owned());
            }
            self.value(&path, member.ty, &theirs.type_name);
        }
        for theirs in object.members() {
            let name = theirs.name.as_str();
            if Some(name) != tag && !known.iter().any(|member| member.name == name) {
                self.push(&join(path, name), None, Kind::Lacking);
            }
        }
        if tag.is_none() && !object.variants().is_empty() {
            self.differs(path, "has variants there, none here".to_owned());
        }
    }

    fn value(&mut self, path: &str, ty: TypeFacts, theirs: &str) {
        match (ty, self.schema.shape(theirs)) {
            (TypeFacts::Any, _)
            | (TypeFacts::Bool, Some(Shape::Builtin("boolean")))
            | (TypeFacts::Int | TypeFacts::Uint(_), Some(Shape::Builtin("int")))
            | (TypeFacts::Str, Some(Shape::Builtin("string"))) => {}
            (TypeFacts::Enum(facts), Some(Shape::Enum(words))) => self.words(path, facts, words),
            (TypeFacts::Object(facts), Some(Shape::Object(object))) => {
                self.members(path, facts.members, object, None);
            }
            (TypeFacts::Union(facts), Some(Shape::Object(object))) => {
                self.union(path, facts, object);
            }
            (_, theirs) => {
                let theirs = match theirs {
                    Some(Shape::Builtin(name) | Shape::Other(name)) => name,
                    Some(Shape::Enum(_)) => "an enum",
                    Some(Shape::Object(_)) => "an object",
                    None => "nothing known",
                };
                self.differs(path, format!("{theirs} there, {} here", ty.name()));
            }
        }
    }

    fn words(&mut self, path: &str, facts: &EnumFacts, theirs: &Entity) {
        let theirs = theirs.words();
        for word in &theirs {
            if !facts.values.iter().any(|value| value.name == *word) {
                self.push(path, Some(word), Kind::Lacking);
            }
        }
        for value in facts
            .values
            .iter()
            .filter(|value| !theirs.contains(&value.name))
        {
            self.absent(path, Some(value.name), since(value.since, self.version));
        }
    }

    fn union(&mut self, path: &str, facts: &UnionFacts, theirs: &Entity) {
        if theirs.tag() != Some(facts.tag) {
            self.differs(path, format!("no union by `{}` there", facts.tag));
            return;
        }
        let tag = join(path, facts.tag);
        for variant in theirs.variants() {
            if !facts
                .branches
                .iter()
                .any(|branch| branch.name == variant.case)
            {
                self.push(&tag, Some(&variant.case), Kind::Lacking);
            }
        }
        for branch in facts.branches {
            let theirs = theirs.variants().iter().find(|v| v.case == branch.name);
            match theirs.map(|variant| self.schema.object(&variant.type_name)) {
                Some(Some(object)) => self.members(path, branch.object.members, object, None),
                Some(None) => self.differs(&tag, format!("`{}` is no object there", branch.name)),
                None => self.absent(&tag, Some(branch.name), since(branch.since, self.version)),
            }
        }
        self.members(path, &[], theirs, Some(facts.tag));
    }

    fn member_absent(&mut self, path: &str, member: &MemberFacts) {
        let path = join(path, member.name);
        match since(member.since, self.version) {
            Why::NotInThisBuild if !member.optional && member.since.is_none() => {
                self.differs(&path, "missing there, always expected here".to_owned());
            }
            why => self.absent(&path, None, why),
        }
    }

    fn absent(&mut self, path: &str, value: Option<&str>, why: Why) {
        self.push(path, value, Kind::Absent(why));
    }

    fn differs(&mut self, path: &str, how: String) {
        self.push(path, None, Kind::Differs(how));
    }

    fn push(&mut self, path: &str, value: Option<&str>, kind: Kind) {
        self.found.push(Difference {
            event: self.event.to_owned(),
            member: (!path.is_empty()).then(|| path.to_owned()),
            value: value.map(str::to_owned),
            kind,
        });
    }
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small QEMU: three events, each with something of its own.
    const SCHEMA: &str = r#"[
        {"name": "STOP", "meta-type": "event", "arg-type": "0"},
        {"name": "0", "meta-type": "object", "members": []},
        {"name": "NEW_EVENT", "meta-type": "event", "arg-type": "0"},
        {"name": "WATCHDOG", "meta-type": "event", "arg-type": "1"},
        {"name": "1", "meta-type": "object", "members": [
            {"name": "action", "type": "2"}, {"name": "colour", "type": "str", "default": null}]},
        {"name": "2", "meta-type": "enum", "values": ["reset", "explode"], "members": [
            {"name": "reset"}, {"name": "explode"}]},
        {"name": "GUEST_PANICKED", "meta-type": "event", "arg-type": "3"},
        {"name": "3", "meta-type": "object", "members": [
            {"name": "action", "type": "str"}, {"name": "info", "type": "4", "default": null}]},
        {"name": "4", "meta-type": "object", "tag": "type",
            "members": [{"name": "type", "type": "5"}],
            "variants": [{"case": "s390", "type": "6"}, {"case": "riscv", "type": "0"}]},
        {"name": "5", "meta-type": "enum", "values": ["s390", "riscv"]},
        {"name": "6", "meta-type": "object", "members": [
            {"name": "core", "type": "int"}, {"name": "psw-mask", "type": "int"},
            {"name": "psw-addr", "type": "int", "default": null}]},
        {"name": "str", "meta-type": "builtin", "json-type": "string"},
        {"name": "int", "meta-type": "builtin", "json-type": "int"},
        {"name": "STOP", "meta-type": "command", "arg-type": "0", "ret-type": "0"}
    ]"#;

    fn found(version: &str) -> Vec<String> {
        let schema = Schema::read(SCHEMA).expect("a schema");
        let version = version.parse().expect("a version");
        compare(&schema, version)
            .iter()
            .map(|d| format!("{d}"))
            .collect()
    }

    #[test]
    fn what_the_vocabulary_lacks_comes_first() {
        let found = found("10.0");
        let lacks: Vec<_> = found.iter().map(String::as_str).take(8).collect();
        insta::assert_snapshot!(lacks.join("\n"), @r"
        NEW_EVENT: not in the vocabulary
        GUEST_PANICKED.action: string there, GuestPanicAction here
        GUEST_PANICKED.info.type = riscv: not in the vocabulary
        GUEST_PANICKED.info.psw-addr: optional there, always expected here
        GUEST_PANICKED.info.reason: missing there, always expected here
        WATCHDOG.action = explode: not in the vocabulary
        WATCHDOG.colour: not in the vocabulary
        ACPI_DEVICE_OST: not in this build
        ");
    }

    #[test]
    fn what_this_qemu_lacks_is_explained() {
        let found = found("4.0");
        for expected in [
            "NETDEV_VHOST_USER_CONNECTED: since 10.0",
            "COMMAND_DROPPED: removed in 4.0",
            "RESUME: not in this build",
            "WATCHDOG.action = inject-nmi: not in this build",
            "GUEST_PANICKED.info.type = tdx: since 10.1",
        ] {
            assert!(
                found.iter().any(|text| text == expected),
                "{expected}\n{found:#?}"
            );
        }
    }
}
