//! Metrics of the node as a whole, which belong to no component alone.

use callboard_actors::samples::Family;

/// Gauge, label `listener` = kafka | http: listeners beyond loopback, without authentication and encryption.
pub const UNPROTECTED: &str = "callboard_unprotected_listeners";

pub(super) const UNPROTECTED_LISTENERS: Family =
    Family::gauge(UNPROTECTED, "listeners beyond loopback, without authentication and encryption");
