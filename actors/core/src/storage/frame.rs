//! The journal's bytes: segment headers, group headers, entry headers. All integers are little-endian.
//!
//! ```text
//!   segment  | header 512 | group | group | …                      file position = lsn − first lsn
//!   group    | header 64 | entry headers, 56 each | payloads |     from a multiple of 512, never across segments
//! ```
//!
//! A group's CRC32C covers its header and all its entry headers. Payloads are record batches and carry Kafka's own checksum,
//! which skips their first 21 bytes. So the entry header repeats base offset, epoch and length, and `check_payload` compares
//! them. A group names its shard and its position in that shard's stream, so a stale group is not taken for a
//! new one. Which groups count is decided in `scan.rs`.

use super::entry::{Durability, Entry};
use crate::ids::{Lsn, ReplicaId, Seq, TopicId, TopicPartition};
use crate::mutant::{Mutant, planted};
use crate::records::{self, BatchHead, RecordsError};
use crate::time::UnixMillis;

/// Groups start at multiples of this: what a disk tears at.
pub const ALIGN: u64 = 512;
/// Bytes of a segment's header.
pub const SEGMENT_HEADER: usize = 512;
/// Bytes of a group's header.
pub const GROUP_HEADER: usize = 64;
/// Bytes of an entry's header.
pub const ENTRY_HEADER: usize = 56;
/// The format this build writes, and the newest it reads. Format 1 has no `Reset`, and is otherwise the same.
pub const FORMAT: u16 = 2;

const GROUP_MAGIC: u32 = 0x3142_4743; // "CGB1"
const SEGMENT_MAGIC: u32 = 0x3153_4743; // "CGS1"

/// Why bytes are not what they should be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// There is no magic number, or one of another shard or position.
    #[error("nothing was written here")]
    Absent,
    /// There are fewer bytes than the header says.
    #[error("cut short")]
    Short,
    #[error("the checksum does not match")]
    Crc,
    #[error("its fields contradict each other: {0}")]
    Invalid(&'static str),
    /// A newer build wrote it.
    #[error("format {0}, this build reads up to {FORMAT}: run the newer build again")]
    Format(u16),
}

/// The next multiple of 512.
#[must_use]
pub fn aligned(bytes: u64) -> u64 {
    bytes.div_ceil(ALIGN) * ALIGN
}

fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    let mut n = [0; 4];
    n.copy_from_slice(&b[at..at + 4]);
    u32::from_le_bytes(n)
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    let mut n = [0; 8];
    n.copy_from_slice(&b[at..at + 8]);
    u64::from_le_bytes(n)
}

fn uuid_at(b: &[u8], at: usize) -> [u8; 16] {
    let mut n = [0; 16];
    n.copy_from_slice(&b[at..at + 16]);
    n
}

/// The first segment of a run of the process: where the stream before it was cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentCut {
    /// Groups at or above this position, in segments before this one, never come back.
    pub at: Lsn,
    /// Groups of this segment below this were synced before it got its name.
    pub sealed: Lsn,
    /// `prev_crc` of this segment's first group.
    pub prev_crc: u32,
}

/// The first bytes of a segment: whose it is, and where it stands in the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    pub shard: [u8; 16],
    /// Position of the segment's first byte.
    pub first: Lsn,
    /// Set in the first segment of a run of the process.
    pub cut: Option<SegmentCut>,
}

