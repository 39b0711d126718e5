//! What the vocabulary does not know is kept, never refused.

use std::borrow::Cow;

use crate::json::{self, Key};

/// Members outside the vocabulary, in the order they came, each with its value as JSON text.
///
/// Later releases of QEMU and downstream builds add members; they survive decoding and encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra(Option<Box<ExtraMembers>>);

/// Boxed once more by [`Extra`], so that an event without strangers pays one word for them.
type ExtraMembers = Vec<(Box<str>, RawJson)>;

impl Extra {
    /// True if every member was known.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The members: name and value.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, &RawJson)> {
        self.members().map(|(key, value)| (key.name(), value))
    }

    /// The value of the member of this name, if there is one.
    pub fn member(&self, name: &str) -> Option<&RawJson> {
        self.iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (Key<'_>, &RawJson)> {
        let members = self.0.as_deref().map_or(&[][..], Vec::as_slice);
        members
            .iter()
            .map(|(literal, value)| (Key::from_literal(literal), value))
    }

    pub(crate) fn push(&mut self, key: Key<'_>, raw: &str) {
        self.0
            .get_or_insert_default()
            .push((key.literal().into(), RawJson(raw.into())));
    }
}

/// A JSON value as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawJson(Box<str>);

impl RawJson {
    /// Takes a text that is one JSON value.
    ///
    /// # Errors
    /// It is not.
    pub fn new(text: &str) -> Result<Self, json::ReadError> {
        let mut reader = json::Reader::new(text);
        let raw = reader.skip()?;
        reader.end()?;
        Ok(Self(raw.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Of a span the reader has checked.
    pub(crate) fn checked(span: &str) -> Self {
        Self(span.into())
    }
}

/// `null`.
impl Default for RawJson {
    fn default() -> Self {
        Self("null".into())
    }
}
