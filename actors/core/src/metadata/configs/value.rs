//! Values of configs: their types, the values that each takes, and the form in which they are stored.
//!
//! ```text
//!   what was asked ─> parse: type, then bounds ─> canonical text (as Kafka's DescribeConfigs prints it) or ConfigError
//! ```
//! Texts of refusals are Kafka's, because operators search for them.

use super::words;
use crate::limits;

/// Types of values, by Kafka's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i8)]
pub enum Type {
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    /// A number with a fraction.
    Double = 6,
    List = 7,
}

/// The values that a config takes, besides those of its type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Takes {
    /// Any value of its type.
    Any,
    /// Numbers from here on.
    AtLeast(i64),
    /// Numbers from here to there.
    Between(i64, i64),
    /// Sizes of messages: Kafka's bound is the type's, ours is lower.
    UpTo(i64),
    /// −1, or numbers from 1 on.
    UnlimitedOrPositive,
    /// −1, or a level of gzip.
    GzipLevel,
    /// From 0 to 1.
    Ratio,
    /// One of these words; of a list, any of them.
    OneOf(&'static [&'static str]),
    /// `*`, or `partition:broker` with commas.
    ThrottledReplicas,
    /// `earliest`, `latest`, or `by_duration:` and how long ago.
    OffsetReset,
    /// Any words, none of them empty.
    Names,
    /// Selectors of clients: `client_id=` and a pattern, and so on.
    Patterns,
}

/// Why a config is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// The table has no such name.
    #[error("Unknown {0}: {1}")]
    Unknown(&'static str, String),
    /// The type or the bounds do not allow the value.
    #[error("Invalid value {value} for configuration {name}: {wants}")]
    Invalid { name: String, value: String, wants: String },
    /// Kafka takes the value, and this version does not honour it.
    #[error("{name}={value} is not supported by this version: leave it out, or set it to {honoured}")]
    Unsupported { name: String, value: String, honoured: String },
    /// Only the configuration file sets it.
    #[error("Cannot update these configs dynamically: [{0}]")]
    NotDynamic(String),
    /// A list with an empty word.
    #[error("Configuration '{0}' values must not be empty.")]
    Empty(String),
    /// A selector of clients is no pattern.
    #[error("Illegal client matching pattern: {0}")]
    Pattern(String),
    /// The value is longer than any that is stored.
    #[error("the value of {0} has {1} bytes: at most {max} are stored", max = limits::CONFIG_VALUE_MAX)]
    TooLong(String, usize),
    /// Two configs of one resource that cannot both hold, or one that its broker's do not allow.
    #[error("{0}")]
    Conflict(String),
}

/// Parses a value into the form in which it is stored, if type and bounds allow it.
pub(super) fn parse(name: &str, kind: Type, takes: Takes, value: &str) -> Result<String, ConfigError> {
    if value.len() > limits::CONFIG_VALUE_MAX {
        return Err(ConfigError::TooLong(name.into(), value.len()));
    }
    let trimmed = value.trim();
    match kind {
        Type::Int => number(name, trimmed, (i32::MIN.into(), i32::MAX.into(), "INT"), takes),
        Type::Short => number(name, trimmed, (i16::MIN.into(), i16::MAX.into(), "SHORT"), takes),
        Type::Long => number(name, trimmed, (i64::MIN, i64::MAX, "LONG"), takes),
        Type::Double => fraction(name, trimmed, takes),
        Type::Boolean => match trimmed.to_ascii_lowercase() {
            word if word == "true" || word == "false" => Ok(word),
            _ => Err(invalid(name, value, "Expected value to be either true or false")),
        },
        Type::String => word(name, trimmed, takes),
        Type::List => list(name, trimmed, takes),
    }
}

fn invalid(name: &str, value: &str, wants: impl Into<String>) -> ConfigError {
    // The message must fit into a string of Kafka's wire, whatever the value.
    let value = value.chars().take(SHOWN_MAX).collect();
    ConfigError::Invalid { name: name.into(), value, wants: wants.into() }
}

/// Characters of a refused value that its refusal repeats.
const SHOWN_MAX: usize = 1000;

