//! What stands in a row of `store.redb`, byte by byte.
//!
//! ```text
//!   state rows   | crc32c 4 | version 1 | fields |            the CRC covers all that follows it
//!   block rows   | crc32c 4 | version 1 | kind 1 | 0 0 | next offset 8 | inline: the batches · in journal: lsn 8, length 4 |
//!   time rows    | crc32c 4 | version 2 | largest timestamp 8 | stored at 8 | next offset 8 | bytes of the block 8 |
//! ```
//!
//! redb checks its pages only when it repairs, so every row proves itself. A row of a newer version is refused, never
//! guessed at. A block's time row says all that retention and look-ups by time have to know of it: its value, which may
//! be 256 KiB, is not read for that. `kind` leaves room for a third home of records.

use super::error::ShardFault;
use bytes::Bytes;
use callboard_core::partition::ProducerTable;
use callboard_core::storage::{ReplicaFold, Span};
use callboard_core::{Lsn, Offset, Seq, TopicId, TopicPartition, UnixMillis};

const VERSION: u8 = 1;
/// Of time rows; version 1 held the timestamp alone and was never released.
const TIME_VERSION: u8 = 2;
/// Bytes before a block's batches.
pub const BLOCK_HEADER: usize = 16;

/// Where a block's batches are.
#[derive(Debug, PartialEq, Eq)]
pub enum Home {
    /// In this row, from this byte on.
    Inline(usize),
    /// In the journal.
    InJournal {
        /// Position of the first byte.
        at: Lsn,
        /// Bytes.
        length: u32,
    },
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

/// X: everything below is in redb; and the checksum of the group before it.
pub fn encode_x(x: Lsn, crc: u32) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend_from_slice(&x.0.to_le_bytes());
    body.extend_from_slice(&crc.to_le_bytes());
    seal(body)
}

/// Reads [`encode_x`].
pub fn decode_x(row: &[u8]) -> Result<(Lsn, u32), ShardFault> {
    let rest = &mut opened(row, "position")?;
    Ok((Lsn(u64::from_le_bytes(*take(rest, "position")?)), u32::from_le_bytes(*take(rest, "position")?)))
}

/// The shard's uuid.
pub fn encode_uuid(uuid: [u8; 16]) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend_from_slice(&uuid);
    seal(body)
}

/// Reads [`encode_uuid`].
pub fn decode_uuid(row: &[u8]) -> Result<[u8; 16], ShardFault> {
    Ok(*take(&mut opened(row, "identity")?, "identity")?)
}

/// A number.
pub fn encode_u64(n: u64) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend_from_slice(&n.to_le_bytes());
    seal(body)
}

/// Reads [`encode_u64`].
pub fn decode_u64(row: &[u8]) -> Result<u64, ShardFault> {
    Ok(u64::from_le_bytes(*take(&mut opened(row, "number")?, "number")?))
}

/// A block in the time index; its first offset is the row's key.
pub fn encode_span(span: &Span) -> Vec<u8> {
    let mut body = vec![TIME_VERSION];
    body.extend_from_slice(&span.max_timestamp.to_le_bytes());
    body.extend_from_slice(&span.stored.map_or(i64::MIN, |at| at.0).to_le_bytes());
    body.extend_from_slice(&span.next.to_le_bytes());
    body.extend_from_slice(&span.bytes.to_le_bytes());
    seal(body)
}

/// Reads [`encode_span`].
pub fn decode_span(base: Offset, row: &[u8]) -> Result<Span, ShardFault> {
    const WHAT: &str = "time";
    let rest = &mut opened_as(row, TIME_VERSION, WHAT)?;
    let max_timestamp = i64::from_le_bytes(*take(rest, WHAT)?);
    let stored = i64::from_le_bytes(*take(rest, WHAT)?);
    let next = Offset::from_le_bytes(*take(rest, WHAT)?);
    let bytes = u64::from_le_bytes(*take(rest, WHAT)?);
    let stored = (stored != i64::MIN).then_some(UnixMillis(stored));
    Ok(Span { base, next, bytes, max_timestamp, stored })
}

/// A replica's state, without its producers (they have rows of their own).
pub fn encode_replica(state: &ReplicaFold) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend_from_slice(&state.id.topic.0);
    body.extend_from_slice(&state.id.partition.to_le_bytes());
    body.extend_from_slice(&state.seq.0.to_le_bytes());
    // Log start and local log start: two numbers from the first day, equal until there is a third home of records.
    body.extend_from_slice(&state.log_start.to_le_bytes());
    body.extend_from_slice(&state.log_start.to_le_bytes());
    body.extend_from_slice(&state.next.to_le_bytes());
    body.extend_from_slice(&state.fsync_since.to_le_bytes());
    body.extend_from_slice(&state.stray.map_or(i64::MIN, |at| at.0).to_le_bytes());
    body.push(u8::from(state.dropped));
    body.extend_from_slice(&(state.epochs.len() as u32).to_le_bytes());
    for (epoch, start) in &state.epochs {
        body.extend_from_slice(&epoch.to_le_bytes());
        body.extend_from_slice(&start.to_le_bytes());
    }
    seal(body)
}

