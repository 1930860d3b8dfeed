//! A data directory: a journal of which a prefix is synced, and the few facts that a start reads.
//!
//! Records are numbers, so equal numbers are equal bytes. The synced part of the journal is kept as the log that it
//! folds to. Entries behind it are kept one by one, because a power cut keeps any prefix of them.

/// Nodes of a state; a search may use fewer.
pub const NODES: usize = 3;
/// Records that one run can append.
pub const RECORDS: usize = 3;
/// The most entries that are not synced.
const TAIL: usize = 6;
/// Marks an entry that truncates; the rest of it is the new end.
const CUT: u8 = 0x80;

/// A log: the numbers of its records.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Log {
    len: u8,
    ids: [u8; RECORDS],
}

impl Log {
    /// The number of its records.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether it has no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its records in order.
    #[must_use]
    pub fn ids(&self) -> &[u8] {
        &self.ids[..self.len()]
    }

    /// Appends the record of this number behind the last one.
    pub fn push(&mut self, id: u8) {
        self.ids[self.len()] = id;
        self.len += 1;
    }

    /// Cuts the log down to so many records.
    pub fn truncate(&mut self, to: usize) {
        for at in to..self.len() {
            self.ids[at] = 0;
        }
        self.len = self.len.min(to as u8);
    }

    /// The same log cut down to so many records.
    #[must_use]
    pub fn first(mut self, len: usize) -> Log {
        self.truncate(len);
        self
    }

    /// Whether it begins with all of another log.
    #[must_use]
    pub fn begins_with(&self, other: &Log) -> bool {
        self.ids().starts_with(other.ids())
    }

    fn apply(&mut self, entry: u8) {
        match entry & CUT {
            0 => self.push(entry),
            _ => self.truncate(usize::from(entry & !CUT)),
        }
    }
}

/// What is on a disk, the page cache above it included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Disk {
    /// Its directory id; each wipe draws another one.
    pub directory: u8,
    /// The starts since the last stored grant, that one included (R46), one bit each.
    pub starts: u16,
    pub incarnation: u8,
    /// The boot that the last start has stored.
    pub boot: u8,
    pub marker: bool,
    pub sync_failed: bool,
    /// The stored verdict of a recovery.
    pub unclean: bool,
    synced: Log,
    /// The journal position behind the synced entries.
    pub at: u8,
    tail: [u8; TAIL],
    waiting: u8,
}

impl Disk {
    /// An empty directory of this identity.
    #[must_use]
    pub fn empty(directory: u8, starts: u16, incarnation: u8) -> Disk {
        Disk { directory, starts, incarnation, ..Disk::default() }
    }

    /// Entries that are not synced.
    #[must_use]
    pub fn waiting(&self) -> usize {
        usize::from(self.waiting)
    }

    /// Whether another entry has room.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.waiting() < TAIL
    }

    /// The log with all that is written.
    #[must_use]
    pub fn log(&self) -> Log {
        let mut log = self.synced;
        self.tail[..self.waiting()].iter().for_each(|entry| log.apply(*entry));
        log
    }

    /// Up to where the written log is synced; a truncation on its way lowers that at once (R33).
    #[must_use]
    pub fn synced_end(&self) -> usize {
        let cuts = self.tail[..self.waiting()].iter().filter(|entry| *entry & CUT != 0);
        cuts.fold(self.synced.len(), |end, cut| end.min(usize::from(cut & !CUT)))
    }

    /// Up to where the log counts.
    #[must_use]
    pub fn counted_end(&self, os: bool) -> usize {
        if os { self.log().len() } else { self.synced_end() }
    }

    fn write(&mut self, entry: u8) {
        self.tail[self.waiting()] = entry;
        self.waiting += 1;
    }

    /// Journals a record; it is not synced yet.
    pub fn append(&mut self, id: u8) {
        self.write(id);
    }

    /// Journals a truncation; it is not synced yet.
    pub fn cut(&mut self, to: usize) {
        self.write(CUT | to as u8);
    }

    /// Keeps so many of the entries that are not synced, and makes them durable.
    pub fn keep(&mut self, entries: usize) {
        for entry in &self.tail[..entries.min(usize::from(self.waiting))] {
            self.synced.apply(*entry);
            self.at += 1;
        }
        (self.tail, self.waiting) = ([0; TAIL], 0);
    }

    /// Makes all that is written durable.
    pub fn sync(&mut self) {
        self.keep(TAIL);
    }
}
