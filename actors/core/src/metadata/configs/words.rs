//! Values with a grammar of their own: throttled replicas, the first offset of a share group, selectors of clients.
//!
//! Each function says whether Kafka would take the word. Patterns are Java's. A pattern is refused if its brackets,
//! quantifiers or escapes do not fit; all others are taken.

/// `partition:broker`. Like Kafka, an empty part between two commas is no fault.
pub(super) fn replica(part: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    part.is_empty() || part.split_once(':').is_some_and(|(p, b)| number(p) && number(b))
}

/// The place where a share group begins.
pub(super) fn offset_reset(word: &str) -> bool {
    match word.strip_prefix("by_duration:") {
        Some(duration) => not_negative(duration),
        None => word == "earliest" || word == "latest",
    }
}

/// Whether it is a duration of ISO 8601 as Java reads it, `PnDTnHnMn.nS`, and not below zero.
fn not_negative(text: &str) -> bool {
    nanoseconds(&text.to_ascii_uppercase()).is_some_and(|sum| sum >= 0)
}

fn nanoseconds(text: &str) -> Option<i128> {
    const SECOND: i128 = 1_000_000_000;
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (days, time) = match rest.strip_prefix('P')?.split_once('T') {
        Some((days, time)) => (days, Some(time)),
        None => (rest.strip_prefix('P')?, None),
    };
    let mut sum = match days {
        "" => 0,
        days => i128::from(days.strip_suffix('D')?.parse::<i64>().ok()?) * 86_400 * SECOND,
    };
    let mut time = match time {
        Some("") => return None,
        None if days.is_empty() => return None,
        other => other.unwrap_or_default(),
    };
    for (unit, seconds) in [('H', 3600), ('M', 60)] {
        if let Some((number, rest)) = time.split_once(unit) {
            sum += i128::from(number.parse::<i64>().ok()?) * seconds * SECOND;
            time = rest;
        }
    }
    if !time.is_empty() {
        let number = time.strip_suffix('S')?;
        let (whole, part) = number.split_once(['.', ',']).unwrap_or((number, ""));
        if part.len() > 9 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let nanos: i128 = format!("{part:0<9}").parse().ok()?;
        let nanos = if whole.starts_with('-') { -nanos } else { nanos };
        sum += i128::from(whole.parse::<i64>().ok()?) * SECOND + nanos;
    }
    // Java counts the seconds in 64 bits.
    i64::try_from(sum / SECOND).ok().map(|_| sign * sum)
}

/// The properties of a client that a selector can name.
const MATCHED_BY: [&str; 6] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// A selector and its pattern.
pub(super) fn client_match(part: &str) -> bool {
    match part.trim_end_matches('=').split_once('=') {
        Some((by, pattern)) => {
            MATCHED_BY.contains(&by.trim()) && !pattern.contains('=') && pattern_like(pattern.trim())
        }
        None => false,
    }
}

/// What stands before the next character of a pattern: a piece that can be repeated, or not.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// Nothing that could be repeated.
    Nothing,
    Something,
    /// A quantifier, which one more sign may qualify.
    Quantifier,
    /// A bound in braces, or a qualified quantifier.
    Bound,
}

/// Whether brackets, quantifiers and escapes of a pattern fit.
fn pattern_like(pattern: &str) -> bool {
    let (mut rest, mut depth, mut before) = (pattern, 0usize, Before::Nothing);
    while let Some(c) = rest.chars().next() {
        let behind = &rest[c.len_utf8()..];
        (rest, before) = match (c, before) {
            ('\\', _) => match behind.chars().next() {
                Some('Q') => (behind.split_once("\\E").map_or("", |(_, after)| after), Before::Something),
                // A property, or a character by its number or name.
                Some('p' | 'P' | 'x' | 'N') if behind.get(1..2) == Some("{") => {
                    match behind.split_once('}') {
                        Some((_, after)) => (after, Before::Something),
                        None => return false,
                    }
                }
                Some(escaped) => (&behind[escaped.len_utf8()..], Before::Something),
                None => return false,
            },
            ('[', _) => match class_end(behind) {
                Some(after) => (after, Before::Something),
                None => return false,
            },
            ('(', _) => {
                depth += 1;
                (behind.strip_prefix('?').map_or(behind, |after| after), Before::Nothing)
            }
            (')', _) if depth == 0 => return false,
            (')', _) => {
                depth -= 1;
                (behind, Before::Something)
            }
            ('|', _) => (behind, Before::Nothing),
            ('*' | '+' | '?' | '{', Before::Nothing) => return false,
            ('?' | '+', Before::Quantifier) => (behind, Before::Bound),
            ('*', Before::Quantifier) | ('*' | '+' | '?', Before::Bound) => return false,
            ('*' | '+' | '?', _) => (behind, Before::Quantifier),
            ('{', _) => match behind.split_once('}').filter(|(bounds, _)| bounds_like(bounds)) {
                Some((_, after)) => (after, Before::Quantifier),
                None => return false,
            },
            _ => (behind, Before::Something),
        };
    }
    depth == 0
}

/// `n`, `n,` or `n,m`.
fn bounds_like(bounds: &str) -> bool {
    let (least, most) = bounds.split_once(',').unwrap_or((bounds, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

/// What follows a class of characters, if it ends. A bracket right at its beginning is one of the characters.
fn class_end(class: &str) -> Option<&str> {
    let class = class.strip_prefix('^').unwrap_or(class);
    let (mut depth, mut escaped) = (1usize, false);
    for (at, c) in class.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => depth += 1,
            ']' if at > 0 => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return class.get(at + 1..);
        }
    }
    None
}
