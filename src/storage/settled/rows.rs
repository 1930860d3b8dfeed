//! The bytes of each row of `store.redb`.
//!
//! ```text
//!   state rows   | crc32c 4 | version 1 | fields |            the CRC covers all that follows it; a replica's has version 2
//!   block rows   | crc32c 4 | version 1 | kind 0 | 0 0 | next offset 8 | the batches |
//!   span rows    | crc32c 4 | version 3 | largest timestamp 8 | stored at 8 | next offset 8 | bytes 8 | home 1 |
//!                                                     home 1: segment 8 | position 8 | crc32c of what the batches' own skip 4 |
//! ```
//!
//! Every row proves itself, because redb checks its pages only when it repairs. A row of a newer version is refused. A span
//! row has all that retention and look-ups by time need, so these read no block, which may have 256 KiB. Its home is the
//! block of the same key (0) or the journal (1), where large runs stay; there is room for a third. Transactions and tables
//! are not known here.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::position::Place;
use bytes::Bytes;
use callboard_core::partition::ProducerTable;
use callboard_core::storage::{Outline, ReplicaFold, Span};
use callboard_core::{Lsn, Offset, Seq, TopicId, TopicPartition, UnixMillis};

const VERSION: u8 = 1;
/// The version of replica rows. Version 1 had no high watermark.
const REPLICA_VERSION: u8 = 2;
/// The version of span rows. Version 2 had no home but the block; version 1 was never released.
const SPAN_VERSION: u8 = 3;
/// Bytes before a block's batches.
pub const BLOCK_HEADER: usize = 16;

/// The home of a span's batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The block row of the same key.
    Block,
    /// The journal, as they were written.
    Journal(Place),
}

/// A span and the home of its batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub span: Span,
    pub home: Home,
}

fn seal(body: Vec<u8>) -> Vec<u8> {
    let mut row = Vec::with_capacity(body.len() + 4);
    row.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    row.extend_from_slice(&body);
    row
}

fn opened<'a>(row: &'a [u8], what: &str) -> Result<&'a [u8], ShardFault> {
    opened_as(row, VERSION, what)
}

fn opened_as<'a>(row: &'a [u8], version: u8, what: &str) -> Result<&'a [u8], ShardFault> {
    let Some((crc, body)) = row.split_first_chunk::<4>() else {
        return Err(ShardFault(format!("store.redb: a {what} row is cut short")));
    };
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(ShardFault(format!("store.redb: the checksum of a {what} row does not match")));
    }
    match body.first() {
        Some(v) if *v == version => Ok(&body[1..]),
        Some(v) => Err(ShardFault(format!(
            "store.redb: a {what} row has version {v}, this build reads {version}: run the build that wrote it"
        ))),
        None => Err(ShardFault(format!("store.redb: a {what} row is empty"))),
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8], what: &str) -> Result<&'a [u8; N], ShardFault> {
    let (head, tail) = rest
        .split_first_chunk::<N>()
        .ok_or_else(|| ShardFault(format!("store.redb: a {what} row is cut short")))?;
    *rest = tail;
    Ok(head)
}

/// Encodes X and the checksum of the group before it.
pub fn encode_x(x: Lsn, crc: u32) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend_from_slice(&x.0.to_le_bytes());
    body.extend_from_slice(&crc.to_le_bytes());
    seal(body)
}

/// Reads a row of [`encode_x`].
pub fn decode_x(row: &[u8]) -> Result<(Lsn, u32), ShardFault> {
    let rest = &mut opened(row, "position")?;
    Ok((Lsn(u64::from_le_bytes(*take(rest, "position")?)), u32::from_le_bytes(*take(rest, "position")?)))
}

/// Encodes the shard's uuid.
pub fn encode_uuid(uuid: [u8; 16]) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend_from_slice(&uuid);
    seal(body)
}

/// Reads a row of [`encode_uuid`].
pub fn decode_uuid(row: &[u8]) -> Result<[u8; 16], ShardFault> {
    Ok(*take(&mut opened(row, "identity")?, "identity")?)
}

