//! Printing as QEMU prints: pure ASCII, `", "` and `": "`, members in the order of QEMU's hash table.

use qmp_events::json::{ObjectWriter, bucket, write_string};

use super::value::{Object, Value};

/// Prints on one line, without a line end.
pub fn compact(value: &Value) -> String {
    let mut out = String::new();
    print(value, &mut out);
    out
}

/// The same JSON over several lines, four spaces a level, as a monitor with `pretty=on` prints it; lines
/// end `\n`, none after the last. `compact` must be JSON as [`compact`](fn@compact) prints it.
pub fn pretty(compact: &str) -> String {
    let mut out = String::with_capacity(compact.len() * 2);
    let mut level = 0_usize;
    let (mut in_string, mut escaped, mut after_comma) = (false, false, false);
    for character in compact.chars() {
        if in_string {
            out.push(character);
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            '{' | '[' => {
                out.push(character);
                level += 1;
                new_line(level, &mut out);
            }
            '}' | ']' => {
                level = level.saturating_sub(1);
                // An empty one stands on two lines as well.
                out.truncate(out.trim_end_matches([' ', '\n']).len());
                new_line(level, &mut out);
                out.push(character);
            }
            ',' => {
                out.push(character);
                new_line(level, &mut out);
            }
            ' ' if after_comma => {}
            _ => {
                in_string = character == '"';
                out.push(character);
            }
        }
        after_comma = character == ',';
    }
    out
}

/// Spaces a level of `pretty=on`.
const INDENT: &str = "    ";

fn new_line(level: usize, out: &mut String) {
    out.push('\n');
    for _ in 0..level {
        out.push_str(INDENT);
    }
}

fn print(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Uint(number) => out.push_str(&number.to_string()),
        Value::Float(number) => print_float(*number, out),
        Value::String(text) => write_string(out, text),
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                print(element, out);
            }
            out.push(']');
        }
        Value::Object(object) => print_object(object, out),
    }
}

fn print_object(object: &Object, out: &mut String) {
    let mut writer = ObjectWriter::new(out);
    for (name, value) in in_hash_order(object) {
        print(value, writer.member(name));
    }
    writer.end();
}

/// The members in the order in which QEMU walks its dictionary.
pub(crate) fn in_hash_order(object: &Object) -> Vec<(&str, &Value)> {
    let mut members: Vec<(&str, &Value)> = object.iter().collect();
    // Within a bucket the newest comes first: turn around, then sort stably.
    members.reverse();
    members.sort_by_key(|(name, _)| bucket(name));
    members
}

/// Seventeen significant digits, no trailing zeros, an exponent of at least two digits where the number
/// is below 1e-4 or needs more digits: C's `%.17g`. Infinite numbers print as `inf`, which is not JSON;
/// QEMU does it all the same.
fn print_float(number: f64, out: &mut String) {
    if number.is_nan() {
        out.push_str("nan");
        return;
    }
    if number.is_infinite() {
        out.push_str(if number > 0.0 { "inf" } else { "-inf" });
        return;
    }
    let scientific = format!("{number:.16e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..SIGNIFICANT_DIGITS).contains(&exponent) {
        let decimals = usize::try_from(SIGNIFICANT_DIGITS - 1 - exponent).unwrap_or(0);
        out.push_str(without_zeros(&format!("{number:.decimals$}")));
    } else {
        out.push_str(without_zeros(digits));
        let sign = if exponent < 0 { '-' } else { '+' };
        out.push_str(&format!("e{sign}{:02}", exponent.unsigned_abs()));
    }
}

/// Digits that always suffice to read the same double back.
const SIGNIFICANT_DIGITS: i32 = 17;

/// Without the zeros that end a fraction, and without the point if nothing is left of it.
fn without_zeros(digits: &str) -> &str {
    if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(number: f64) -> String {
        compact(&Value::Float(number))
    }

    /// Measured on QEMU 7.2 and 10.0: ids sent and echoed.
    #[test]
    fn numbers_print_as_qemu_prints_them() {
        assert_eq!(float(1e3), "1000");
        assert_eq!(float(1.0), "1");
        assert_eq!(float(0.1), "0.10000000000000001");
        assert_eq!(float(123_456_789.123_456_79), "123456789.12345679");
        assert_eq!(float(1e-7), "9.9999999999999995e-08");
        assert_eq!(
            float(18_446_744_073_709_551_616.0),
            "1.8446744073709552e+19"
        );
        assert_eq!(
            float(-9_223_372_036_854_775_809.0),
            "-9.2233720368547758e+18"
        );
        assert_eq!(float(-0.0), "-0");
        assert_eq!(float(f64::INFINITY), "inf");
        assert_eq!(float(1e300), "1.0000000000000001e+300");
    }

    #[test]
    fn members_come_in_hash_order() {
        let version = Object::new()
            .with("major", 7_i64)
            .with("minor", 2_i64)
            .with("micro", 22_i64);
        let text = compact(&version.into());
        assert_eq!(text, r#"{"micro": 22, "minor": 2, "major": 7}"#);
        let object = Object::new()
            .with("z", 1_i64)
            .with("a", 2_i64)
            .with("m", 3_i64);
        assert_eq!(compact(&object.into()), r#"{"a": 2, "z": 1, "m": 3}"#);
    }

    #[test]
    fn output_is_ascii() {
        let text = Value::from("é😀\u{7f}\0/\u{8}\"\\");
        assert_eq!(
            compact(&text),
            "\"\\u00E9\\uD83D\\uDE00\\u007F\\u0000/\\b\\\"\\\\\""
        );
    }

    #[test]
    fn pretty_gives_even_empty_ones_two_lines() {
        let value = Value::from(
            Object::new()
                .with("return", Object::new())
                .with("id", vec![Value::Int(1), Value::Array(vec![])]),
        );
        let expected = "{\n    \"return\": {\n    },\n    \"id\": [\n        1,\n        [\n        ]\n    ]\n}";
        assert_eq!(pretty(&compact(&value)), expected);
    }
}
