//! Record batches as a producer may send them: head, CRC, proof, and the records through the decompressors.
//!
//! A mutated batch seldom has the right CRC. So the target tries each input as it is, and with its CRC made right.

use callboard_core::records::{
    BatchBuilder, BatchHead, Budget, Compression, HEAD_BYTES, NewRecord, Record, Records, RecordsError,
    Rules, batches, head, patch, prove_head, prove_records, verify,
};
use callboard_core::time::UnixMillis;

/// Bytes that may come out of a decompressor.
pub const CAP: usize = 1 << 20;

/// Findings in one input.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// Batches with a readable head.
    pub heads: usize,
    /// Whether all of it is one batch that a producer may send.
    pub proven: bool,
    /// Compression of a first batch whose records all came out.
    pub opened: Option<u8>,
    /// Number of those records.
    pub records: usize,
}

/// Reads an input as it is and with its CRC made right; returns the findings of the latter.
pub fn run(bytes: &[u8]) -> Seen {
    let seen = look(bytes);
    let mut right = bytes.to_vec();
    match head(bytes) {
        Ok(head) => {
            let crc = crc32c::crc32c(&right[21..head.size as usize]);
            right[17..21].copy_from_slice(&crc.to_be_bytes());
            look(&right)
        }
        Err(_) => seen,
    }
}

/// Proves a batch as the broker does for a producer, with any timestamps; returns it as it is then stored.
fn prove(bytes: &[u8]) -> Result<(BatchHead, Vec<u8>), RecordsError> {
    let rules = Rules { max_bytes: usize::MAX, open: true, timestamps: None };
    let head = prove_head(bytes, &rules)?;
    let mut batch = bytes.to_vec();
    let mut budget = Budget { batch: CAP, unpacked: CAP, named: 10 };
    let head = prove_records(&mut batch, &head, &rules, UnixMillis(0), &mut budget)?;
    Ok((head, batch))
}

fn look(bytes: &[u8]) -> Seen {
    let mut seen = Seen { heads: walk(bytes), ..Seen::default() };
    let head = head(bytes);
    let verified = verify(bytes);
    let proven = prove(bytes);
    if let Ok((proven, stored)) = &proven {
        assert!(verified.is_ok(), "what is proven is verified");
        assert_eq!(verify(stored).as_ref(), Ok(proven), "what is stored is what was proven");
        assert_eq!(bytes[43..], stored[43..], "nothing behind the largest timestamp is changed");
        assert_eq!((proven.size as usize, seen.heads), (bytes.len(), 1), "exactly one batch");
    }
    if let Ok(verified) = &verified {
        assert_eq!(head.as_ref(), Ok(verified), "what is verified has a head");
        patched(bytes, verified);
    }
    let Ok(head) = head else {
        assert!(Records::open(bytes, CAP).is_err(), "no records without a head");
        return seen;
    };
    seen.proven = proven.is_ok();
    let Ok(records) = Records::open(bytes, CAP) else {
        assert!(!seen.proven, "a proven batch opens");
        return seen;
    };
    let all: Result<Vec<Record<'_>>, _> = records.iter().collect();
    let Ok(all) = all else {
        assert!(!seen.proven, "the records of a proven batch can be read");
        return seen;
    };
    assert_eq!(all.len(), usize::try_from(head.records).unwrap_or(0), "as many as the head says");
    let last = head.base_offset.saturating_add(head.last_offset_delta.into());
    assert!(all.iter().all(|record| (head.base_offset..=last).contains(&record.offset)));
    if seen.proven {
        rebuilt(&head, &all);
    }
    seen.opened = Some(head.codec());
    seen.records = all.len();
    seen
}

/// The batches of a buffer are its bytes, without a gap, up to the first that is none.
fn walk(bytes: &[u8]) -> usize {
    let (mut at, mut heads) = (0, 0);
    for batch in batches(bytes) {
        let Ok((batch, head)) = batch else { break };
        assert_eq!(batch.len(), head.size as usize);
        assert!(batch.len() >= HEAD_BYTES);
        assert_eq!(batch.as_ptr(), bytes[at..].as_ptr());
        at += batch.len();
        heads += 1;
    }
    heads
}

/// The fields that a broker writes into a batch leave the rest, and its CRC, as they were.
fn patched(bytes: &[u8], head: &BatchHead) {
    let mut batch = bytes[..head.size as usize].to_vec();
    patch(&mut batch, 7_000_000_000, 42);
    let expected = BatchHead { base_offset: 7_000_000_000, leader_epoch: 42, ..*head };
    assert_eq!(verify(&batch), Ok(expected));
}

/// The same records in a batch of our own, in every compression, are the same records.
fn rebuilt(head: &BatchHead, records: &[Record<'_>]) {
    let first = records.first().map_or(0, |record| record.timestamp);
    let usual = |time: i64| (0..=i64::MAX / 2).contains(&time);
    if !usual(head.base_offset) || !usual(first) || !records.iter().all(|record| usual(record.timestamp)) {
        return;
    }
    for codec in 0..5 {
        let compression = Compression::of(codec).expect("there are five");
        let new = |record: &Record<'_>| NewRecord {
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec))).collect(),
        };
        let builder = BatchBuilder::new(head.base_offset).compression(compression);
        let builder = records.iter().map(new).fold(builder, BatchBuilder::record);
        let batch = builder.build().expect("compression in memory does not fail");
        prove(&batch).expect("a batch of our own is proven");
        let opened = Records::open(&batch, 2 * CAP).expect("a batch of our own opens");
        let again: Vec<Record<'_>> =
            opened.iter().map(|r| r.expect("a record of our own can be read")).collect();
        let same = records.iter().zip(&again).all(|(a, b)| {
            (a.timestamp, a.key, a.value, &a.headers) == (b.timestamp, b.key, b.value, &b.headers)
        });
        assert!(same && records.len() == again.len(), "codec {codec}");
    }
}