/// Encodes a number as a row.
pub fn encode_u64(n: u64) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend_from_slice(&n.to_le_bytes());
    seal(body)
}

/// Reads a row of [`encode_u64`].
pub fn decode_u64(row: &[u8]) -> Result<u64, ShardFault> {
    Ok(u64::from_le_bytes(*take(&mut opened(row, "number")?, "number")?))
}

/// Encodes a span; its first offset is the row's key.
pub fn encode_stretch(stretch: &Stretch) -> Vec<u8> {
    let Stretch { span, home } = stretch;
    let mut body = vec![SPAN_VERSION];
    body.extend_from_slice(&span.max_timestamp.to_le_bytes());
    body.extend_from_slice(&span.stored.map_or(i64::MIN, |at| at.0).to_le_bytes());
    body.extend_from_slice(&span.next.to_le_bytes());
    body.extend_from_slice(&span.bytes.to_le_bytes());
    match home {
        Home::Block => body.push(0),
        Home::Journal(Place { segment, at, heads }) => {
            body.push(1);
            body.extend_from_slice(&segment.0.to_le_bytes());
            body.extend_from_slice(&at.0.to_le_bytes());
            body.extend_from_slice(&heads.to_le_bytes());
        }
    }
    seal(body)
}

/// Reads [`encode_stretch`], and the version before it.
pub fn decode_stretch(base: Offset, row: &[u8]) -> Result<Stretch, ShardFault> {
    const WHAT: &str = "time";
    let old = row.get(4) == Some(&2);
    let rest = &mut opened_as(row, if old { 2 } else { SPAN_VERSION }, WHAT)?;
    let max_timestamp = i64::from_le_bytes(*take(rest, WHAT)?);
    let stored = i64::from_le_bytes(*take(rest, WHAT)?);
    let next = Offset::from_le_bytes(*take(rest, WHAT)?);
    let bytes = u64::from_le_bytes(*take(rest, WHAT)?);
    let home = match if old { [0] } else { *take(rest, WHAT)? } {
        [0] => Home::Block,
        [1] => {
            let segment = Lsn(u64::from_le_bytes(*take(rest, WHAT)?));
            let at = Lsn(u64::from_le_bytes(*take(rest, WHAT)?));
            Home::Journal(Place { segment, at, heads: u32::from_le_bytes(*take(rest, WHAT)?) })
        }
        _ => {
            let why = "store.redb: a time row names a home that this build does not know: run the newer one";
            return Err(ShardFault(why.into()));
        }
    };
    let stored = (stored != i64::MIN).then_some(UnixMillis(stored));
    Ok(Stretch { span: Span { base, next, bytes, max_timestamp, stored }, home })
}

/// Encodes how much of a segment rows refer to.
pub fn encode_used(bytes: u64, rows: u64) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend_from_slice(&bytes.to_le_bytes());
    body.extend_from_slice(&rows.to_le_bytes());
    seal(body)
}

/// Reads [`encode_used`]: bytes, rows.
pub fn decode_used(row: &[u8]) -> Result<(u64, u64), ShardFault> {
    let rest = &mut opened(row, "segment")?;
    Ok((u64::from_le_bytes(*take(rest, "segment")?), u64::from_le_bytes(*take(rest, "segment")?)))
}

/// Encodes a replica's state without its producers, which have rows of their own.
pub fn encode_replica(state: &ReplicaFold) -> Vec<u8> {
    let Outline { seq, log_start, next, epochs, dropped } = &state.outline;
    let mut body = vec![REPLICA_VERSION];
    body.extend_from_slice(&state.id.topic.0);
    body.extend_from_slice(&state.id.partition.to_le_bytes());
    body.extend_from_slice(&seq.0.to_le_bytes());
    // Log start and local log start: two numbers from the first day, equal until there is a third home of records.
    body.extend_from_slice(&log_start.to_le_bytes());
    body.extend_from_slice(&log_start.to_le_bytes());
    body.extend_from_slice(&next.to_le_bytes());
    body.extend_from_slice(&state.fsync_since.to_le_bytes());
    body.extend_from_slice(&state.stray.map_or(i64::MIN, |at| at.0).to_le_bytes());
    body.push(u8::from(*dropped));
    body.extend_from_slice(&state.high_watermark.to_le_bytes());
    body.extend_from_slice(&(epochs.len() as u32).to_le_bytes());
    for (epoch, start) in epochs {
        body.extend_from_slice(&epoch.to_le_bytes());
        body.extend_from_slice(&start.to_le_bytes());
    }
    seal(body)
}

