//! The arguments of a command, read as QEMU reads them: same checks, same complaints.

use super::leftover::first_left;
use super::print::in_hash_order;
use super::value::{Object, Value};
use crate::{CommandError, ErrorClass};

/// Reads the arguments of one command: take each argument, then [`Arguments::finish`].
///
/// ```
/// use qmp_protocol::monitor::{Arguments, Object};
///
/// let sent = Object::new().with("id", 5_i64);
/// let mut arguments = Arguments::new(&sent);
/// let error = arguments.string("id").unwrap_err();
/// assert_eq!(error.desc, "Invalid parameter type for 'id', expected: string");
/// ```
#[derive(Debug)]
pub struct Arguments<'a> {
    object: &'a Object,
    taken: Vec<&'static str>,
}

impl<'a> Arguments<'a> {
    /// The arguments as sent.
    pub fn new(object: &'a Object) -> Self {
        let taken = Vec::new();
        Self { object, taken }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// It is missing, or no text.
    pub fn string(&mut self, name: &'static str) -> Result<&'a str, CommandError> {
        self.optional_string(name)?.ok_or_else(|| missing(name))
    }

    /// A text that may be there.
    ///
    /// # Errors
    /// It is no text.
    pub fn optional_string(&mut self, name: &'static str) -> Result<Option<&'a str>, CommandError> {
        self.take(name, "string", Value::as_str)
    }

    /// A truth that must be there.
    ///
    /// # Errors
    /// It is missing, or no boolean.
    pub fn bool(&mut self, name: &'static str) -> Result<bool, CommandError> {
        self.optional_bool(name)?.ok_or_else(|| missing(name))
    }

    /// A truth that may be there.
    ///
    /// # Errors
    /// It is no boolean.
    pub fn optional_bool(&mut self, name: &'static str) -> Result<Option<bool>, CommandError> {
        self.take(name, "boolean", Value::as_bool)
    }

    /// A whole number that must be there.
    ///
    /// # Errors
    /// It is missing, or no whole number of 64 bits.
    pub fn integer(&mut self, name: &'static str) -> Result<i64, CommandError> {
        self.take(name, "integer", Value::as_i64)?
            .ok_or_else(|| missing(name))
    }

    /// An array of words out of a few that may be there.
    ///
    /// # Errors
    /// It is no array, or one of its elements is no text or another word.
    pub fn optional_words(
        &mut self,
        name: &'static str,
        known: &[&str],
    ) -> Result<Option<Vec<&'a str>>, CommandError> {
        let Some(elements) = self.take(name, "array", Value::as_array)? else {
            return Ok(None);
        };
        let words = elements.iter().enumerate().map(|(index, element)| {
            let word = element.as_str();
            let word = word.ok_or_else(|| wrong_type(&format!("{name}[{index}]"), "string"))?;
            match known.contains(&word) {
                true => Ok(word),
                // QEMU knows the elements of an array by no name, and prints that.
                false => Err(unknown_word("null", word)),
            }
        });
        words.collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// A word out of a few that may be there.
    ///
    /// # Errors
    /// It is no text, or another word.
    pub fn optional_word(
        &mut self,
        name: &'static str,
        known: &[&str],
    ) -> Result<Option<&'a str>, CommandError> {
        match self.optional_string(name)? {
            Some(word) if !known.contains(&word) => Err(unknown_word(name, word)),
            word => Ok(word),
        }
    }

    /// There must be no others than those taken.
    ///
    /// # Errors
    /// There is another.
    pub fn finish(self) -> Result<(), CommandError> {
        let names = in_hash_order(self.object).into_iter().map(|(name, _)| name);
        let names: Vec<&str> = names.collect();
        match first_left(&names, &self.taken) {
            Some(name) => Err(generic(format!("Parameter '{name}' is unexpected"))),
            None => Ok(()),
        }
    }

    fn take<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, CommandError> {
        self.taken.push(name);
        match self.object.get(name) {
            None => Ok(None),
            Some(value) => match read(value) {
                Some(value) => Ok(Some(value)),
                None => Err(wrong_type(name, expected)),
            },
        }
    }
}

/// An error of the class `GenericError`.
pub(crate) fn generic(desc: impl Into<String>) -> CommandError {
    CommandError {
        class: ErrorClass::GenericError,
        desc: desc.into(),
    }
}

/// An error of the class `CommandNotFound`.
pub(crate) fn not_found(desc: impl Into<String>) -> CommandError {
    CommandError {
        class: ErrorClass::CommandNotFound,
        desc: desc.into(),
    }
}

fn missing(name: &str) -> CommandError {
    generic(format!("Parameter '{name}' is missing"))
}

fn unknown_word(name: &str, word: &str) -> CommandError {
    generic(format!("Parameter '{name}' does not accept value '{word}'"))
}

fn wrong_type(name: &str, expected: &str) -> CommandError {
    generic(format!(
        "Invalid parameter type for '{name}', expected: {expected}"
    ))
}
