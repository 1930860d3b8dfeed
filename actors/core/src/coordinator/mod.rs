//! The coordinator of one partition of an internal topic: what it gathers, when it writes its log anew, how it loads it.

pub mod load;
pub mod machine;