/// Reads [`encode_replica`], and the version before it; the producers are empty. A row without a high watermark proves no
/// record to be committed, so its log start stands in. A replica that leads alone raises that to its end at once.
pub fn decode_replica(row: &[u8]) -> Result<ReplicaFold, ShardFault> {
    const WHAT: &str = "replica";
    let old = row.get(4) == Some(&VERSION);
    let rest = &mut opened_as(row, if old { VERSION } else { REPLICA_VERSION }, WHAT)?;
    let topic = TopicId(*take(rest, WHAT)?);
    let partition = i32::from_le_bytes(*take(rest, WHAT)?);
    let seq = Seq(u64::from_le_bytes(*take(rest, WHAT)?));
    let log_start = Offset::from_le_bytes(*take(rest, WHAT)?);
    let _local_log_start = Offset::from_le_bytes(*take(rest, WHAT)?);
    let next = Offset::from_le_bytes(*take(rest, WHAT)?);
    let fsync_since = Offset::from_le_bytes(*take(rest, WHAT)?);
    let stray = i64::from_le_bytes(*take(rest, WHAT)?);
    let [dropped] = *take(rest, WHAT)?;
    let high_watermark = if old { log_start } else { Offset::from_le_bytes(*take(rest, WHAT)?) };
    let mut epochs = Vec::new();
    for _ in 0..u32::from_le_bytes(*take(rest, WHAT)?) {
        epochs.push((i32::from_le_bytes(*take(rest, WHAT)?), Offset::from_le_bytes(*take(rest, WHAT)?)));
    }
    Ok(ReplicaFold {
        id: TopicPartition { topic, partition },
        outline: Outline { seq, log_start, next, epochs, dropped: dropped != 0 },
        producers: ProducerTable::default(),
        fsync_since,
        high_watermark,
        stray: (stray != i64::MIN).then_some(UnixMillis(stray)),
    })
}

/// Encodes a producer snapshot.
pub fn encode_producers(table: &ProducerTable) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend_from_slice(&table.encode());
    seal(body)
}

/// Reads a row of [`encode_producers`].
pub fn decode_producers(row: &[u8]) -> Result<ProducerTable, ShardFault> {
    ProducerTable::decode(opened(row, "producers")?)
        .map_err(|e| ShardFault(format!("store.redb: a producers row: {e}")))
}

/// Bytes of a block's row.
pub fn inline_len(batches: &[Bytes]) -> usize {
    BLOCK_HEADER + batches.iter().map(Bytes::len).sum::<usize>()
}

/// Writes a block's row in place; `row` has just its length.
pub fn write_inline(row: &mut [u8], next: Offset, batches: &[Bytes]) {
    let (head, mut rest) = row.split_at_mut(BLOCK_HEADER);
    head[4..8].copy_from_slice(&[VERSION, 0, 0, 0]);
    head[8..].copy_from_slice(&next.to_le_bytes());
    let mut crc = crc32c::crc32c(&head[4..]);
    for batch in batches {
        let (here, more) = rest.split_at_mut(batch.len());
        here.copy_from_slice(batch);
        crc = crc32c::crc32c_append(crc, here);
        rest = more;
    }
    head[..4].copy_from_slice(&crc.to_le_bytes());
}

