//! Proof at the edge: broken payloads of every codec, the largest timestamp, bounds of timestamps, trusted producers.

use super::tests::{ANY, CODECS, proven};
use super::*;
use crate::time::UnixMillis;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::Write;

fn record(timestamp: i64, value: &[u8]) -> NewRecord {
    NewRecord { timestamp, value: Some(value.to_vec()), ..NewRecord::default() }
}

fn three(codec: Compression) -> Vec<u8> {
    let builder = BatchBuilder::new(0).compression(codec);
    let values = [b"one".as_slice(), b"two two two two two two", b"three"];
    (1..).zip(values).fold(builder, |b, (n, value)| b.record(record(n * 10, value))).build().unwrap()
}

/// A batch with another payload, or with fields of its head changed, and its length and CRC made right.
fn with(batch: &[u8], payload: &[u8], change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = [&batch[..HEAD_BYTES], payload].concat();
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    change(&mut bytes);
    let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn count(bytes: &mut [u8], records: i32) {
    bytes[23..27].copy_from_slice(&(records - 1).to_be_bytes());
    bytes[57..61].copy_from_slice(&records.to_be_bytes());
}

fn header_max(batch: &[u8], max: i64) -> Vec<u8> {
    with(batch, &batch[HEAD_BYTES..], |b| b[35..43].copy_from_slice(&max.to_be_bytes()))
}

fn refused(bytes: &[u8]) -> i16 {
    proven(bytes, &ANY, 0).map_or_else(|e| crate::Reject::from(e).code().code(), |_| 0)
}

#[test]
fn a_payload_that_a_consumer_could_not_read_is_refused_in_every_codec() {
    for codec in &CODECS[1..] {
        let good = three(*codec);
        let plain = three(Compression::None)[HEAD_BYTES..].to_vec();
        let packed = &good[HEAD_BYTES..];
        let repack = |bytes: &[u8]| codec.compress(bytes).unwrap();
        let same = |_: &mut Vec<u8>| ();
        assert_eq!(refused(&good), 0);
        for cut in 0..packed.len() {
            assert_eq!(refused(&with(&good, &packed[..cut], same)), 87, "{codec:?}: cut to {cut}");
        }
        let cases = [
            ("garbage", with(&good, b"what a mess this is", same)),
            ("opens to garbage", with(&good, &repack(b"what a mess this is"), same)),
            ("count 5 of 3", with(&good, packed, |b| count(b, 5))),
            ("count 2 of 3", with(&good, packed, |b| count(b, 2))),
            ("a byte behind", with(&good, &[packed, &[0]].concat(), same)),
            ("a second frame behind", with(&good, &[packed, packed].concat(), same)),
            ("opens to nothing", with(&good, &repack(b""), same)),
            ("a byte too many inside", with(&good, &repack(&[&plain[..], &[0]].concat()), same)),
            ("a byte too few inside", with(&good, &repack(&plain[..plain.len() - 1]), same)),
        ];
        for (what, bytes) in cases {
            assert_eq!(refused(&bytes), 87, "{codec:?}: {what}");
        }
        // Every reader of zstd goes on with the next frame; of the others only some do.
        let half = plain.len() / 2;
        let zstd = *codec == Compression::Zstd;
        for frames in [[repack(&plain[..half]), repack(&plain[half..])], [packed.to_vec(), repack(b"")]] {
            assert_eq!(refused(&with(&good, &frames.concat(), same)), if zstd { 0 } else { 87 }, "{codec:?}");
        }
    }
}

#[test]
fn offset_deltas_count_up_from_zero_in_every_codec() {
    let two = BatchBuilder::new(0).record(record(1, b"a")).record(record(1, b"b"));
    let plain = two.build().unwrap()[HEAD_BYTES..].to_vec();
    let first = 1 + usize::from(plain[0] >> 1);
    for codec in CODECS {
        let good = two.clone().compression(codec).build().unwrap();
        for (delta, code) in [(0u8, 87), (2, 0), (4, 87), (1, 87)] {
            let mut bent = plain.clone();
            bent[first + 3] = delta;
            let bytes = with(&good, &codec.compress(&bent).unwrap(), |_| ());
            assert_eq!(refused(&bytes), code, "{codec:?}: zig-zag {delta}");
        }
    }
}

#[test]
fn frames_that_java_does_not_read_are_refused() {
    let good = three(Compression::Lz4);
    let plain = &three(Compression::None)[HEAD_BYTES..];
    let lz4 = |mode| {
        let info =
            lz4_flex::frame::FrameInfo::new().block_mode(mode).content_checksum(true).block_checksums(true);
        let mut out = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        out.write_all(plain).unwrap();
        out.finish().unwrap()
    };
    use lz4_flex::frame::BlockMode;
    assert_eq!(refused(&with(&good, &lz4(BlockMode::Independent), |_| ())), 0);
    assert_eq!(refused(&with(&good, &lz4(BlockMode::Linked), |_| ())), 87);
    let checked = lz4(BlockMode::Independent);
    for at in [checked.len() - 1, 20] {
        let mut rotten = checked.clone();
        rotten[at] ^= 1;
        assert_eq!(refused(&with(&good, &rotten, |_| ())), 87, "byte {at}");
    }
    // A block of nothing in place of the end mark, an empty open block, literals that are no last ones, content sizes.
    let end = checked.len() - 8;
    for last in [&[1, 0, 0, 0, 0][..], &[0, 0, 0, 0x80], &[2, 0, 0, 0, 0x10, b'x']] {
        assert_eq!(refused(&with(&good, &[&checked[..end], last].concat(), |_| ())), 87, "{last:?}");
    }
    let sized = |size| {
        let info = lz4_flex::frame::FrameInfo::new().content_size(Some(size));
        let mut out = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        out.write_all(plain).unwrap();
        out.finish().unwrap_or_default()
    };
    assert_eq!(refused(&with(&good, &sized(plain.len() as u64), |_| ())), 0);
    let block = |bytes: &[u8]| {
        let head = &three(Compression::Lz4)[HEAD_BYTES..HEAD_BYTES + 7];
        let length = (bytes.len() as u32).to_le_bytes();
        [head, &length, bytes, &[0; 4]].concat()
    };
    // The records as literals, then a match that is the last sequence: liblz4 wants literals behind it.
    let literals = [&[0xf0, (plain.len() - 15) as u8][..], plain].concat();
    assert_eq!(refused(&with(&good, &block(&literals), |_| ())), 0);
    let closed_by_match = [&[0xf0, (plain.len() - 15) as u8][..], plain, &[1, 0]].concat();
    assert_eq!(refused(&with(&good, &block(&closed_by_match), |_| ())), 87);
    let good = three(Compression::Gzip);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    zlib.write_all(plain).unwrap();
    assert_eq!(refused(&with(&good, &zlib.finish().unwrap(), |_| ())), 87);
    let mut named = GzEncoder::new(Vec::new(), flate2::Compression::best());
    named.write_all(plain).unwrap();
    let mut named = named.finish().unwrap();
    assert_eq!(refused(&with(&good, &named, |_| ())), 0);
    let at = named.len() - 8;
    named[at] ^= 1;
    assert_eq!(refused(&with(&good, &named, |_| ())), 87, "gzip's own checksum");
}

#[test]
fn lz4_blocks_of_every_size_open_and_snappy_framing_is_of_version_1() {
    let value: Vec<u8> = (0..6_000_000u32).map(|n| (n / 7 % 251) as u8).collect();
    let plain = BatchBuilder::new(0).record(record(5, &value)).build().unwrap();
    let good = BatchBuilder::new(0).compression(Compression::Lz4).record(record(5, b"")).build().unwrap();
    use lz4_flex::frame::BlockSize;
    for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        let info = lz4_flex::frame::FrameInfo::new().block_size(size);
        let mut out = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        out.write_all(&plain[HEAD_BYTES..]).unwrap();
        let bytes = with(&good, &out.finish().unwrap(), |_| ());
        assert_eq!(proven(&bytes, &ANY, 0).unwrap().0.max_timestamp, 5);
    }
    let snappy = three(Compression::Snappy);
    for at in [11, 15] {
        let mut other = snappy[HEAD_BYTES..].to_vec();
        other[at] = 2;
        assert_eq!(refused(&with(&snappy, &other, |_| ())), 87, "byte {at} of the framing");
    }
}

