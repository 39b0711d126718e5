//! JSON as a monitor holds it: what a client sent, and what is answered.

use std::collections::HashSet;

/// A JSON value with QEMU's kinds of numbers.
///
/// Not `serde_json::Value`, for two reasons a client can see: QEMU keeps three kinds of numbers (and
/// prints `1e400` back as `inf`), and the printed order of members depends on the order in which they
/// were added.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that a signed 64-bit integer holds.
    Int(i64),
    /// A whole number above `i64::MAX`.
    Uint(u64),
    /// Any other number: with a point or an exponent, or too large for the integers.
    Float(f64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
}

/// A JSON object; remembers the order in which its members were added.
#[derive(Clone, Debug, Default)]
pub struct Object {
    members: Vec<(String, Value)>,
    /// Names of `members`, kept only once there are many: guards against quadratic work.
    names: Option<HashSet<String>>,
}

/// Up to this many members a look-up walks the list, beyond it adding a member asks a set.
const WALKED_MEMBERS_MAX: usize = 32;

impl Value {
    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if this is a whole number within `i64`.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Uint(number) => i64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The truth, if this is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The elements, if this is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members, if this is an object.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }
}

impl Object {
    /// An object without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member and returns the object: `Object::new().with("running", true)`.
    ///
    /// Add members in the order of QEMU's schema: of two names that share a hash bucket QEMU prints the
    /// one added last first (`micro` before `minor`).
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a member if there is a value: optional members of a schema.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a member. One of the same name keeps its place and gets the new value.
    pub fn insert(&mut self, name: String, value: Value) {
        if self.contains(&name) {
            if let Some(member) = self.members.iter_mut().find(|(known, _)| *known == name) {
                member.1 = value;
            }
            return;
        }
        if let Some(names) = &mut self.names {
            names.insert(name.clone());
        }
        self.members.push((name, value));
        if self.names.is_none() && self.members.len() > WALKED_MEMBERS_MAX {
            self.names = Some(self.members.iter().map(|(name, _)| name.clone()).collect());
        }
    }

    /// Is there a member of this name?
    pub fn contains(&self, name: &str) -> bool {
        match &self.names {
            Some(names) => names.contains(name),
            None => self.members.iter().any(|(known, _)| known == name),
        }
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let (_, value) = self.members.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// The members in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.members
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True without members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

/// Equal if the members are, whatever their order.
impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .all(|(name, value)| other.get(name) == Some(value))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        match i64::try_from(number) {
            Ok(number) => Self::Int(number),
            Err(_) => Self::Uint(number),
        }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(elements: Vec<T>) -> Self {
        Self::Array(elements.into_iter().map(Into::into).collect())
    }
}

/// The members count as added in the order `serde_json` keeps them.
impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(truth) => Self::Bool(truth),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Self::Int(number),
                (None, Some(number)) => Self::Uint(number),
                (None, None) => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Self::String(text),
            serde_json::Value::Array(elements) => {
                Self::Array(elements.into_iter().map(Self::from).collect())
            }
            serde_json::Value::Object(members) => {
                let mut object = Object::new();
                for (name, value) in members {
                    object.insert(name, Self::from(value));
                }
                Self::Object(object)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_members_are_found_and_not_doubled() {
        let mut object = Object::new();
        for n in 0..1000_i64 {
            object.insert(format!("m{n}"), Value::Int(n));
        }
        object.insert("m500".to_owned(), Value::Int(-1));
        assert_eq!(object.len(), 1000);
        assert_eq!(object.get("m500"), Some(&Value::Int(-1)));
        assert!(object.contains("m999") && !object.contains("m1000"));
    }

    #[test]
    fn objects_are_equal_in_any_order() {
        let one = Object::new().with("a", 1_i64).with("b", "x");
        let other = Object::new().with("b", "x").with("a", 1_i64);
        assert_eq!(one, other);
        assert_ne!(one, Object::new().with("a", 1_i64));
    }

    #[test]
    fn numbers_of_serde_json_keep_their_kind() {
        let value = Value::from(serde_json::json!([1, 18_446_744_073_709_551_615_u64, 1.5]));
        let expected = vec![Value::Int(1), Value::Uint(u64::MAX), Value::Float(1.5)];
        assert_eq!(value, Value::Array(expected));
    }
}