/// The batches of a block and the offset behind it; the checksum is compared.
pub fn decode_block(row: &[u8]) -> Result<(Offset, &[u8]), ShardFault> {
    let body = opened(row, "block")?;
    let rest = &mut &body[..];
    let [kind, _, _] = *take(rest, "block")?;
    let next = Offset::from_le_bytes(*take(rest, "block")?);
    match kind {
        0 => Ok((next, rest)),
        _ => Err(ShardFault("store.redb: a block row of an unknown kind: run the newer build again".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back_and_a_flipped_bit_is_seen() {
        let mut state = ReplicaFold::opened(TopicPartition { topic: TopicId([3; 16]), partition: 4 }, Seq(9));
        state.outline.epochs = vec![(1, 0), (4, 77)];
        state.stray = Some(UnixMillis(5));
        (state.outline.next, state.outline.log_start, state.fsync_since) = (100, 7, Offset::MAX);
        state.high_watermark = 60;
        let row = encode_replica(&state);
        assert_eq!(decode_replica(&row), Ok(state));
        for bit in 0..row.len() * 8 {
            let mut bad = row.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_replica(&bad).is_err());
        }
        let batches = [Bytes::from_static(b"abc"), Bytes::from_static(b"de")];
        let mut block = vec![0xff; inline_len(&batches)];
        write_inline(&mut block, 12, &batches);
        assert_eq!(decode_block(&block), Ok((12, &b"abcde"[..])));
        for bit in 0..block.len() * 8 {
            let mut bad = block.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_block(&bad).is_err());
        }
        let place = Place { segment: Lsn(1 << 40), at: Lsn((1 << 40) + 512), heads: 7 };
        for (stored, home) in [(None, Home::Block), (Some(UnixMillis(77)), Home::Journal(place))] {
            let span = Span { base: 3, next: 9, bytes: 1 << 40, max_timestamp: -1, stored };
            let row = encode_stretch(&Stretch { span, home });
            assert_eq!(decode_stretch(3, &row), Ok(Stretch { span, home }));
            for bit in 0..row.len() * 8 {
                let mut bad = row.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(decode_stretch(3, &bad).is_err());
            }
        }
        let old = decode_stretch(3, &encode_u64(5)).unwrap_err();
        assert!(old.0.contains("version 1"), "{old}");
        assert_eq!(decode_used(&encode_used(5, 6)), Ok((5, 6)));
        assert_eq!(decode_x(&encode_x(Lsn(5), 6)), Ok((Lsn(5), 6)));
        assert_eq!(decode_uuid(&encode_uuid([4; 16])), Ok([4; 16]));
    }

    #[test]
    fn a_replica_of_the_version_before_has_committed_nothing_that_can_be_read() {
        let mut state = ReplicaFold::opened(TopicPartition { topic: TopicId([3; 16]), partition: 4 }, Seq(9));
        (state.outline.next, state.outline.log_start, state.outline.epochs) = (100, 7, vec![(1, 7), (4, 77)]);
        state.high_watermark = 60;
        let mut body = encode_replica(&state)[4..].to_vec();
        // Id 20, number 8, four offsets, stray 8, dropped 1.
        let at = 1 + 20 + 8 + 32 + 8 + 1;
        assert_eq!(body.drain(at..at + 8).collect::<Vec<_>>(), 60i64.to_le_bytes());
        body[0] = 1;
        state.high_watermark = 7;
        assert_eq!(decode_replica(&seal(body.clone())), Ok(state));
        body[0] = 3;
        assert!(decode_replica(&seal(body)).unwrap_err().0.contains("version 3, this build reads 2"));
    }

    #[test]
    fn a_span_of_the_version_before_lies_in_its_block() {
        let mut body = vec![2];
        for n in [50i64, i64::MIN, 9, 700] {
            body.extend_from_slice(&n.to_le_bytes());
        }
        let span = Span { base: 3, next: 9, bytes: 700, max_timestamp: 50, stored: None };
        assert_eq!(decode_stretch(3, &seal(body)), Ok(Stretch { span, home: Home::Block }));
    }
}