#[test]
fn zstd_frames_of_every_level_open_whatever_their_window() {
    let builder = BatchBuilder::new(0).compression(Compression::Zstd).record(record(5, &[7; 300_000]));
    let good = builder.build().unwrap();
    let mut plain = Vec::new();
    zstd::stream::copy_decode(&good[HEAD_BYTES..], &mut plain).unwrap();
    for level in [-5, 1, 3, 9, 19, 22] {
        for streamed in [true, false] {
            let payload = if streamed {
                zstd::stream::encode_all(&plain[..], level).unwrap()
            } else {
                zstd::bulk::compress(&plain, level).unwrap()
            };
            let (head, _) = proven(&with(&good, &payload, |_| ()), &ANY, 0).unwrap();
            assert_eq!(head.max_timestamp, 5, "level {level}");
        }
    }
}

#[test]
fn records_larger_than_any_buffer_are_walked() {
    for codec in CODECS {
        let mut builder = BatchBuilder::new(0).compression(codec);
        for n in 0..40i64 {
            let size = [0, 1, 100, 32 * 1024 - 20, 32 * 1024, 100_000][n as usize % 6];
            let value: Vec<u8> = (0..size).map(|i| (i * 7 + n) as u8).collect();
            let headers = (0..n % 5).map(|h| (vec![h as u8; 3], (h > 1).then(|| vec![1; 40_000]))).collect();
            builder = builder.record(NewRecord { timestamp: n, key: None, value: Some(value), headers });
        }
        let bytes = builder.build().unwrap();
        let (head, stored) = proven(&bytes, &ANY, 0).unwrap();
        assert_eq!((head.max_timestamp, stored == bytes), (39, true), "{codec:?}");
    }
}

