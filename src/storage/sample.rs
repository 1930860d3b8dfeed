//! What a scrape reads of a shard, as plain numbers.
//!
//! The shard fills these structs when somebody asks; `scrape.rs` gives the numbers their names. Nothing is counted here.

/// A shard at the moment of a scrape.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShardSample {
    pub unsettled: u64,
    /// Unsettled bytes at which the gate closes.
    pub max: u64,
    /// Seconds for which the gate was closed, in all.
    pub closed: f64,
    /// Seconds since the running sync began.
    pub sync_age: f64,
    /// Bytes of the journal's files.
    pub journal: u64,
    pub runs: usize,
    /// Bytes of settled records that stay in the journal.
    pub resident: u64,
    pub journal_max: u64,
    pub db: DbSample,
    pub free: u64,
    /// Whether produce is refused because the disk is full.
    pub refuses: bool,
    /// How often there was no space.
    pub no_space: u64,
    /// Bytes of the reserve.
    pub reserve: u64,
}

/// A database at the moment of a scrape.
#[derive(Clone, Copy, Debug, Default)]
pub struct DbSample {
    /// Bytes of the file.
    pub file: u64,
    /// Bytes in redb's cache, and the bound of that.
    pub cached: usize,
    pub cache: usize,
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
}