impl SegmentHeader {
    /// The 512 bytes of this header.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut b = [0u8; SEGMENT_HEADER];
        b[0..4].copy_from_slice(&SEGMENT_MAGIC.to_le_bytes());
        b[4..6].copy_from_slice(&FORMAT.to_le_bytes());
        b[6] = u8::from(self.cut.is_some());
        b[8..24].copy_from_slice(&self.shard);
        b[24..32].copy_from_slice(&self.first.0.to_le_bytes());
        if let Some(cut) = self.cut {
            b[32..40].copy_from_slice(&cut.at.0.to_le_bytes());
            b[40..48].copy_from_slice(&cut.sealed.0.to_le_bytes());
            b[48..52].copy_from_slice(&cut.prev_crc.to_le_bytes());
        }
        let crc = crc32c::crc32c(&b[..508]);
        b[508..512].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// Reads a header and proves its checksum.
    pub fn decode(b: &[u8]) -> Result<SegmentHeader, FrameError> {
        if b.len() < SEGMENT_HEADER {
            return Err(FrameError::Short);
        }
        if u32_at(b, 0) != SEGMENT_MAGIC {
            return Err(FrameError::Absent);
        }
        if u16_at(b, 4) > FORMAT {
            return Err(FrameError::Format(u16_at(b, 4)));
        }
        if crc32c::crc32c(&b[..508]) != u32_at(b, 508) {
            return Err(FrameError::Crc);
        }
        let cut = (b[6] != 0).then(|| SegmentCut {
            at: Lsn(u64_at(b, 32)),
            sealed: Lsn(u64_at(b, 40)),
            prev_crc: u32_at(b, 48),
        });
        Ok(SegmentHeader { shard: uuid_at(b, 8), first: Lsn(u64_at(b, 24)), cut })
    }
}

/// The first bytes of a group: its place in the stream, and the proof that it belongs there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupHeader {
    /// Position in the shard's stream.
    pub lsn: Lsn,
    /// Bytes of the group without padding.
    pub length: u32,
    pub entries: u32,
    /// The position known to be synced when the group was written.
    pub synced: Lsn,
    /// Checksum of the group before it.
    pub prev_crc: u32,
    pub crc: u32,
}

/// An entry's header; `length` payload bytes belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryHeader {
    pub replica: ReplicaId,
    pub seq: Seq,
    pub entry: Entry,
    pub durability: Durability,
    pub length: u32,
}