#[test]
fn the_largest_timestamp_is_the_records_whatever_the_head_says() {
    for codec in CODECS {
        let records = [(0, -60_000), (1, 0), (2, -30_000)];
        let builder = BatchBuilder::new(0).compression(codec);
        let builder = records.iter().fold(builder, |b, (n, at)| b.record(record(1_000_000 + at, &[*n])));
        let honest = builder.build().unwrap();
        for header in [-1, 0, 999_999, 1_000_001, i64::MAX, i64::MIN, 1_000_000] {
            let (head, stored) = proven(&header_max(&honest, header), &ANY, 0).unwrap();
            assert_eq!((head.max_timestamp, &stored), (1_000_000, &honest), "{codec:?}: {header}");
            assert_eq!(verify(&stored), Ok(head));
        }
        let claims_broker = with(&honest, &honest[HEAD_BYTES..], |b| b[22] |= 0x08);
        let bounds = Some(TimestampBounds { before_max_ms: i64::MAX, after_max_ms: 0 });
        let (head, stored) = proven(&claims_broker, &Rules { timestamps: bounds, ..ANY }, 1_000_000).unwrap();
        assert_eq!((head.is_log_append_time(), &stored), (false, &honest), "{codec:?}");
    }
    let undated = BatchBuilder::new(0).record(record(-1, b"a")).record(record(-1, b"b")).build().unwrap();
    assert_eq!(proven(&header_max(&undated, 77), &ANY, 0).unwrap().0.max_timestamp, -1);
    let early = BatchBuilder::new(0).record(record(-5, b"a")).build().unwrap();
    assert_eq!(proven(&early, &ANY, 0).unwrap().0.max_timestamp, -1, "the maximum begins at no timestamp");
}

