//! Builds one value out of tokens, without recursion.

use std::mem;

use super::dialect::{Dialect, ParseError};
use super::lexer::Token;
use super::literal::{self, BadString};
use super::value::{Object, Value};

/// What has been read of one message.
#[derive(Debug)]
pub(crate) struct Builder {
    /// Decides which errors there are.
    dialect: Dialect,
    /// The objects and arrays still open, the outermost first.
    open: Vec<Frame>,
    /// The whole value, once it is complete.
    done: Option<Value>,
}

/// An object or array still open, and what may come next in it.
#[derive(Debug)]
enum Frame {
    Array(Vec<Value>, InArray),
    Object(Object, InObject),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InArray {
    /// The first element, or the end.
    First,
    /// An element.
    Element,
    /// A comma, or the end.
    Separator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum InObject {
    /// The first name, or the end.
    First,
    /// A name.
    Name,
    /// The colon behind this name.
    Colon(String),
    /// The value of this name.
    Value(String),
    /// A comma, or the end.
    Separator,
}

impl Builder {
    /// Nothing was read yet.
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            open: Vec::new(),
            done: None,
        }
    }

    /// The value, if it is complete.
    pub(crate) fn finish(self) -> Option<Value> {
        self.done
    }

    /// Takes the next token of the message.
    ///
    /// # Errors
    /// It does not belong there; no further one may be given.
    pub(crate) fn handle_token(&mut self, token: Token) -> Result<(), ParseError> {
        let places = self.dialect.tells_places();
        match self.open.last_mut() {
            None => self.value(token),
            Some(Frame::Array(_, state)) => match (*state, token) {
                (InArray::First | InArray::Separator, Token::ArrayEnd) => self.close(),
                (InArray::Separator, Token::Comma) => {
                    *state = InArray::Element;
                    Ok(())
                }
                (InArray::Separator, _) if places => Err(ParseError::ExpectedInArray),
                (InArray::Separator, _) => Err(ParseError::SeparatorInList),
                (_, token) => self.value(token),
            },
            Some(Frame::Object(_, state)) => match (&*state, token) {
                (InObject::First | InObject::Separator, Token::ObjectEnd) => self.close(),
                (InObject::Separator, Token::Comma) => {
                    *state = InObject::Name;
                    Ok(())
                }
                (InObject::Separator, _) if places => Err(ParseError::ExpectedInObject),
                (InObject::Separator, _) => Err(ParseError::SeparatorInDict),
                (InObject::Colon(name), Token::Colon) => {
                    *state = InObject::Value(name.clone());
                    Ok(())
                }
                (InObject::Colon(_), _) if places => Err(ParseError::ExpectingColon),
                (InObject::Colon(_), _) => Err(ParseError::MissingColon),
                (InObject::First | InObject::Name, token)
                    if places && !matches!(token, Token::String(_)) =>
                {
                    Err(ParseError::ExpectingKey)
                }
                (_, token) => self.value(token),
            },
        }
    }

    /// A token where a value, or the name of a member, should stand.
    fn value(&mut self, token: Token) -> Result<(), ParseError> {
        match token {
            Token::ObjectStart => {
                self.open
                    .push(Frame::Object(Object::new(), InObject::First));
                Ok(())
            }
            Token::ArrayStart => {
                self.open.push(Frame::Array(Vec::new(), InArray::First));
                Ok(())
            }
            Token::Integer(spelled) => self.complete(literal::integer(&spelled)),
            Token::Float(spelled) => self.complete(literal::float(&spelled)),
            Token::String(spelled) => match literal::string(&spelled) {
                Ok(text) => self.complete(Value::String(text)),
                Err(BadString::Escape) => Err(ParseError::Escape),
                Err(BadString::CodePoint(shown)) => Err(ParseError::CodePoint(shown)),
                Err(BadString::Utf8) => Err(ParseError::Utf8),
            },
            Token::Keyword(word) => match word.as_slice() {
                b"null" => self.complete(Value::Null),
                b"true" => self.complete(Value::Bool(true)),
                b"false" => self.complete(Value::Bool(false)),
                _ => {
                    let word = String::from_utf8_lossy(&word).into_owned();
                    Err(ParseError::Keyword(word))
                }
            },
            _ => Err(ParseError::ExpectingValue),
        }
    }

    /// The innermost object or array ended.
    fn close(&mut self) -> Result<(), ParseError> {
        match self.open.pop() {
            Some(Frame::Array(elements, _)) => self.complete(Value::Array(elements)),
            Some(Frame::Object(object, _)) => self.complete(Value::Object(object)),
            None => Err(ParseError::ExpectingValue),
        }
    }

    /// A value is complete: it belongs to the innermost object or array, or is the whole.
    fn complete(&mut self, value: Value) -> Result<(), ParseError> {
        match self.open.last_mut() {
            None => self.done = Some(value),
            Some(Frame::Array(elements, state)) => {
                elements.push(value);
                *state = InArray::Separator;
            }
            Some(Frame::Object(object, state)) => match mem::replace(state, InObject::Separator) {
                InObject::Value(name) if object.contains(&name) => {
                    return Err(ParseError::DuplicateKey);
                }
                InObject::Value(name) => object.insert(name, value),
                _ => match value {
                    Value::String(name) => *state = InObject::Colon(name),
                    _ => return Err(ParseError::KeyNotString),
                },
            },
        }
        Ok(())
    }
}
