//! The arguments of a command, read as QEMU reads them: same checks, same complaints.

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

    /// An array of texts that may be there.
    ///
    /// # Errors
    /// It is no array, or one of its elements is no text.
    pub fn optional_strings(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Vec<&'a str>>, CommandError> {
        let Some(elements) = self.take(name, "array", Value::as_array)? else {
            return Ok(None);
        };
        let texts = elements.iter().enumerate().map(|(index, element)| {
            let text = element.as_str();
            text.ok_or_else(|| wrong_type(&format!("{name}[{index}]"), "string"))
        });
        texts.collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// There must be no others than those taken.
    ///
    /// # Errors
    /// There is another.
    pub fn finish(self) -> Result<(), CommandError> {
        let names = in_hash_order(self.object).into_iter().map(|(name, _)| name);
        let mut others = names.filter(|name| !self.taken.contains(name));
        match others.next() {
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

fn wrong_type(name: &str, expected: &str) -> CommandError {
    generic(format!(
        "Invalid parameter type for '{name}', expected: {expected}"
    ))
}
