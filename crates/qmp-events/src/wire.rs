//! How the types of the vocabulary are read and written.

use std::borrow::Cow;

use crate::{
    Extra, RawJson, Str,
    facts::TypeFacts,
    json::{self, Problem, ReadError, Reader},
    message::Outside,
};

/// A type that a member of an event may have.
pub(crate) trait Wire<'a>: Sized {
    const TYPE: TypeFacts;

    /// The same with nothing borrowed.
    type Owned: 'static;

    fn read(r: &mut Reader<'a>) -> Result<Self, ReadError>;
    fn write(&self, out: &mut String);
    fn into_owned(self) -> Self::Owned;

    /// Reports what in it is outside the vocabulary; `path` leads to it.
    fn outside(&self, _path: &str, _found: &mut Vec<Outside>) {}
}

macro_rules! plain_wire {
    ($($ty:ty: $facts:expr, $read:expr;)*) => { $(
        impl<'a> Wire<'a> for $ty {
            const TYPE: TypeFacts = $facts;
            type Owned = Self;

            fn read(r: &mut Reader<'a>) -> Result<Self, ReadError> {
                $read(r)
            }

            fn write(&self, out: &mut String) {
                use std::fmt::Write as _;
                write!(out, "{self}").expect("a String takes everything");
            }

            fn into_owned(self) -> Self {
                self
            }
        }
    )* };
}

plain_wire! {
    bool: TypeFacts::Bool, Reader::bool;
    i64: TypeFacts::Int, Reader::i64;
    u64: TypeFacts::Uint(64), Reader::u64;
    u32: TypeFacts::Uint(32), |r| narrow(r, "32 bits without sign");
    u16: TypeFacts::Uint(16), |r| narrow(r, "16 bits without sign");
}

fn narrow<T: TryFrom<u64>>(r: &mut Reader<'_>, bits: &'static str) -> Result<T, ReadError> {
    let value = r.u64()?;
    T::try_from(value).map_err(|_| ReadError {
        offset: r.offset(),
        member: None,
        problem: Problem::Range(bits),
    })
}

impl<'a> Wire<'a> for Str<'a> {
    const TYPE: TypeFacts = TypeFacts::Str;
    type Owned = Str<'static>;

    fn read(r: &mut Reader<'a>) -> Result<Self, ReadError> {
        r.string()
    }

    fn write(&self, out: &mut String) {
        json::write_string(out, self);
    }

    fn into_owned(self) -> Str<'static> {
        Cow::Owned(self.into_owned())
    }
}

impl<'a> Wire<'a> for RawJson {
    const TYPE: TypeFacts = TypeFacts::Any;
    type Owned = Self;

    fn read(r: &mut Reader<'a>) -> Result<Self, ReadError> {
        r.skip().map(RawJson::checked)
    }

    fn write(&self, out: &mut String) {
        out.push_str(&json::compact(self.as_str()));
    }

    fn into_owned(self) -> Self {
        self
    }
}

/// An object of the vocabulary: what the macros make of a list of members.
pub(crate) trait Object<'a>: Sized {
    /// Reads the object; `tag` is a member to pass over, read before by the union around it.
    fn read_beside(r: &mut Reader<'a>, tag: Option<&str>) -> Result<Self, ReadError>;

    /// Writes the object, with the union's tag (name and value) among its members.
    fn write_beside(&self, out: &mut String, tag: Option<(&str, &str)>);
}

/// Writes one known member, if it is there.
pub(crate) type WriteMember<T> = fn(&T, &mut json::ObjectWriter<'_>);

/// What an object is written from.
pub(crate) struct Members<'t, T> {
    /// Names in the order of the schema.
    pub(crate) names: &'static [&'static str],
    /// Indices into `names` in QEMU's order.
    pub(crate) order: &'static [usize],
    /// How to write each, by index.
    pub(crate) writers: &'t [WriteMember<T>],
}

impl<T> Members<'_, T> {
    pub(crate) fn write(
        &self,
        object: &T,
        extra: &Extra,
        tag: Option<(&str, &str)>,
        out: &mut String,
    ) {
        let mut w = json::ObjectWriter::new(out);
        if extra.is_empty() && tag.is_none() {
            for &index in self.order {
                self.writers[index](object, &mut w);
            }
        } else {
            self.write_merged(object, extra, tag, &mut w);
        }
        w.end();
    }

    /// Puts strangers where QEMU would have printed them: in their buckets, before the known
    /// members of the same bucket, as QEMU adds new members last and prints them first.
    fn write_merged(
        &self,
        object: &T,
        extra: &Extra,
        tag: Option<(&str, &str)>,
        w: &mut json::ObjectWriter<'_>,
    ) {
        enum Entry<'e> {
            Extra(json::Key<'e>, &'e RawJson),
            Known(usize),
            Tag(&'e str, &'e str),
        }
        let mut entries = Vec::new();
        for (key, value) in extra.members() {
            entries.push((json::bucket(&key.name()), Entry::Extra(key, value)));
        }
        for &index in self.order {
            entries.push((json::bucket(self.names[index]), Entry::Known(index)));
        }
        if let Some((name, value)) = tag {
            entries.push((json::bucket(name), Entry::Tag(name, value)));
        }
        entries.sort_by_key(|(bucket, _)| *bucket);
        for (_, entry) in entries {
            match entry {
                Entry::Extra(key, value) => value.write(w.literal_member(key.literal())),
                Entry::Known(index) => self.writers[index](object, w),
                Entry::Tag(name, value) => json::write_string(w.member(name), value),
            }
        }
    }
}

/// Reads a member's value into its slot.
pub(crate) fn fill<'a, T: Wire<'a>>(
    slot: &mut Option<T>,
    member: &'static str,
    r: &mut Reader<'a>,
) -> Result<(), ReadError> {
    let in_member = |error: ReadError| ReadError {
        member: error.member.or(Some(member)),
        ..error
    };
    if slot.is_some() {
        return Err(in_member(ReadError {
            offset: r.offset(),
            member: None,
            problem: Problem::Duplicate,
        }));
    }
    *slot = Some(T::read(r).map_err(in_member)?);
    Ok(())
}

/// A member that every QEMU sends.
pub(crate) fn required<T>(
    slot: Option<T>,
    member: &'static str,
    r: &Reader<'_>,
) -> Result<T, ReadError> {
    slot.ok_or(ReadError {
        offset: r.offset(),
        member: Some(member),
        problem: Problem::Missing,
    })
}

/// Reports the strangers of one object.
pub(crate) fn strangers(extra: &Extra, path: &str, found: &mut Vec<Outside>) {
    for (name, _) in extra.iter() {
        found.push(Outside::Member(join(path, &name)));
    }
}

/// `path.name`.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// Giving up what is borrowed.
pub(crate) trait Own {
    type Owned: 'static;

    fn own(self) -> Self::Owned;
}

/// Looks ahead for the member that tells the shape of a union.
pub(crate) fn find_tag<'a>(mut r: Reader<'a>, tag: &'static str) -> Result<Str<'a>, ReadError> {
    let mut found = None;
    let mut members = r.object()?;
    while let Some(key) = members.next(&mut r)? {
        if key.name() == tag {
            fill(&mut found, tag, &mut r)?;
        } else {
            r.skip()?;
        }
    }
    required(found, tag, &r)
}
