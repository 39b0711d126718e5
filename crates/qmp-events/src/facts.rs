//! What is known about each event, at run time: the vocabulary as data.

use std::time::Duration;

use crate::Version;

/// How long QEMU holds back further events of a rate-limited kind, in every release.
pub const LIMIT_PERIOD: Duration = Duration::from_secs(1);

/// Everything known about one event.
#[derive(Clone, Copy, Debug)]
pub struct EventFacts {
    /// The name on the wire.
    pub name: &'static str,
    /// What happened, what it means, what usually follows.
    pub doc: Doc,
    /// First release of QEMU that sends it.
    pub since: Version,
    /// First release of QEMU that no longer has it.
    pub removed: Option<Version>,
    /// QEMU marks it `unstable`: it may change or vanish without notice.
    pub unstable: bool,
    /// For the 35 events of QEMU's event document of 2016: what that document says wrongly or
    /// leaves out about it, empty if nothing. `None` for events it does not have.
    pub seed: Option<&'static str>,
    /// Rate limits by release, ascending; each holds until the next.
    pub limits: &'static [LimitSince],
    /// Sent once, then silent until this command is executed again.
    pub latch: Option<&'static str>,
    /// Members of `data`, in the order of QEMU's schema.
    pub members: &'static [MemberFacts],
}

impl EventFacts {
    /// The rate limit this release of QEMU applies, if any.
    pub fn limit_at(&self, version: Version) -> Option<&'static LimitSince> {
        self.limits
            .iter()
            .rev()
            .find(|limit| limit.since <= version)
    }

    /// Whether this release of QEMU has the event.
    pub fn exists_in(&self, version: Version) -> bool {
        self.since <= version && self.removed.is_none_or(|removed| version < removed)
    }
}

/// At most one event a second ([`LIMIT_PERIOD`]) for the same key, from a release on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSince {
    /// First release with this rule.
    pub since: Version,
    /// The member whose value is the key; `None`: all events of the kind share one slot.
    pub key: Option<&'static str>,
    /// Events in which this member has this value are not limited.
    pub except: Option<(&'static str, &'static str)>,
}

/// One member of an object.
#[derive(Clone, Copy, Debug)]
pub struct MemberFacts {
    /// The name on the wire.
    pub name: &'static str,
    /// What it says, with units.
    pub doc: Doc,
    /// Its type.
    pub ty: TypeFacts,
    /// The schema calls it optional.
    pub optional: bool,
    /// First release that has it, if later than the event's first schema; absent before.
    pub since: Option<Version>,
}

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub enum TypeFacts {
    /// `true` or `false`.
    Bool,
    /// A whole number of 64 bits with sign.
    Int,
    /// A whole number of this many bits without sign.
    Uint(u8),
    /// Text.
    Str,
    /// Any JSON value.
    Any,
    /// One of some words; more may come.
    Enum(&'static EnumFacts),
    /// An object.
    Object(&'static ObjectFacts),
    /// An object whose further members depend on one of them.
    Union(&'static UnionFacts),
}

impl TypeFacts {
    /// A short name for people: `string`, `int64`, the name of the enum.
    pub fn name(&self) -> String {
        match self {
            Self::Bool => "bool".into(),
            Self::Int => "int64".into(),
            Self::Uint(bits) => format!("uint{bits}"),
            Self::Str => "string".into(),
            Self::Any => "any".into(),
            Self::Enum(facts) => facts.name.into(),
            Self::Object(facts) => facts.name.into(),
            Self::Union(facts) => facts.name.into(),
        }
    }
}

/// An enum; open, as later releases add values.
#[derive(Clone, Copy, Debug)]
pub struct EnumFacts {
    /// The name in the vocabulary.
    pub name: &'static str,
    /// What the values are about.
    pub doc: Doc,
    /// The values.
    pub values: &'static [ValueFacts],
}

/// One value of an enum.
#[derive(Clone, Copy, Debug)]
pub struct ValueFacts {
    /// The word on the wire.
    pub name: &'static str,
    /// What it means.
    pub doc: Doc,
    /// First release that has it, if later than the enum.
    pub since: Option<Version>,
}

/// A nested object.
#[derive(Clone, Copy, Debug)]
pub struct ObjectFacts {
    /// The name in the vocabulary.
    pub name: &'static str,
    /// What it holds.
    pub doc: Doc,
    /// Its members.
    pub members: &'static [MemberFacts],
}

/// An object of several shapes, told apart by one member that stands beside the others.
#[derive(Clone, Copy, Debug)]
pub struct UnionFacts {
    /// The name in the vocabulary.
    pub name: &'static str,
    /// What it holds.
    pub doc: Doc,
    /// The member that tells the shape.
    pub tag: &'static str,
    /// The shapes.
    pub branches: &'static [BranchFacts],
}

/// One shape of a union.
#[derive(Clone, Copy, Debug)]
pub struct BranchFacts {
    /// The tag's value.
    pub name: &'static str,
    /// When it comes.
    pub doc: Doc,
    /// First release that has it, if later than the union.
    pub since: Option<Version>,
    /// The members beside the tag.
    pub object: &'static ObjectFacts,
}

/// A text of the vocabulary, written as documentation comments.
#[derive(Clone, Copy, Debug)]
pub struct Doc(pub(crate) &'static [&'static str]);

impl Doc {
    /// The first paragraph, on one line.
    pub fn summary(&self) -> String {
        let first = self.0.iter().map(|line| line.trim());
        first
            .take_while(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The paragraphs, each on one line.
    pub fn paragraphs(&self) -> Vec<String> {
        self.0
            .split(|line| line.trim().is_empty())
            .filter(|lines| !lines.is_empty())
            .map(|lines| {
                lines
                    .iter()
                    .map(|line| line.trim())
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect()
    }
}
