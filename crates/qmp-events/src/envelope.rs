//! The outside of an event: its name, its stamp, and where its data is.

use std::fmt;

use crate::{
    Extra, Str, Timestamp,
    json::{Problem, ReadError, Reader},
    layout,
    wire::fill,
};

/// An event whose data is left as text: all that is needed to keep, count and route it.
///
/// ```
/// use qmp_events::Envelope;
///
/// let line = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RTC_CHANGE", "data": {"offset": 78}}"#;
/// let envelope = Envelope::read(line)?;
/// assert_eq!(envelope.name, "RTC_CHANGE");
/// assert_eq!(envelope.data, Some(r#"{"offset": 78}"#));
/// # Ok::<(), qmp_events::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<'a> {
    /// QEMU's stamp; `None` only if the sender is no QEMU and left it out.
    pub timestamp: Option<Timestamp>,
    /// The name on the wire.
    pub name: Str<'a>,
    /// The data, one JSON value as sent; `None` when there is none.
    pub data: Option<&'a str>,
}

impl<'a> Envelope<'a> {
    /// Reads one event, checking that all of it is JSON. Members may come in any order; members
    /// other than the three of an event are passed over.
    ///
    /// # Errors
    /// The text is not JSON, or not an event.
    pub fn read(text: &'a str) -> Result<Self, DecodeError> {
        let mut data = None;
        let top = read_top(text, |_, r| {
            data = Some(r.skip()?);
            Ok(())
        })?;
        Ok(Self {
            timestamp: top.timestamp,
            name: top.name,
            data,
        })
    }
}

/// Why a text is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is not JSON.
    NotJson(ReadError),
    /// It is JSON, but no object with a member `event` that is a string.
    NotAnEvent,
    /// A member that an event has once is there twice.
    Twice(&'static str),
}

impl std::error::Error for DecodeError {}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(error) => error.fmt(f),
            Self::NotAnEvent => f.write_str("not an event: no member `event` that is a string"),
            Self::Twice(member) => write!(f, "not an event: member `{member}` is there twice"),
        }
    }
}

impl From<ReadError> for DecodeError {
    fn from(error: ReadError) -> Self {
        match error.problem {
            Problem::Syntax(_) | Problem::End => Self::NotJson(error),
            _ => Self::NotAnEvent,
        }
    }
}

/// The top level of an event but for its data.
pub(crate) struct Top<'a> {
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) name: Str<'a>,
    pub(crate) extra: Extra,
}

/// Reads the top level; `on_data` is called at the data, with the event's name if that has come
/// already (it has, from a QEMU), and must read the value.
pub(crate) fn read_top<'a>(
    text: &'a str,
    mut on_data: impl FnMut(Option<&str>, &mut Reader<'a>) -> Result<(), ReadError>,
) -> Result<Top<'a>, DecodeError> {
    let mut r = Reader::new(text);
    let mut timestamp = None;
    let mut name: Option<Str<'a>> = None;
    let mut extra = Extra::default();
    let mut data_seen = false;
    let mut members = match layout::stamp(text.as_bytes()) {
        Some((stamp, name_at)) => {
            timestamp = Some(stamp);
            let members = r.inside_object(name_at);
            name = Some(r.string()?);
            members
        }
        None => r.object()?,
    };
    while let Some(key) = members.next(&mut r)? {
        match &*key.name() {
            "timestamp" if timestamp.is_some() => return Err(DecodeError::Twice("timestamp")),
            "event" if name.is_some() => return Err(DecodeError::Twice("event")),
            "data" if data_seen => return Err(DecodeError::Twice("data")),
            "timestamp" => {
                let before = r.clone();
                timestamp = read_timestamp(&mut r).ok();
                if timestamp.is_none() {
                    r = before;
                    extra.push(key, r.skip()?);
                }
            }
            "event" => name = Some(r.string()?),
            "data" => {
                data_seen = true;
                on_data(name.as_deref(), &mut r)?;
            }
            _ => extra.push(key, r.skip()?),
        }
    }
    r.end()?;
    let name = name.ok_or(DecodeError::NotAnEvent)?;
    Ok(Top {
        timestamp,
        name,
        extra,
    })
}

/// A stamp of exactly two whole numbers; anything else is left to the caller to keep.
fn read_timestamp(r: &mut Reader<'_>) -> Result<Timestamp, ReadError> {
    let (mut seconds, mut microseconds) = (None, None);
    let mut members = r.object()?;
    while let Some(key) = members.next(r)? {
        match &*key.name() {
            "seconds" => fill(&mut seconds, "seconds", r)?,
            "microseconds" => fill(&mut microseconds, "microseconds", r)?,
            _ => return r.wrong("a timestamp of two members"),
        }
    }
    match (seconds, microseconds) {
        (Some(seconds), Some(microseconds)) => Ok(Timestamp {
            seconds,
            microseconds,
        }),
        _ => r.wrong("a timestamp of two members"),
    }
}
