//! `--where`: a CEL expression over one record.
//!
//! Whole numbers stay exact: what fits `i64` is a CEL `int`, what does not a CEL `uint`, so the
//! 64-bit values of a panic or a program status word compare as sent.

use std::fmt;
use std::sync::Arc;

use cel::common::ast::Expr;
use cel::objects::{Key, Map};
use cel::{Context, Env, ParseErrors, Program, Value};
use thiserror::Error;

use super::EXPRESSION_MAX_BYTES;
use crate::record::Record;
use crate::time;

/// Every name an expression may use.
const NAMES: [&str; 9] = [
    "event",
    "machine",
    "data",
    "seq",
    "run",
    "origin",
    "time",
    "received",
    "timestamp",
];

/// A compiled expression.
pub struct Expression {
    source: String,
    program: Program,
    env: Arc<Env>,
    /// The names it uses, of [`NAMES`]: only these are made for a record.
    used: Vec<&'static str>,
}

/// Why an expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExpressionError {
    /// It is not CEL.
    #[error("--where, column {column}: {message}\n  {line}\n  {:>column$}", "^")]
    Syntax {
        /// What the parser found.
        message: String,
        /// The line of the expression it is on.
        line: String,
        /// Place in that line, in characters from 1.
        column: usize,
    },
    /// It uses a name that a record does not have.
    #[error(
        "--where: there is no `{0}`; the names are event, machine, data, seq, run, origin, time, received \
         and timestamp, and a member with a hyphen is written data[\"node-name\"]"
    )]
    Name(String),
    /// It can never be true or false.
    #[error("--where: `{0}` is neither true nor false; compare it with something")]
    NotBoolean(String),
    /// It is longer than anything a person writes.
    #[error("--where: the expression is longer than {EXPRESSION_MAX_BYTES} bytes")]
    TooLong,
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// When it is not CEL (with the place), uses an unknown name, or is neither true nor false.
    pub fn compile(source: &str) -> Result<Self, ExpressionError> {
        if source.len() > EXPRESSION_MAX_BYTES {
            return Err(ExpressionError::TooLong);
        }
        let env = Arc::new(Env::stdlib());
        let program = env
            .compile(source)
            .map_err(|errors| syntax_error(source, &errors))?;
        let used = used_names(&program)?;
        if never_boolean(&program.expression().expr) {
            return Err(ExpressionError::NotBoolean(source.to_owned()));
        }
        Ok(Self {
            source: source.to_owned(),
            program,
            env,
            used,
        })
    }

    /// Whether the expression is true for the record; what cannot be evaluated is not true.
    pub fn matches(&self, record: &Record) -> bool {
        let mut context = Context::with_env(Arc::clone(&self.env));
        for name in &self.used {
            context.add_variable_from_value(*name, variable(name, record));
        }
        matches!(self.program.execute(&context), Ok(Value::Bool(true)))
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

fn variable(name: &str, record: &Record) -> Value {
    let number = |number: Option<u64>| number.map_or(Value::Null, whole);
    match name {
        "event" => text(&record.name),
        "machine" => text(&record.machine),
        "data" => data(record.data.as_deref()),
        "seq" => number(record.seq),
        "run" => number(record.run),
        "origin" => text(record.origin.as_str()),
        "time" => text(&time::rfc3339(record.time_us())),
        "received" => text(&time::rfc3339(record.received_us)),
        "timestamp" => record.timestamp.map_or(Value::Null, |stamp| {
            object([
                (Key::from("seconds"), Value::Int(stamp.seconds)),
                (Key::from("microseconds"), Value::Int(stamp.microseconds)),
            ])
        }),
        _ => Value::Null,
    }
}

/// The event's data; an event without data has an empty object, so that `has(data.x)` is false.
fn data(raw: Option<&str>) -> Value {
    match raw.map(serde_json::from_str::<serde_json::Value>) {
        Some(Ok(json)) => value(json),
        // Nested deeper than 128 levels: no event is, and no expression can say what it should
        // mean.
        Some(Err(_)) => Value::Null,
        None => object([]),
    }
}

fn value(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::Bool(truth),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(uint)) => Value::UInt(uint),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(string) => text(&string),
        serde_json::Value::Array(items) => {
            Value::List(Arc::new(items.into_iter().map(value).collect()))
        }
        serde_json::Value::Object(members) => object(
            members
                .into_iter()
                .map(|(name, member)| (Key::from(name), value(member))),
        ),
    }
}

