//! Python's own numbers, where Frigate leaves them to Python: `int()` and `float()` of a text,
//! `round(x, 3)`, and how a float is written.

/// What Python strips from both ends of a text before it reads a number.
fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

/// A sign, then digits with single underscores between. Saturates beyond 127 bits.
pub(super) fn digits(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    if !bars_stand_between_digits(digits) || digits.is_empty() {
        return None;
    }
    let mut value: i128 = 0;
    for byte in digits.bytes().filter(|byte| *byte != b'_') {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.saturating_mul(10).saturating_add(i128::from(byte - b'0'));
    }
    Some(if negative { -value } else { value })
}

fn bars_stand_between_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').all(|(at, _)| {
        let digit =
            |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        digit(at.checked_sub(1)) && digit(at.checked_add(1))
    })
}

/// `int(text)`.
pub(super) fn int(text: &str) -> Option<i128> {
    digits(strip(text))
}

/// The zeros of every script that has ten digits of its own (Unicode 14, as Python 3.11 has it).
#[rustfmt::skip]
const ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0,
    0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0,
    0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0,
    0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// Whether `int(text)` gives a number, also with digits of another script.
pub(super) fn reads_as_int(text: &str) -> bool {
    let ascii = |c: char| {
        let digit =
            ZEROS.iter().find_map(|zero| u32::from(c).checked_sub(*zero).filter(|d| *d < 10));
        digit.and_then(|digit| char::from_digit(digit, 10)).unwrap_or(c)
    };
    int(&text.chars().map(ascii).collect::<String>()).is_some()
}

/// `float(text)`: also `inf`, `nan`, `1e3` and `1_000.5`. Rust's own parser takes the same words.
pub(super) fn float(text: &str) -> Option<f64> {
    let text = strip(text);
    bars_stand_between_digits(text).then(|| text.replace('_', "").parse().ok())?
}

/// `round(x, 3)`: the exact value of the double, a tie going to the even digit.
pub(super) fn round3(x: f64) -> f64 {
    if !x.is_finite() {
        return x;
    }
    format!("{x:.3}").parse().unwrap_or(x)
}

/// `repr(x)`: the fewest digits that read back as `x`, with `.0` behind a whole number and an
/// exponent from 1e16 up and below 1e-4.
pub(super) fn float_text(x: f64) -> String {
    if x.is_nan() {
        return "nan".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{x:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        _ => {
            let plain = format!("{x}");
            if plain.contains('.') { plain } else { plain + ".0" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_even_digit_of_the_exact_double() {
        for (x, rounded) in [
            (80.0 / 1280.0, "0.062"),
            (240.0 / 1280.0, "0.188"),
            (400.0 / 1280.0, "0.312"),
            (0.0005, "0.001"),
            (0.0015, "0.002"),
            (0.0025, "0.003"),
            (-1.0 / 3840.0, "-0.0"),
            (1.0, "1.0"),
            (1500.0 / 1280.0, "1.172"),
        ] {
            assert_eq!(float_text(round3(x)), rounded, "{x}");
        }
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (x, text) in [
            (10.0, "10.0"),
            (-0.0, "-0.0"),
            (12.5, "12.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.25e100, "1.25e+100"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(float_text(x), text);
        }
    }

    #[test]
    fn texts_are_read_as_python_reads_them() {
        assert_eq!(int(" 1_0\n"), Some(10));
        assert_eq!(int("+7"), Some(7));
        assert_eq!(int("007"), Some(7));
        assert_eq!(int("99999999999999999999999999999999999999999999"), Some(i128::MAX));
        for bad in ["", "-", "1__0", "_1", "1_", "1.0", "0x1", "1 0", "- 1"] {
            assert_eq!(int(bad), None, "{bad:?}");
        }
        assert_eq!(float(" 1_0.5 "), Some(10.5));
        assert_eq!(float("1e1_0"), Some(1e10));
        assert_eq!(float("-INF"), Some(f64::NEG_INFINITY));
        for bad in ["", ".", "1_.5", "1._5", "1_e5", "0x1", "1 2"] {
            assert_eq!(float(bad), None, "{bad:?}");
        }
    }
}