fn number(
    name: &str,
    text: &str,
    (least, most, of): (i64, i64, &str),
    takes: Takes,
) -> Result<String, ConfigError> {
    let n: Option<i64> = text.parse().ok().filter(|n| (least..=most).contains(n));
    let Some(n) = n else { return Err(invalid(name, text, format!("Not a number of type {of}"))) };
    let refused = match takes {
        Takes::AtLeast(least) | Takes::Between(least, _) if n < least => {
            format!("Value must be at least {least}")
        }
        Takes::UpTo(_) if n < 0 => "Value must be at least 0".into(),
        Takes::Between(_, most) if n > most => format!("Value must be no more than {most}"),
        Takes::UpTo(most) if n > most => {
            format!("Value must be no more than {most}, the most this version takes")
        }
        Takes::UnlimitedOrPositive if n < 1 && n != -1 => {
            "Value must be unlimited (-1) or, greater than or equal to 1".into()
        }
        Takes::GzipLevel if !(1..=9).contains(&n) && n != -1 => {
            "Value must be between 1 and 9 or equal to -1".into()
        }
        _ => return Ok(n.to_string()),
    };
    Err(invalid(name, &n.to_string(), refused))
}

fn fraction(name: &str, text: &str, takes: Takes) -> Result<String, ConfigError> {
    // Java's numbers may end in a letter, and no number is written as a word but these two.
    let digits = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let number = if numeric { digits.parse::<f64>().ok() } else { None };
    let named = matches!(text.strip_prefix(['+', '-']).unwrap_or(text), "NaN" | "Infinity");
    let Some(n) = number.or_else(|| text.parse().ok().filter(|_| named)) else {
        return Err(invalid(name, text, "Not a number of type DOUBLE"));
    };
    match takes {
        Takes::Ratio if n < 0.0 => Err(invalid(name, &java_double(n), "Value must be at least 0")),
        // NaN is no ratio either, though Kafka takes it.
        Takes::Ratio if n.is_nan() || n > 1.0 => {
            Err(invalid(name, &java_double(n), "Value must be no more than 1"))
        }
        _ => Ok(java_double(n)),
    }
}

/// A number with a fraction as Java prints it.
fn java_double(n: f64) -> String {
    match n.abs() {
        size if size.is_infinite() => if n > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        size if size == 0.0 || size.is_nan() || (1e-3..1e7).contains(&size) => format!("{n:?}"),
        _ => match format!("{n:E}").split_once('E') {
            Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
            Some((digits, exponent)) => format!("{digits}E{exponent}"),
            None => format!("{n:?}"),
        },
    }
}

fn word(name: &str, text: &str, takes: Takes) -> Result<String, ConfigError> {
    match takes {
        Takes::OneOf(words) if !words.contains(&text) => {
            Err(invalid(name, text, format!("String must be one of: {}", words.join(", "))))
        }
        Takes::OffsetReset if !words::offset_reset(text) => Err(invalid(
            name,
            text,
            format!(
                "Invalid value `{text}` for configuration {name}. The value must be either 'earliest', 'latest' or \
                 of the format 'by_duration:<PnDTnHnMn.nS>'."
            ),
        )),
        _ => Ok(text.to_owned()),
    }
}

fn list(name: &str, text: &str, takes: Takes) -> Result<String, ConfigError> {
    let parts: Vec<&str> =
        if text.is_empty() { Vec::new() } else { text.split(',').map(str::trim).collect() };
    match takes {
        Takes::ThrottledReplicas => {
            if parts.iter().all(|part| words::replica(part)) || parts.concat() == "*" {
                return Ok(parts.join(","));
            }
            let wants = format!(
                "{name} must be the literal '*' or a list of replicas in the following format: \
                 [partitionId]:[brokerId],[partitionId]:[brokerId],..."
            );
            Err(invalid(name, &format!("[{}]", parts.join(", ")), wants))
        }
        Takes::OneOf(_) | Takes::Names | Takes::Patterns => {
            if parts.iter().any(|part| part.is_empty()) {
                return Err(ConfigError::Empty(name.into()));
            }
            for part in &parts {
                match takes {
                    Takes::OneOf(_) => drop(word(name, part, takes)?),
                    Takes::Patterns if !words::client_match(part) => {
                        return Err(ConfigError::Pattern((*part).to_owned()));
                    }
                    _ => {}
                }
            }
            // Like Kafka, a word named twice counts once.
            let mut said = std::collections::BTreeSet::new();
            let once: Vec<&str> = parts.into_iter().filter(|part| said.insert(*part)).collect();
            Ok(once.join(","))
        }
        _ => Ok(parts.join(",")),
    }
}
