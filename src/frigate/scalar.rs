//! What a scalar means: first to YAML as ruamel.yaml reads it, then to a field of a given type as
//! pydantic's lax mode takes it.

use super::python;
use super::tree::Value;

/// Which YAML decides over plain scalars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// The default.
    Yaml12,
    /// After a `%YAML 1.1` directive.
    Yaml11,
}

/// What to call a plain `<<`.
pub(super) const MERGE: &str = "a merge key";

/// The meaning of a plain scalar that `serde_yaml` took for a text.
pub(super) fn plain(text: &str, rules: Rules) -> Value {
    let kept = || Value::Text(text.to_owned());
    match text.as_bytes().first() {
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => number(text, rules)
            .or_else(|| is_date(text).then_some(Value::Odd("a date")))
            .unwrap_or_else(kept),
        Some(b'y' | b'Y' | b'n' | b'N' | b'o' | b'O') if rules == Rules::Yaml11 => match text {
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::Bool(true),
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Value::Bool(false),
            _ => kept(),
        },
        Some(b'<') if text == "<<" => Value::Odd(MERGE),
        Some(b'=') if text == "=" => Value::Odd("a lone ="),
        _ => kept(),
    }
}

fn number(text: &str, rules: Rules) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let value = integer(digits, rules).or_else(|| decimal(digits))?;
    Some(match value {
        Value::Int(value) if negative => Value::Int(-value),
        Value::Float(value) if negative => Value::Float(-value),
        value => value,
    })
}

/// A whole number without its sign. Underscores may stand anywhere in it.
fn integer(text: &str, rules: Rules) -> Option<Value> {
    if rules == Rules::Yaml11 && text.contains(':') {
        return sexagesimal(text);
    }
    let (radix, digits) = match text.get(..2) {
        Some("0b") => (2, &text[2..]),
        Some("0x") => (16, &text[2..]),
        Some("0o") if rules == Rules::Yaml12 => (8, &text[2..]),
        _ if rules == Rules::Yaml11 && text.len() > 1 && text.starts_with('0') => (8, text),
        _ => (10, text),
    };
    if digits.is_empty() || !digits.chars().all(|c| c == '_' || c.is_digit(radix)) {
        return None;
    }
    let digits = digits.replace('_', "");
    Some(match i128::from_str_radix(&digits, radix) {
        Ok(value) => whole(value),
        Err(_) if digits.is_empty() => Value::Odd("a number without digits"),
        Err(_) => Value::Float(f64::INFINITY),
    })
}

/// `1:30` is 90 in YAML 1.1.
fn sexagesimal(text: &str) -> Option<Value> {
    let mut value: i128 = 0;
    for (position, part) in text.split(':').enumerate() {
        let part = if position == 0 { part.replace('_', "") } else { part.to_owned() };
        if part.is_empty() || part.len() > 15 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits: i128 = part.parse().ok()?;
        if position > 0 && digits > 59 {
            return None;
        }
        value = value.checked_mul(60)?.checked_add(digits)?;
    }
    (!text.starts_with('0')).then(|| whole(value))
}

/// What a scalar says under a tag of YAML's own that `serde_yaml` reads more narrowly: `!!bool yes`,
/// `!!int 1_000`, `!!float 1_0.5`.
pub(super) fn tagged(tag: &str, text: &str, rules: Rules) -> Option<Value> {
    match (tag, text.to_ascii_lowercase().as_str()) {
        ("!!bool", "yes" | "y" | "on" | "true") => Some(Value::Bool(true)),
        ("!!bool", "no" | "n" | "off" | "false") => Some(Value::Bool(false)),
        ("!!int", _) => number(text, rules).filter(|value| matches!(value, Value::Int(_))),
        ("!!float", _) => match number(text, rules)? {
            Value::Int(value) => Some(Value::Float(value as f64)),
            value => Some(value),
        },
        _ => None,
    }
}

/// A number with a point or an exponent, without its sign.
fn decimal(text: &str) -> Option<Value> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits_or_bars = |part: &str| part.bytes().all(|b| b == b'_' || b.is_ascii_digit());
    let is_number = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits_or_bars(fraction),
        Some((whole, fraction)) => {
            whole.starts_with(|c: char| c.is_ascii_digit())
                && digits_or_bars(whole)
                && digits_or_bars(fraction)
        }
        None => {
            exponent.is_some()
                && mantissa.starts_with(|c: char| c.is_ascii_digit())
                && digits_or_bars(mantissa)
        }
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let signed = digits.len() < exponent.len();
        !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
            && (signed || !mantissa.starts_with('.'))
    });
    (is_number && exponent_fits).then(|| {
        text.replace('_', "").parse().map_or(Value::Odd("a number without digits"), Value::Float)
    })
}

