//! Why bytes are not a message: the message, the field, and what is wrong there.

/// A fault in a message, with the path of fields that leads to it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}: {what}")]
pub struct WireError {
    pub message: String,
    pub what: &'static str,
}

impl WireError {
    /// A fault in this message.
    #[must_use]
    pub fn new(message: &str, what: &'static str) -> WireError {
        WireError { message: message.to_owned(), what }
    }

    /// The same fault, seen from the field of the message around it.
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
