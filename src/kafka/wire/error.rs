//! Why bytes are not a message.

/// What is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}: {what}")]
pub struct WireError {
    /// Message and field.
    pub message: String,
    /// What is wrong with it.
    pub what: &'static str,
}

impl WireError {
    /// In this message.
    #[must_use]
    pub fn new(message: &str, what: &'static str) -> WireError {
        WireError { message: message.to_owned(), what }
    }

    /// In this field of it.
    #[must_use]
    pub fn within(mut self, message: &str, field: &str) -> WireError {
        self.message = match self.message.is_empty() {
            true => format!("{message}.{field}"),
            false => format!("{message}.{field}.{}", self.message),
        };
        self
    }
}

impl From<&'static str> for WireError {
    fn from(what: &'static str) -> WireError {
        WireError { message: String::new(), what }
    }
}