fn object(members: impl IntoIterator<Item = (Key, Value)>) -> Value {
    Value::Map(Map {
        map: Arc::new(members.into_iter().collect()),
    })
}

fn text(text: &str) -> Value {
    Value::String(Arc::new(text.to_owned()))
}

fn whole(number: u64) -> Value {
    i64::try_from(number).map_or(Value::UInt(number), Value::Int)
}

/// The parser reports every consequence of a fault; the first is the fault.
fn syntax_error(source: &str, errors: &ParseErrors) -> ExpressionError {
    let first = errors.errors.iter().min_by_key(|error| error.pos);
    let (row, column) = first.map_or((1, 1), |error| error.pos);
    let row = usize::try_from(row).unwrap_or(1).max(1);
    ExpressionError::Syntax {
        message: first.map_or_else(|| "not CEL".to_owned(), |error| short(&error.msg)),
        line: source.lines().nth(row - 1).unwrap_or(source).to_owned(),
        column: usize::try_from(column).unwrap_or(1).max(1),
    }
}

/// The parser's message without its list of every token that could have followed.
fn short(message: &str) -> String {
    if message.contains("Recursion limit") {
        return "nested too deeply".to_owned();
    }
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let end = message.find(" expecting {").unwrap_or(message.len());
    message[..end].to_owned()
}

/// Names bound by a macro (`data.exists(k, k == "x")`) are not free, hence the walk.
fn used_names(program: &Program) -> Result<Vec<&'static str>, ExpressionError> {
    let mut used = Vec::new();
    let mut bound = Vec::new();
    walk(&program.expression().expr, &mut bound, &mut used)?;
    Ok(used)
}

fn walk<'e>(
    expr: &'e Expr,
    bound: &mut Vec<&'e str>,
    used: &mut Vec<&'static str>,
) -> Result<(), ExpressionError> {
    match expr {
        Expr::Ident(name) if !bound.contains(&name.as_str()) => {
            let Some(known) = NAMES.iter().find(|known| *known == name) else {
                return Err(ExpressionError::Name(name.clone()));
            };
            if !used.contains(known) {
                used.push(known);
            }
        }
        Expr::Call(call) => {
            for part in call.target.iter().map(AsRef::as_ref).chain(&call.args) {
                walk(&part.expr, bound, used)?;
            }
        }
        Expr::Select(select) => walk(&select.operand.expr, bound, used)?,
        Expr::List(list) => {
            for element in &list.elements {
                walk(&element.expr, bound, used)?;
            }
        }
        Expr::Comprehension(inner) => {
            walk(&inner.iter_range.expr, bound, used)?;
            let outer = bound.len();
            bound.push(&inner.iter_var);
            bound.extend(inner.iter_var2.as_deref());
            bound.push(&inner.accu_var);
            for part in [
                &inner.accu_init,
                &inner.loop_cond,
                &inner.loop_step,
                &inner.result,
            ] {
                walk(&part.expr, bound, used)?;
            }
            bound.truncate(outer);
        }
        _ => {}
    }
    Ok(())
}

