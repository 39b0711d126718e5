//! Events and shapes outside the vocabulary, kept whole.

use crate::{
    Extra, RawJson, Str,
    json::{self, ReadError, Reader},
    message::Outside,
    wire::{Members, Object, Wire as _, strangers},
};

/// An event that is not in the vocabulary, or whose data is not in the shape the vocabulary knows.
#[derive(Clone, Debug, PartialEq)]
pub struct UnknownEvent<'a> {
    /// The name on the wire.
    pub name: Str<'a>,
    /// The data, any JSON value; `None` when there is none.
    pub data: Option<RawJson>,
    /// For an event whose name is known: what in its data is not as the vocabulary knows it.
    pub mismatch: Option<ReadError>,
}

impl UnknownEvent<'_> {
    pub(crate) fn into_owned(self) -> UnknownEvent<'static> {
        UnknownEvent {
            name: self.name.into_owned().into(),
            data: self.data,
            mismatch: self.mismatch,
        }
    }

    pub(crate) fn write(&self, out: &mut String) {
        match &self.data {
            Some(data) => data.write(out),
            None => out.push_str("{}"),
        }
    }

    pub(crate) fn outside(&self, found: &mut Vec<Outside>) {
        found.push(match self.mismatch {
            Some(mismatch) => Outside::Shape(mismatch),
            None => Outside::Event(self.name.as_ref().into()),
        });
    }
}

/// A shape of a union that the vocabulary does not have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnknownBranch {
    /// What the member that tells the shape says.
    pub tag: Box<str>,
    /// The members beside it.
    pub extra: Extra,
}

impl<'a> Object<'a> for UnknownBranch {
    fn read_beside(r: &mut Reader<'a>, tag: Option<&str>) -> Result<Self, ReadError> {
        let mut branch = Self::default();
        let mut members = r.object()?;
        while let Some(key) = members.next(r)? {
            let raw = r.skip()?;
            if tag != Some(&*key.name()) {
                branch.extra.push(key, raw);
            }
        }
        Ok(branch)
    }

    fn write_beside(&self, out: &mut String, tag: Option<(&str, &str)>) {
        let none = Members {
            names: &[],
            order: &[],
            writers: &[],
        };
        none.write(self, &self.extra, tag, out);
    }
}

impl UnknownBranch {
    pub(crate) fn outside(&self, tag: &str, path: &str, found: &mut Vec<Outside>) {
        found.push(Outside::Value {
            member: crate::wire::join(path, tag),
            value: self.tag.clone(),
        });
        strangers(&self.extra, path, found);
    }
}

/// Prints strangers at the top level of a message where QEMU would have.
pub(crate) fn merge_top_level(extra: &Extra, mut known: Vec<(&str, String)>, out: &mut String) {
    let mut strangers: Vec<_> = extra.members().collect();
    strangers.sort_by_key(|(key, _)| json::bucket(&key.name()));
    let mut strangers = strangers.into_iter().peekable();
    let mut w = json::ObjectWriter::new(out);
    known.sort_by_key(|(name, _)| json::bucket(name));
    for (name, value) in known {
        while let Some((key, raw)) =
            strangers.next_if(|(key, _)| json::bucket(&key.name()) <= json::bucket(name))
        {
            raw.write(w.literal_member(key.literal()));
        }
        w.member(name).push_str(&value);
    }
    for (key, raw) in strangers {
        raw.write(w.literal_member(key.literal()));
    }
    w.end();
}
