//! Properties of batches: what is built proves and reads back; what is bent is refused; nothing panics.

use super::*;
use crate::limits::{BAD_RECORDS_NAMED, DECOMPRESSED_MAX};
use crate::time::UnixMillis;
use proptest::prelude::*;

pub(super) const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// Rules that leave timestamps alone.
pub(super) const ANY: Rules = Rules { max_bytes: usize::MAX, open: true, timestamps: None };

/// The whole proof; the batch as it is then stored.
pub(super) fn proven(bytes: &[u8], rules: &Rules, now: i64) -> Result<(BatchHead, Vec<u8>), RecordsError> {
    let head = prove_head(bytes, rules)?;
    let mut batch = bytes.to_vec();
    let mut budget = Budget { batch: DECOMPRESSED_MAX, unpacked: DECOMPRESSED_MAX, named: BAD_RECORDS_NAMED };
    let head = prove_records(&mut batch, &head, rules, UnixMillis(now), &mut budget)?;
    Ok((head, batch))
}

fn prove(bytes: &[u8]) -> Result<BatchHead, RecordsError> {
    proven(bytes, &ANY, 0).map(|(head, _)| head)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

fn record() -> impl Strategy<Value = NewRecord> {
    let header = ("[a-b]{0,2}", prop::option::of(bytes()));
    let headers = prop::collection::vec(header.prop_map(|(k, v)| (k.into_bytes(), v)), 0..4);
    (0i64..1 << 42, prop::option::of(bytes()), prop::option::of(bytes()), headers)
        .prop_map(|(timestamp, key, value, headers)| NewRecord { timestamp, key, value, headers })
}

fn batch() -> impl Strategy<Value = (BatchBuilder, Vec<NewRecord>)> {
    let records = prop::collection::vec(record(), 1..20);
    (records, 0usize..5, any::<bool>()).prop_map(|(records, codec, idempotent)| {
        let mut builder = BatchBuilder::new(0).compression(CODECS[codec]).leader_epoch(3);
        if idempotent {
            builder = builder.producer(9, 1, 40);
        }
        (records.iter().cloned().fold(builder, BatchBuilder::record), records)
    })
}

fn read(bytes: &[u8]) -> Result<Vec<NewRecord>, RecordsError> {
    let own = |b: Option<&[u8]>| b.map(<[u8]>::to_vec);
    let records = Records::open(bytes, 1 << 20)?;
    records
        .iter()
        .map(|r| {
            let r = r?;
            let headers = r.headers.iter().map(|h| (h.key.to_vec(), own(h.value))).collect();
            Ok(NewRecord { timestamp: r.timestamp, key: own(r.key), value: own(r.value), headers })
        })
        .collect()
}

proptest! {
    #[test]
    fn what_is_built_proves_and_reads_back((builder, records) in batch()) {
        let bytes = builder.build().unwrap();
        prop_assert_eq!(proven(&bytes, &ANY, 0).unwrap().1, bytes.clone(), "not a byte is changed");
        let head = prove(&bytes).unwrap();
        prop_assert_eq!(head.records as usize, records.len());
        prop_assert_eq!(head.next_offset(), records.len() as i64);
        prop_assert_eq!(read(&bytes).unwrap(), records);
    }

    #[test]
    fn any_flipped_bit_the_crc_covers_is_found((builder, _) in batch(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = builder.build().unwrap();
        let at = 17 + at.index(bytes.len() - 17);
        bytes[at] ^= 1 << bit;
        let found = matches!(prove(&bytes), Err(RecordsError::Crc { .. }));
        prop_assert!(found);
    }

    #[test]
    fn cut_anywhere_it_is_refused((builder, _) in batch(), at in any::<prop::sample::Index>()) {
        let bytes = builder.build().unwrap();
        prop_assert!(prove(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn patching_changes_only_offset_and_epoch((builder, records) in batch(), offset in 0i64..1 << 40, epoch in 0i32..99) {
        let mut bytes = builder.build().unwrap();
        patch(&mut bytes, offset, epoch);
        let head = verify(&bytes).unwrap();
        prop_assert_eq!((head.base_offset, head.leader_epoch), (offset, epoch));
        prop_assert_eq!(read(&bytes).unwrap(), records);
    }

    #[test]
    fn garbage_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..300), fix in any::<bool>()) {
        if fix && bytes.len() > HEAD_BYTES {
            let length = (bytes.len() - 12) as i32;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            bytes[16] = 2;
            let crc = crc32c::crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        let walked = prove(&bytes);
        let read = read(&bytes);
        prop_assert!(walked.is_err() || read.is_ok(), "a proven batch can be read");
        let _ = batches(&bytes).count();
        let _ = Times::open(&bytes, 1 << 20).map(Iterator::count);
    }

    #[test]
    fn times_are_those_of_the_records((builder, _) in batch()) {
        let bytes = builder.build().unwrap();
        let expected: Vec<_> = Records::open(&bytes, 1 << 20).unwrap().iter()
            .map(|record| record.map(|r| (r.offset, r.timestamp)).unwrap()).collect();
        prop_assert_eq!(times(&bytes, 1 << 20), (expected, None));
    }
}

#[test]
fn a_bomb_is_capped_in_every_codec() {
    for codec in &CODECS[1..] {
        let zeros = NewRecord { value: Some(vec![0; 8 << 20]), ..NewRecord::default() };
        let bytes = BatchBuilder::new(0).compression(*codec).record(zeros).build().unwrap();
        assert!(matches!(
            Records::open(&bytes, 1 << 20),
            Err(RecordsError::Bomb(_) | RecordsError::Decompress(_))
        ));
    }
}

/// Offsets and timestamps as `Times` tells them, and as the records have them.
fn times(bytes: &[u8], cap: usize) -> (Vec<(i64, i64)>, Option<RecordsError>) {
    let (mut seen, mut failed) = (Vec::new(), None);
    for record in Times::open(bytes, cap).unwrap() {
        match record {
            Ok(record) => seen.push(record),
            Err(error) => failed = Some(error),
        }
    }
    (seen, failed)
}

#[test]
fn times_of_a_bomb_end_at_the_cap_and_what_came_before_is_told() {
    let small = |n: i64| NewRecord { timestamp: n, value: Some(vec![1; 10]), ..NewRecord::default() };
    let zeros = NewRecord { timestamp: 9, value: Some(vec![0; 8 << 20]), ..NewRecord::default() };
    for codec in CODECS {
        let builder = BatchBuilder::new(7).compression(codec).record(small(1)).record(small(2));
        let bytes = builder.record(zeros.clone()).record(small(3)).build().unwrap();
        assert_eq!(times(&bytes, 16 << 20), (vec![(7, 1), (8, 2), (9, 9), (10, 3)], None), "{codec:?}");
        if codec == Compression::None {
            continue;
        }
        let (seen, failed) = times(&bytes, 1 << 20);
        // A block of lz4 opens whole or not at all, and the encoder makes blocks of 4 MiB here.
        let told: &[(i64, i64)] = if codec == Compression::Lz4 { &[] } else { &[(7, 1), (8, 2)] };
        assert_eq!(seen, told, "{codec:?}");
        assert_eq!(failed, Some(RecordsError::Bomb(1 << 20)), "{codec:?}");
    }
}

#[test]
fn raw_snappy_without_java_framing_reads_too() {
    let plain =
        BatchBuilder::new(0).record(NewRecord { value: Some(b"hello".to_vec()), ..NewRecord::default() });
    let plain = plain.build().unwrap();
    let mut raw = plain[..HEAD_BYTES].to_vec();
    raw.extend(snap::raw::Encoder::new().compress_vec(&plain[HEAD_BYTES..]).unwrap());
    let length = (raw.len() - 12) as i32;
    raw[8..12].copy_from_slice(&length.to_be_bytes());
    raw[22] |= 2;
    assert_eq!(read(&raw).unwrap()[0].value.as_deref(), Some(&b"hello"[..]));
}

#[test]
fn kafkas_refusals() {
    let record = NewRecord { timestamp: 5, value: Some(vec![1]), ..NewRecord::default() };
    let good = BatchBuilder::new(0).record(record.clone()).record(record.clone()).build().unwrap();
    let code = |bytes: &[u8]| crate::Reject::from(prove(bytes).unwrap_err()).code().code();
    let fix = |mut bytes: Vec<u8>| {
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes
    };
    let with = |at: usize, value: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        fix(bytes)
    };
    assert_eq!(code(&[]), 87, "an empty record set");
    assert_eq!(code(&[good.clone(), good.clone()].concat()), 87, "two batches");
    assert_eq!(code(&with(57, &3i32.to_be_bytes())), 87, "wrong record count");
    assert_eq!(code(&with(22, &[0x20])), 87, "a control batch");
    assert_eq!(code(&with(16, &[1])), 87, "message format v1");
    assert_eq!(code(&with(16, &[3])), 2, "message format v3");
    assert_eq!(code(&with(16, &[255])), 2, "message format v-1");
    assert_eq!(code(&with(8, &13i32.to_be_bytes())), 2, "a length below any record's");
    assert_eq!(code(&with(8, &(-1i32).to_be_bytes())), 2, "a negative length");
    assert_eq!(code(&with(8, &20i32.to_be_bytes())), 87, "a length below the head's");
    assert_eq!(code(&with(8, &i32::MAX.to_be_bytes())), 87, "less than its length says");
    assert_eq!(code(&good[..40]), 87, "half a head");
    assert_eq!(code(&with(22, &[0x05])), 76, "an unknown codec");
    let mut bad = good.clone();
    bad[30] ^= 1;
    assert_eq!(code(&bad), 2, "a bad checksum");
}

#[test]
fn log_append_time_is_every_records_time() {
    let record = |t| NewRecord { timestamp: t, ..NewRecord::default() };
    let mut bytes = BatchBuilder::new(0).record(record(1)).record(record(2)).build().unwrap();
    set_log_append_time(&mut bytes, 99);
    assert!(verify(&bytes).is_ok());
    assert!(read(&bytes).unwrap().iter().all(|r| r.timestamp == 99));
}