/// `2024-01-01`, alone or with a time behind it.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |range: &[u8]| range.iter().all(u8::is_ascii_digit);
    if bytes.len() == 10 && bytes[4] == b'-' && bytes[7] == b'-' {
        return digits(&bytes[..4]) && digits(&bytes[5..7]) && digits(&bytes[8..]);
    }
    let Some((date, time)) = text.split_once(['T', 't', ' ', '\t']) else {
        return false;
    };
    let parts = |text: &str, separator, sizes: &[(usize, usize)]| {
        let parts: Vec<&str> = text.split(separator).collect();
        parts.len() == sizes.len()
            && parts.iter().zip(sizes).all(|(part, (min, max))| {
                (*min..=*max).contains(&part.len()) && digits(part.as_bytes())
            })
    };
    let clock_end = time
        .trim_start()
        .find(|c: char| !(c.is_ascii_digit() || c == ':'))
        .unwrap_or(time.trim_start().len());
    let (clock, rest) = time.trim_start().split_at(clock_end);
    parts(date, '-', &[(4, 4), (1, 2), (1, 2)])
        && parts(clock, ':', &[(1, 2), (2, 2), (2, 2)])
        && rest.bytes().all(|b| b.is_ascii_digit() || b".Zz+-: \t".contains(&b))
}

/// A whole number of any size: beyond 64 bits it is a float, which no whole-number field takes.
pub(super) fn whole(value: i128) -> Value {
    i64::try_from(value).map_or(Value::Float(value as f64), Value::Int)
}

/// A key that is no text, as YAML would print it.
pub(super) fn shown(key: &Value) -> String {
    match key {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => python::float_text(*value),
        Value::Text(text) => text.clone(),
        Value::Odd(what) => format!("({what})"),
        Value::List(_) => "(a list)".to_owned(),
        Value::Map(_) => "(a map)".to_owned(),
    }
}

/// How a sentence about a wrong value begins: `"fast" is not`, `is empty, but needs`.
pub(super) fn but_needs(value: &Value, needed: &str) -> String {
    match value {
        Value::Null => format!("is empty, but needs {needed}"),
        Value::List(_) => format!("is a list, but needs {needed}"),
        Value::Map(_) => format!("is a map, but needs {needed}"),
        Value::Odd(what) => format!("is {what}, but needs {needed}"),
        Value::Text(text) => format!("{} is not {needed}", quoted(text)),
        scalar => format!("{} is not {needed}", shown(scalar)),
    }
}

/// Longest piece of a user's text that a message repeats, in characters.
const MAX_QUOTED: usize = 60;

/// `text` in quotes, cut if it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A boolean: also 0 and 1, and the words yes/no, on/off, true/false, y/n, t/f in any case.
pub(super) fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::Int(0) => Some(false),
        Value::Int(1) => Some(true),
        Value::Float(value) if *value == 0.0 => Some(false),
        Value::Float(value) if *value == 1.0 => Some(true),
        Value::Text(text) => match text.to_ascii_lowercase().as_str() {
            "1" | "t" | "true" | "y" | "yes" | "on" => Some(true),
            "0" | "f" | "false" | "n" | "no" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A whole number: also a float without a fraction, a boolean, and a text of digits.
pub(super) fn integer_of(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        Value::Bool(value) => Some(i64::from(*value)),
        // 2^63, the first float that no i64 holds.
        Value::Float(value)
            if value.fract() == 0.0 && value.abs() < 9_223_372_036_854_775_808.0 =>
        {
            Some(*value as i64)
        }
        Value::Text(text) => integer_text(text),
        _ => None,
    }
}

/// `" +1_000.00 "`: blanks around, a sign, digits with single underscores between, a zero fraction.
fn integer_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    i64::try_from(python::digits(whole)?).ok()
}

/// A number: also a boolean, and a text as Python writes floats. May be infinite or NaN.
pub(super) fn float_of(value: &Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some(*value),
        Value::Int(value) => Some(*value as f64),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Text(text) => text.trim().parse().ok().or_else(|| float_with_bars(text)),
        _ => None,
    }
}

/// `1_000.5`. Unlike without underscores, there may be no blanks around it.
fn float_with_bars(text: &str) -> Option<f64> {
    let bars_between = !text.starts_with('_') && !text.ends_with('_') && !text.contains("__");
    bars_between.then(|| text.replace('_', "").parse().ok())?
}