/// What is certainly no truth value, whatever the record: a lone name but `data`, a literal,
/// arithmetic.
fn never_boolean(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(literal) => !matches!(literal, cel::common::ast::LiteralValue::Boolean(_)),
        Expr::Ident(_) | Expr::List(_) | Expr::Map(_) | Expr::Struct(_) => true,
        Expr::Call(call) => matches!(
            call.func_name.as_str(),
            "_+_"
                | "_-_"
                | "_*_"
                | "_/_"
                | "_%_"
                | "-_"
                | "size"
                | "string"
                | "int"
                | "uint"
                | "double"
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use qmp_events::Timestamp;

    use super::*;
    use crate::record::Origin;

    fn record(name: &str, data: Option<&str>) -> Record {
        Record {
            seq: Some(7),
            machine: "web1".to_owned(),
            run: None,
            origin: Origin::Qemu,
            name: name.to_owned(),
            timestamp: Some(Timestamp {
                seconds: 1_700_000_000,
                microseconds: 5,
            }),
            received_us: 1_700_000_000_000_900,
            data: data.map(str::to_owned),
        }
    }

    fn check(source: &str, data: Option<&str>) -> bool {
        let expression = Expression::compile(source).unwrap_or_else(|e| panic!("{source}: {e}"));
        expression.matches(&record("BLOCK_IO_ERROR", data))
    }

    const DATA: Option<&str> = Some(
        r#"{"device": "", "node-name": "disk0", "nospace": true, "n": 3, "big": 18446744073709551615, "info": {"x": [1, 2]}}"#,
    );

    #[test]
    fn what_is_true() {
        for source in [
            r#"event == "BLOCK_IO_ERROR" && machine == "web1""#,
            "data.nospace",
            r#"data["node-name"] == "disk0""#,
            r#"data["node-name"].startsWith("disk")"#,
            "data.n >= 3 && data.n < 4",
            "data.big == 18446744073709551615u",
            "data.big > 9223372036854775807",
            "data.info.x.exists(i, i == 2)",
            "2 in data.info.x",
            "seq == 7",
            r#"origin == "qemu""#,
            r#"time >= "2023-11-14""#,
            "timestamp.microseconds == 5",
            "has(data.n) && !has(data.m)",
            "data.missing == 1 || data.n == 3",
            "size(data.info.x) == 2",
        ] {
            assert!(check(source, DATA), "{source}");
        }
    }

    #[test]
    fn what_cannot_be_evaluated_is_not_true() {
        for source in [
            "data.missing == 1",
            "!(data.missing == 1)",
            "data.n.deep.er == 1",
            r#"data.n > "text""#,
            "run == 1",
            "data.device",
        ] {
            assert!(!check(source, DATA), "{source}");
        }
        assert!(!check("data.nospace", None));
        assert!(check("!has(data.nospace)", None));
    }

    #[test]
    fn a_fault_is_shown_with_its_place() {
        let error = Expression::compile(r#"event == "STOP" && && data.x"#).expect_err("not CEL");
        insta::assert_snapshot!(error, @r#"
        --where, column 20: extraneous input '&&'
          event == "STOP" && && data.x
                             ^
        "#);
    }

    #[test]
    fn nothing_that_is_short_enough_exhausts_the_stack() {
        let many = |text: &str| text.repeat(EXPRESSION_MAX_BYTES / text.len() - 8);
        for nested in ["(", "[", "{1:", "f("] {
            let error = Expression::compile(&many(nested)).expect_err(nested);
            assert!(error.to_string().contains("nested too deeply"), "{error}");
        }
        for (first, chained) in [
            ("data", ".a"),
            ("data", "[0]"),
            ("1", "==1"),
            ("true", "&&true"),
            ("", "!"),
        ] {
            let end = if first.is_empty() { "true" } else { "" };
            let source = format!("{first}{}{end}", many(chained));
            let expression = Expression::compile(&source).unwrap_or_else(|e| panic!("{e}"));
            // The number of negations is even; the rest compares true with 1 or misses its members.
            let expected = first == "true" || first.is_empty();
            assert_eq!(
                expression.matches(&record("STOP", DATA)),
                expected,
                "{chained}"
            );
        }
    }

    #[test]
    fn unknown_names_and_values_without_truth_are_refused() {
        assert_eq!(
            Expression::compile("data.node-name == \"x\"").expect_err("no name"),
            ExpressionError::Name("name".to_owned())
        );
        for source in ["event", "1 + 1", "[1]", "\"x\"", "size(data)"] {
            assert_eq!(
                Expression::compile(source).expect_err(source),
                ExpressionError::NotBoolean(source.to_owned())
            );
        }
        assert_eq!(
            Expression::compile(&" ".repeat(EXPRESSION_MAX_BYTES + 1)).expect_err("long"),
            ExpressionError::TooLong
        );
    }
}
