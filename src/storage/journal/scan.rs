//! The journal's groups, found by reading it in windows.
//!
//! Every 512-byte step behind X may hold a group. The payloads of a group are not kept, so a start needs no more memory for
//! a full journal than for an empty one. Which of the groups count is not decided here but
//! by `callboard_core::storage::walk`.

use crate::storage::journal::segment::Segment;
use bytes::Bytes;
use callboard_core::Lsn;
use callboard_core::records::BatchHead;
use callboard_core::storage::{
    ALIGN, Candidate, ENTRY_HEADER, EntryHeader, GROUP_HEADER, aligned, check_payload, decode_group,
    peek_group,
};
use std::io;

/// Bytes read at once.
const WINDOW: u64 = 1 << 20;

/// Bytes read at once where payloads are passed over.
const NARROW: u64 = 16 << 10;

/// A group, without its payloads.
pub struct Group {
    /// Its position in the stream as it goes on.
    pub at: Lsn,
    /// The position where it was found, and where its payloads are.
    pub was: Lsn,
    pub entries: Vec<EntryHeader>,
    /// For each entry the head of its batch, nothing if it has none, or the fault of its payload.
    pub heads: Vec<Result<Option<BatchHead>, String>>,
}

impl Group {
    fn heads_len(&self) -> u64 {
        (GROUP_HEADER + self.entries.len() * ENTRY_HEADER) as u64
    }

    /// Bytes of its payloads.
    #[must_use]
    pub fn payload_len(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.length)).sum()
    }

    /// Its payloads, read from the segment that it was found in.
    pub fn payload(&self, segment: &Segment) -> io::Result<Bytes> {
        segment.read(Lsn(self.was.0 + self.heads_len()), self.payload_len() as usize)
    }

    /// Entries with their batch heads and the positions of their payloads.
    pub fn parts(&self) -> impl Iterator<Item = (&EntryHeader, &Result<Option<BatchHead>, String>, Lsn)> {
        let mut byte = self.at.0 + self.heads_len();
        self.entries.iter().zip(&self.heads).map(move |(entry, head)| {
            let at = Lsn(byte);
            byte += u64::from(entry.length);
            (entry, head, at)
        })
    }
}

/// Collects every valid group of a segment that is not below `x`.
pub fn scan(segment: &Segment, uuid: &[u8; 16], x: Lsn, out: &mut Vec<(Candidate, Group)>) -> io::Result<()> {
    let mut window = Window { segment, at: segment.start(), bytes: Bytes::new(), size: WINDOW };
    let mut at = segment.start().max(x);
    while at.0 + GROUP_HEADER as u64 <= segment.end().0 {
        match group_at(&mut window, uuid, at)? {
            Some((candidate, group)) => {
                at = Lsn(at.0 + aligned(u64::from(candidate.length)));
                out.push((candidate, group));
            }
            None => at = Lsn(at.0 + ALIGN),
        }
    }
    Ok(())
}

/// The entry headers of every group of a segment that proves itself, whether or not the stream still counts that group.
pub fn headers(segment: &Segment, uuid: &[u8; 16]) -> io::Result<Vec<Vec<EntryHeader>>> {
    let mut window = Window { segment, at: segment.start(), bytes: Bytes::new(), size: NARROW };
    let (mut at, mut out) = (segment.start(), Vec::new());
    while at.0 + GROUP_HEADER as u64 <= segment.end().0 {
        at = match headers_at(&mut window, uuid, at)? {
            Some((length, entries)) => {
                out.push(entries);
                Lsn(at.0 + aligned(u64::from(length)))
            }
            None => Lsn(at.0 + ALIGN),
        };
    }
    Ok(out)
}

fn headers_at(
    window: &mut Window<'_>,
    uuid: &[u8; 16],
    at: Lsn,
) -> io::Result<Option<(u32, Vec<EntryHeader>)>> {
    let Some(head) = window.get(at, GROUP_HEADER as u64)? else { return Ok(None) };
    let Ok(header) = peek_group(head, uuid, at) else { return Ok(None) };
    let heads = GROUP_HEADER as u64 + u64::from(header.entries) * ENTRY_HEADER as u64;
    let Some(bytes) = window.get(at, heads)? else { return Ok(None) };
    Ok(decode_group(bytes, uuid, at).ok().map(|(header, entries)| (header.length, entries)))
}

/// A part of a segment in memory.
struct Window<'a> {
    segment: &'a Segment,
    at: Lsn,
    bytes: Bytes,
    /// Bytes read at once.
    size: u64,
}

impl Window<'_> {
    /// So many bytes from a position; none if they lie beyond the segment.
    fn get(&mut self, at: Lsn, len: u64) -> io::Result<Option<&[u8]>> {
        if at.0 + len > self.segment.end().0 {
            return Ok(None);
        }
        if at < self.at || at.0 + len > self.at.0 + self.bytes.len() as u64 {
            let size = self.size.max(len).min(self.segment.end().0 - at.0);
            self.bytes = self.segment.read(at, size as usize)?;
            self.at = at;
        }
        let from = (at.0 - self.at.0) as usize;
        Ok(self.bytes.get(from..from + len as usize))
    }
}

fn group_at(window: &mut Window<'_>, uuid: &[u8; 16], at: Lsn) -> io::Result<Option<(Candidate, Group)>> {
    let Some(head) = window.get(at, GROUP_HEADER as u64)? else { return Ok(None) };
    let Ok(header) = peek_group(head, uuid, at) else { return Ok(None) };
    let Some(bytes) = window.get(at, u64::from(header.length))? else { return Ok(None) };
    let Ok((header, entries)) = decode_group(bytes, uuid, at) else { return Ok(None) };
    let mut rest = &bytes[GROUP_HEADER + entries.len() * ENTRY_HEADER..];
    let mut heads = Vec::with_capacity(entries.len());
    for entry in &entries {
        let (payload, more) = rest.split_at(entry.length as usize);
        heads.push(check_payload(entry, payload).map_err(|e| e.to_string()));
        rest = more;
    }
    let candidate = Candidate {
        lsn: at,
        length: header.length,
        synced: header.synced,
        prev_crc: header.prev_crc,
        crc: header.crc,
        whole: heads.iter().all(Result::is_ok),
    };
    Ok(Some((candidate, Group { at, was: at, entries, heads })))
}