/// Reads [`encode_replica`]; the producers are empty.
pub fn decode_replica(row: &[u8]) -> Result<ReplicaFold, ShardFault> {
    const WHAT: &str = "replica";
    let rest = &mut opened(row, WHAT)?;
    let topic = TopicId(*take(rest, WHAT)?);
    let partition = i32::from_le_bytes(*take(rest, WHAT)?);
    let seq = Seq(u64::from_le_bytes(*take(rest, WHAT)?));
    let log_start = Offset::from_le_bytes(*take(rest, WHAT)?);
    let _local_log_start = Offset::from_le_bytes(*take(rest, WHAT)?);
    let next = Offset::from_le_bytes(*take(rest, WHAT)?);
    let fsync_since = Offset::from_le_bytes(*take(rest, WHAT)?);
    let stray = i64::from_le_bytes(*take(rest, WHAT)?);
    let [dropped] = *take(rest, WHAT)?;
    let mut epochs = Vec::new();
    for _ in 0..u32::from_le_bytes(*take(rest, WHAT)?) {
        epochs.push((i32::from_le_bytes(*take(rest, WHAT)?), Offset::from_le_bytes(*take(rest, WHAT)?)));
    }
    Ok(ReplicaFold {
        id: TopicPartition { topic, partition },
        seq,
        log_start,
        next,
        epochs,
        producers: ProducerTable::default(),
        fsync_since,
        stray: (stray != i64::MIN).then_some(UnixMillis(stray)),
        dropped: dropped != 0,
    })
}

/// A producer snapshot.
pub fn encode_producers(table: &ProducerTable) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend_from_slice(&table.encode());
    seal(body)
}

/// Reads [`encode_producers`].
pub fn decode_producers(row: &[u8]) -> Result<ProducerTable, ShardFault> {
    ProducerTable::decode(opened(row, "producers")?)
        .map_err(|e| ShardFault(format!("store.redb: a producers row: {e}")))
}

/// Bytes of the row of a block whose batches stand in it.
pub fn inline_len(batches: &[Bytes]) -> usize {
    BLOCK_HEADER + batches.iter().map(Bytes::len).sum::<usize>()
}

/// Writes that row in place: `row` has just its length.
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

/// A block's home and the offset behind it; the checksum is compared.
pub fn decode_block(row: &[u8]) -> Result<(Offset, Home), ShardFault> {
    let body = opened(row, "block")?;
    let rest = &mut &body[..];
    let [kind, _, _] = *take(rest, "block")?;
    let next = Offset::from_le_bytes(*take(rest, "block")?);
    match kind {
        0 => Ok((next, Home::Inline(BLOCK_HEADER))),
        1 => {
            let at = Lsn(u64::from_le_bytes(*take(rest, "block")?));
            Ok((next, Home::InJournal { at, length: u32::from_le_bytes(*take(rest, "block")?) }))
        }
        _ => Err(ShardFault("store.redb: a block row of an unknown kind: run the newer build again".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back_and_a_flipped_bit_is_seen() {
        let mut state = ReplicaFold::opened(TopicPartition { topic: TopicId([3; 16]), partition: 4 }, Seq(9));
        state.epochs = vec![(1, 0), (4, 77)];
        state.stray = Some(UnixMillis(5));
        (state.next, state.log_start, state.fsync_since) = (100, 7, Offset::MAX);
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
        assert_eq!(decode_block(&block), Ok((12, Home::Inline(BLOCK_HEADER))));
        assert_eq!(&block[BLOCK_HEADER..], b"abcde");
        for bit in 0..block.len() * 8 {
            let mut bad = block.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_block(&bad).is_err());
        }
        for stored in [None, Some(UnixMillis(77))] {
            let span = Span { base: 3, next: 9, bytes: 1 << 40, max_timestamp: -1, stored };
            assert_eq!(decode_span(3, &encode_span(&span)), Ok(span));
        }
        let old = decode_span(3, &encode_u64(5)).unwrap_err();
        assert!(old.0.contains("version 1"), "{old}");
        assert_eq!(decode_x(&encode_x(Lsn(5), 6)), Ok((Lsn(5), 6)));
        assert_eq!(decode_uuid(&encode_uuid([4; 16])), Ok([4; 16]));
    }
}
