//! What the store decides: entries, groups, the fold, what to settle and what to recycle. The bytes are moved by
//! `src/storage`.

mod entry;

pub use entry::{Durability, Entry};