#[test]
fn each_record_outside_the_bounds_is_named_in_kafkas_words() {
    let bounds = TimestampBounds { before_max_ms: 60_000, after_max_ms: 3_600_000 };
    let rules = Rules { timestamps: Some(bounds), ..ANY };
    let now = 10_000_000_000;
    for codec in CODECS {
        let judge = |times: &[i64]| {
            let builder = BatchBuilder::new(0).compression(codec);
            let builder = times.iter().fold(builder, |b, at| b.record(record(*at, b"v")));
            match proven(&header_max(&builder.build().unwrap(), now), &rules, now) {
                Ok(_) => Vec::new(),
                Err(RecordsError::Timestamps(bad)) => bad,
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(judge(&[now - 60_000, now + 3_600_000, -1, now]), []);
        let bad = judge(&[now, now + 36_000_000, now - 60_001]);
        assert_eq!(bad.iter().map(|b| b.index).collect::<Vec<_>>(), [1, 2], "{codec:?}");
        assert_eq!(
            bad[0].why,
            "Timestamp 10036000000 of message with offset 1 is out of range. The timestamp should be within [9999940000, 10003600000]"
        );
        assert_eq!(judge(&[-2]).len(), 1, "a timestamp, and too old");
    }
    let many = (0..1_500).fold(BatchBuilder::new(0), |b, _| b.record(record(1, b"v"))).build().unwrap();
    let Err(RecordsError::Timestamps(bad)) = proven(&many, &rules, now) else { panic!("too old") };
    assert_eq!(bad.len(), crate::limits::BAD_RECORDS_NAMED);
    let unbounded = Some(TimestampBounds { before_max_ms: i64::MAX, after_max_ms: 3_600_000 });
    for extreme in [i64::MIN, i64::MAX] {
        let batch = BatchBuilder::new(0).record(record(extreme, b"v")).build().unwrap();
        for rules in [rules, Rules { timestamps: unbounded, ..ANY }] {
            assert!(matches!(proven(&batch, &rules, now), Err(RecordsError::Timestamps(_))), "{extreme}");
        }
    }
}

#[test]
fn where_the_brokers_time_is_stored_a_client_may_not_claim_it_and_its_own_is_not_judged() {
    let batch = three(Compression::None);
    assert!(proven(&batch, &ANY, 1 << 50).is_ok());
    let claims = with(&batch, &batch[HEAD_BYTES..], |b| b[22] |= 0x08);
    let Err(RecordsError::Timestamps(bad)) = proven(&claims, &ANY, 0) else { panic!("32 in Kafka") };
    assert_eq!(bad.iter().map(|b| b.index).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_trusted_producers_batch_stays_closed_and_its_head_is_believed() {
    let bounds = Some(TimestampBounds { before_max_ms: i64::MAX, after_max_ms: 100 });
    let trusting = Rules { open: false, timestamps: bounds, ..ANY };
    let good = three(Compression::Zstd);
    let garbage = with(&good, b"what a mess this is", |_| ());
    assert_eq!(proven(&garbage, &trusting, 0).unwrap().1, garbage);
    assert_eq!(proven(&header_max(&garbage, -1), &trusting, 0).unwrap().0.max_timestamp, -1);
    assert!(matches!(proven(&header_max(&good, 101), &trusting, 0), Err(RecordsError::Timestamps(_))));
    let open = three(Compression::None);
    assert_eq!(proven(&header_max(&open, -1), &trusting, 0).unwrap().0.max_timestamp, 30, "it lies open");
    assert!(proven(&with(&open, b"what a mess this is", |_| ()), &trusting, 0).is_err());
}

#[test]
fn a_batch_that_unpacks_to_more_than_the_cap_says_so_in_every_codec() {
    for codec in &CODECS[1..] {
        // One raw block of snappy announces all of it.
        let value = vec![7; 300_000];
        let plain = BatchBuilder::new(0).record(record(5, &value)).build().unwrap();
        let raw = snap::raw::Encoder::new().compress_vec(&plain[HEAD_BYTES..]).unwrap();
        let good = BatchBuilder::new(0).compression(*codec).record(record(5, &value)).build().unwrap();
        let good = if *codec == Compression::Snappy { with(&good, &raw, |_| ()) } else { good };
        let head = prove_head(&good, &ANY).unwrap();
        let prove = |batch, unpacked| {
            let mut budget = Budget { batch, unpacked, named: 0 };
            let proven = prove_records(&mut good.clone(), &head, &ANY, UnixMillis(0), &mut budget);
            (proven.map(|_| budget.unpacked), batch.min(unpacked))
        };
        for (batch, unpacked) in [(256 * 1024, 1 << 20), (1 << 20, 256 * 1024)] {
            let (proven, cap) = prove(batch, unpacked);
            assert_eq!(proven, Err(RecordsError::Bomb(cap)), "{codec:?}");
        }
        let left = (1 << 20) - (plain.len() - HEAD_BYTES);
        assert_eq!(prove(1 << 20, 1 << 20).0, Ok(left), "{codec:?}: a batch takes its share off");
    }
}

#[test]
fn beyond_the_budget_of_names_a_batch_is_refused_without_them() {
    let early = BatchBuilder::new(0).record(record(1, b"v")).record(record(1, b"v")).build().unwrap();
    let bounds = Some(TimestampBounds { before_max_ms: 0, after_max_ms: 0 });
    let (rules, mut budget) =
        (Rules { timestamps: bounds, ..ANY }, Budget { batch: 0, unpacked: 0, named: 3 });
    let head = prove_head(&early, &rules).unwrap();
    let named = [2, 1, 0].map(|expected| {
        let proven = prove_records(&mut early.clone(), &head, &rules, UnixMillis(9), &mut budget);
        let Err(RecordsError::Timestamps(bad)) = proven else { panic!("{proven:?}") };
        bad.len() == expected
    });
    assert_eq!(named, [true; 3]);
}

#[test]
fn refusals_come_in_kafkas_order() {
    let good = three(Compression::None);
    let small = Rules { max_bytes: 80, ..ANY };
    let code =
        |bytes: &[u8], rules: &Rules| crate::Reject::from(proven(bytes, rules, 0).unwrap_err()).code().code();
    let mut rotten = good.clone();
    rotten[70] ^= 1;
    assert_eq!(code(&rotten, &small), 10, "size before checksum");
    let placed = with(&good, &good[HEAD_BYTES..], |b| b[7] = 9);
    assert_eq!(code(&placed, &small), 87, "base offset before size");
    let mut counted = rotten.clone();
    count(&mut counted, 2);
    assert_eq!(code(&counted, &ANY), 2, "checksum before count");
}

proptest! {
    #[test]
    fn the_walk_and_the_reader_agree_on_what_records_are(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        codec in 0usize..5,
    ) {
        let good = three(CODECS[codec]);
        let mut plain = three(Compression::None)[HEAD_BYTES..].to_vec();
        for (at, byte) in flips {
            let at = at.index(plain.len());
            plain[at] = byte;
        }
        let bytes = with(&good, &CODECS[codec].compress(&plain).unwrap(), |_| ());
        let records = Records::open(&bytes, 1 << 20).unwrap();
        let read: Result<Vec<i64>, _> = records.iter().map(|r| r.map(|r| r.offset)).collect();
        let counts = read.is_ok_and(|offsets| offsets == [0, 1, 2]);
        prop_assert_eq!(proven(&bytes, &ANY, 0).is_ok(), counts);
    }
}