/// An area: pixels if it is a whole number or a text that can be one, else a fraction.
pub(super) fn area_of(value: &Value) -> Option<Value> {
    match value {
        Value::Float(value) => Some(Value::Float(*value)),
        value => integer_of(value).map(Value::Int).or_else(|| float_of(value).map(Value::Float)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(value: &Value) -> String {
        match value {
            Value::Text(text) => format!("text {text}"),
            Value::Float(value) => format!("float {value:?}"),
            Value::Odd(what) => (*what).to_owned(),
            other => shown(other),
        }
    }

    /// Each as ruamel.yaml 0.18 reads it.
    #[test]
    fn plain_scalars_of_yaml_1_2() {
        for (text, meaning) in [
            ("005", "5"),
            ("08", "8"),
            ("-010", "-10"),
            ("+1_500", "1500"),
            ("1__0", "10"),
            ("1_", "1"),
            ("0x5_00", "1280"),
            ("0b1_0", "2"),
            ("0o1_7", "15"),
            ("0o8", "text 0o8"),
            ("0b2", "text 0b2"),
            ("0X1F", "text 0X1F"),
            ("_1", "text _1"),
            ("1_0.5", "float 10.5"),
            ("1_000.5_0", "float 1000.5"),
            ("5_.0", "float 5.0"),
            ("1_e3", "float 1000.0"),
            ("1e400", "float inf"),
            (".5e3", "text .5e3"),
            (".5e+3", "float 500.0"),
            ("1.2.3", "text 1.2.3"),
            ("1,5", "text 1,5"),
            ("1:30", "text 1:30"),
            ("12:30:45", "text 12:30:45"),
            ("2024-01-01", "a date"),
            ("2024-01-01T10:00:00Z", "a date"),
            ("2024-1-1 10:00:00.5 +2", "a date"),
            ("2024-1-1", "text 2024-1-1"),
            ("2024-01-01x", "text 2024-01-01x"),
            ("yes", "text yes"),
            ("-", "text -"),
            ("-_-", "text -_-"),
        ] {
            assert_eq!(show(&plain(text, Rules::Yaml12)), meaning, "{text}");
        }
    }

    #[test]
    fn plain_scalars_of_yaml_1_1() {
        for (text, meaning) in [
            ("yes", "true"),
            ("Off", "false"),
            ("yEs", "text yEs"),
            ("010", "8"),
            ("1:30", "90"),
            ("190:20:30", "685230"),
            ("1:75", "text 1:75"),
            ("1_0", "10"),
        ] {
            assert_eq!(show(&plain(text, Rules::Yaml11)), meaning, "{text}");
        }
    }

    /// Each as pydantic 2.10 takes it.
    #[test]
    fn whole_numbers() {
        for (text, value) in [
            (" 5 ", Some(5)),
            ("+5", Some(5)),
            ("1_000", Some(1000)),
            ("5.00", Some(5)),
            ("1_0.0", Some(10)),
            ("0005", Some(5)),
            ("0_5", Some(5)),
            ("5.", None),
            ("5.5", None),
            ("_5", None),
            ("5_", None),
            ("5__0", None),
            ("5_.0", None),
            ("-_5", None),
            ("+-5", None),
            ("1e3", None),
            ("0x10", None),
            ("", None),
        ] {
            assert_eq!(integer_of(&Value::Text(text.to_owned())), value, "{text:?}");
        }
        assert_eq!(integer_of(&Value::Float(5.0)), Some(5));
        assert_eq!(integer_of(&Value::Float(5.5)), None);
        assert_eq!(integer_of(&Value::Float(1e19)), None);
        assert_eq!(integer_of(&Value::Float(f64::NAN)), None);
        assert_eq!(integer_of(&Value::Bool(true)), Some(1));
        assert_eq!(integer_of(&Value::Null), None);
    }

    /// Each as pydantic 2.10 takes it.
    #[test]
    fn numbers() {
        for (text, value) in [
            (" 5 ", Some(5.0)),
            ("1_0.5", Some(10.5)),
            ("1e3", Some(1000.0)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1_e5", Some(100_000.0)),
            ("-_1.5", Some(-1.5)),
            (" 1_0.5", None),
            ("1_0.5\n", None),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1__0", None),
            ("1_", None),
            ("0x10", None),
            (".", None),
            ("e5", None),
            ("", None),
        ] {
            assert_eq!(float_of(&Value::Text(text.to_owned())), value, "{text:?}");
        }
    }

    #[test]
    fn booleans() {
        for yes in ["oN", "Y", "t", "1", "TRUE"] {
            assert_eq!(boolean(&Value::Text(yes.to_owned())), Some(true), "{yes}");
        }
        for neither in [" true", "on ", "enabled", "", "1.0"] {
            assert_eq!(boolean(&Value::Text(neither.to_owned())), None, "{neither}");
        }
        assert_eq!(boolean(&Value::Float(1.0)), Some(true));
        assert_eq!(boolean(&Value::Int(2)), None);
        assert_eq!(boolean(&Value::Null), None);
    }
}
