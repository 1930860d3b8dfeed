//! Whether the configs of a broker contradict each other, over all layers.

use super::layers::Layers;
use super::value::ConfigError;

/// Refuses a local retention above the whole retention, because local records are a part of all records.
pub fn agree_broker(layers: &Layers<'_>) -> Result<(), ConfigError> {
    let hours = layers.broker_number("log.retention.hours").map(|hours| hours.saturating_mul(3_600_000));
    let kept_ms = layers.broker_number("log.retention.ms").or(hours);
    let pairs = [
        ("log.local.retention.ms", "log.retention.ms", kept_ms),
        ("log.local.retention.bytes", "log.retention.bytes", layers.broker_number("log.retention.bytes")),
    ];
    for (local, kept, most) in pairs {
        let (Some(part), Some(most)) = (layers.broker_number(local), most) else { continue };
        let wants = match part {
            _ if most < 0 || part == -2 => continue,
            -1 => format!("Value must not be -1 as {kept} value is set as {most}."),
            _ if part > most => format!("Value must not be more than {kept} property value: {most}"),
            _ => continue,
        };
        return Err(ConfigError::Invalid { name: local.to_owned(), value: part.to_string(), wants });
    }
    Ok(())
}