impl EntryHeader {
    fn put(&self, out: &mut Vec<u8>) {
        let (kind, number, epoch) = match self.entry {
            Entry::Open { .. } => (1u8, 0i64, 0i32),
            Entry::Append { base, epoch } => (2, base, epoch),
            Entry::Truncate { to } => (3, to, 0),
            Entry::LogStart { to } => (4, to, 0),
            Entry::Stray { at } => (5, at.0, 0),
            Entry::Drop => (6, 0, 0),
            Entry::Fence => (7, 0, 0),
            Entry::Reset { at } => (8, at, 0),
        };
        out.extend_from_slice(&[kind, u8::from(self.durability == Durability::Os), 0, 0]);
        out.extend_from_slice(&self.replica.0.to_le_bytes());
        out.extend_from_slice(&self.seq.0.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&epoch.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        let (topic, partition) = match self.entry {
            Entry::Open { id } => (id.topic.0, id.partition),
            _ => ([0; 16], 0),
        };
        out.extend_from_slice(&topic);
        out.extend_from_slice(&partition.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
    }

    fn take(b: &[u8]) -> Result<EntryHeader, FrameError> {
        let number = u64_at(b, 16) as i64;
        let entry = match b[0] {
            1 => {
                let id = TopicPartition { topic: TopicId(uuid_at(b, 32)), partition: u32_at(b, 48) as i32 };
                Entry::Open { id }
            }
            2 => Entry::Append { base: number, epoch: u32_at(b, 24) as i32 },
            3 => Entry::Truncate { to: number },
            4 => Entry::LogStart { to: number },
            5 => Entry::Stray { at: UnixMillis(number) },
            6 => Entry::Drop,
            7 => Entry::Fence,
            8 => Entry::Reset { at: number },
            _ => return Err(FrameError::Invalid("an entry of an unknown kind")),
        };
        Ok(EntryHeader {
            replica: ReplicaId(u32_at(b, 4)),
            seq: Seq(u64_at(b, 8)),
            entry,
            durability: if b[1] == 0 { Durability::Fsync } else { Durability::Os },
            length: u32_at(b, 28),
        })
    }
}

/// Appends a group's header and entry headers to `out`; the payloads follow in the same order. Returns its checksum.
pub fn encode_group(
    shard: &[u8; 16],
    lsn: Lsn,
    synced: Lsn,
    prev_crc: u32,
    entries: &[EntryHeader],
    out: &mut Vec<u8>,
) -> u32 {
    let start = out.len();
    let payload: u64 = entries.iter().map(|e| u64::from(e.length)).sum();
    let length = (GROUP_HEADER + entries.len() * ENTRY_HEADER) as u64 + payload;
    out.reserve(GROUP_HEADER + entries.len() * ENTRY_HEADER);
    out.extend_from_slice(&GROUP_MAGIC.to_le_bytes());
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(shard);
    out.extend_from_slice(&lsn.0.to_le_bytes());
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    out.extend_from_slice(&synced.0.to_le_bytes());
    out.extend_from_slice(&prev_crc.to_le_bytes());
    out.extend_from_slice(&[0; 12]);
    for entry in entries {
        entry.put(out);
    }
    let crc = crc32c::crc32c(&out[start..]);
    out[start + 52..start + 56].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// Reads a group's header without its checksum: enough to know how many bytes to look at.
pub fn peek_group(b: &[u8], shard: &[u8; 16], at: Lsn) -> Result<GroupHeader, FrameError> {
    if b.len() < GROUP_HEADER {
        return Err(FrameError::Short);
    }
    if u32_at(b, 0) != GROUP_MAGIC {
        return Err(FrameError::Absent);
    }
    let stale = uuid_at(b, 8) != *shard || u64_at(b, 24) != at.0;
    if stale && !planted(Mutant::StaleGroupAccepted) {
        return Err(FrameError::Absent);
    }
    if u16_at(b, 4) > FORMAT {
        return Err(FrameError::Format(u16_at(b, 4)));
    }
    let header = GroupHeader {
        lsn: at,
        length: u32_at(b, 32),
        entries: u32_at(b, 36),
        synced: Lsn(u64_at(b, 40)),
        prev_crc: u32_at(b, 48),
        crc: u32_at(b, 52),
    };
    let heads = u64::from(header.entries) * ENTRY_HEADER as u64 + GROUP_HEADER as u64;
    if heads > u64::from(header.length) {
        return Err(FrameError::Invalid("more entries than bytes for them"));
    }
    Ok(header)
}

/// Reads a group at position `at` of a shard's stream: header and entry headers, checksum compared.
pub fn decode_group(
    b: &[u8],
    shard: &[u8; 16],
    at: Lsn,
) -> Result<(GroupHeader, Vec<EntryHeader>), FrameError> {
    let header = peek_group(b, shard, at)?;
    let heads = GROUP_HEADER + header.entries as usize * ENTRY_HEADER;
    if b.len() < heads {
        return Err(FrameError::Short);
    }
    let crc = crc32c::crc32c(&b[..52]);
    let crc = crc32c::crc32c_append(crc, &[0; 4]);
    if crc32c::crc32c_append(crc, &b[56..heads]) != header.crc {
        return Err(FrameError::Crc);
    }
    let entries: Vec<EntryHeader> =
        b[GROUP_HEADER..heads].chunks_exact(ENTRY_HEADER).map(EntryHeader::take).collect::<Result<_, _>>()?;
    let payload: u64 = entries.iter().map(|e| u64::from(e.length)).sum();
    if payload + heads as u64 != u64::from(header.length) {
        return Err(FrameError::Invalid("its length is not that of its entries"));
    }
    Ok((header, entries))
}

/// Proves an entry's payload: for `Append` one batch whose CRC holds and whose first 21 bytes say what the entry says.
pub fn check_payload(entry: &EntryHeader, payload: &[u8]) -> Result<Option<BatchHead>, RecordsError> {
    let Entry::Append { base, epoch } = entry.entry else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(RecordsError::Invalid("an unexpected payload"))
        };
    };
    let head = records::verify(payload)?;
    if head.base_offset != base || head.leader_epoch != epoch || head.size as usize != payload.len() {
        return Err(RecordsError::Invalid("its offset, epoch or length is not that of its journal entry"));
    }
    Ok(Some(head))
}
