//! The frame: its layout byte by byte, its bounds, and bytes that no packer made.

use super::*;
use proptest::prelude::*;

fn subject(partition: i32) -> Subject {
    Subject { topic: [7; 16], partition, leader_epoch: 3, n: 0x0102_0304_0506_0708 }
}

fn part(partition: i32) -> Part {
    let previous = LogEnd { epoch: 2, offset: 40 };
    Part { subject: subject(partition), previous, high_watermark: 30, log_start: 5, bytes: 0 }
}

/// The bytes on the wire, taken apart as a receiver does.
fn received(chunks: &[Bytes]) -> Result<(Lengths, Bytes), FrameError> {
    let wire = chunks.concat();
    let header = *wire.first_chunk::<HEADER>().unwrap();
    Ok((Lengths::read(header)?, Bytes::from(wire).slice(HEADER..)))
}

fn packed(parts: &[(Part, Vec<Vec<u8>>)]) -> Vec<Bytes> {
    let mut packer = Packer::default();
    for (part, batches) in parts {
        packer.part(*part).unwrap();
        batches.iter().for_each(|batch| packer.batch(Bytes::from(batch.clone())).unwrap());
    }
    packer.finish().unwrap()
}

#[test]
fn the_layout_is_what_it_was() {
    let chunks = packed(&[(part(9), vec![vec![0xaa; 3]])]);
    let mut want = vec![75, 0, 0, 0, 3, 0, 0, 0];
    want.extend([7; 16]);
    want.extend([9, 0, 0, 0, 3, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
    want.extend([2, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0]);
    want.extend([30, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
    // The root: version, kind, how far back the items lie (from here), and how many.
    want.extend([1, 0, 0, 0xbd, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
    want.extend([0xaa; 3]);
    assert_eq!(chunks.concat(), want);
}

#[test]
fn lengths_over_the_bounds_are_refused() {
    let read = |meta: u32, payload: u32| {
        Lengths::read(((u64::from(payload) << 32) | u64::from(meta)).to_le_bytes()).map(|l| l.body())
    };
    let (root, most, payload) = (ROOT as u32, META_MAX as u32, PAYLOAD_MAX as u32);
    assert_eq!(read(root, 0), Ok(ROOT));
    assert_eq!(read(most, payload), Ok(META_MAX + PAYLOAD_MAX));
    assert_eq!(read(root - 1, 0), Err(FrameError::Meta(10)));
    assert_eq!(read(most + 1, 0), Err(FrameError::Meta(META_MAX as u64 + 1)));
    assert_eq!(read(u32::MAX, u32::MAX), Err(FrameError::Meta(u32::MAX.into())));
    assert_eq!(read(root, payload + 1), Err(FrameError::Payload(PAYLOAD_MAX as u64 + 1)));
    assert_eq!(read(root, u32::MAX), Err(FrameError::Payload(u32::MAX.into())));
}

#[test]
fn a_frame_is_no_longer_than_its_bounds() {
    let mut packer = Packer::default();
    assert_eq!(packer.batch(Bytes::from_static(b"x")), Err(FrameError::NoPart));
    assert_eq!(packer.finish(), Err(FrameError::Count(0)));
    for n in 0..ITEMS_MAX as i32 {
        assert!(packer.takes(1));
        packer.part(part(n)).unwrap();
    }
    assert!(!packer.takes(0));
    assert_eq!(packer.part(part(0)), Err(FrameError::Count(ITEMS_MAX + 1)));
    let (lengths, body) = received(&packer.finish().unwrap()).unwrap();
    let Opened::Parts(parts) = open(lengths, &body).unwrap() else { panic!("other items") };
    assert_eq!(parts.count(), ITEMS_MAX);
    assert!(packer.is_empty());

    // Up to the bound batches share a frame, and a larger one goes alone.
    packer.part(part(1)).unwrap();
    packer.batch(Bytes::from(vec![1; PAYLOAD - 1])).unwrap();
    assert!(packer.takes(1) && !packer.takes(2));
    assert_eq!(packer.batch(Bytes::from(vec![1; 2])), Err(FrameError::Shared));
    packer.batch(Bytes::from(vec![1; 1])).unwrap();
    let (lengths, body) = received(&packer.finish().unwrap()).unwrap();
    assert_eq!(lengths.body(), PAYLOAD + ROOT + 64);
    assert!(open(lengths, &body).is_ok());
    packer.part(part(1)).unwrap();
    packer.part(part(2)).unwrap();
    assert!(packer.takes(PAYLOAD + 1));
    packer.batch(Bytes::from(vec![1; PAYLOAD + 1])).unwrap();
    assert!(!packer.takes(1));
    let (lengths, body) = received(&packer.finish().unwrap()).unwrap();
    assert!(open(lengths, &body).is_ok());
    packer.part(part(1)).unwrap();
    let larger = packer.batch(Bytes::from(vec![1; PAYLOAD_MAX + 1]));
    assert_eq!(larger, Err(FrameError::Payload(PAYLOAD_MAX as u64 + 1)));
}

#[test]
fn what_does_not_agree_is_refused() {
    let chunks = packed(&[(part(1), vec![vec![1; 10]]), (part(2), vec![vec![2; 20]])]);
    let (lengths, body) = received(&chunks).unwrap();
    let refused = |change: &dyn Fn(&mut Vec<u8>, &mut Lengths)| {
        let (mut bytes, mut changed) = (body.to_vec(), lengths);
        change(&mut bytes, &mut changed);
        open(changed, &Bytes::from(bytes)).err()
    };
    assert_eq!(refused(&|_, _| ()), None);
    let whole = lengths.body();
    let cut = Some(FrameError::Cut { need: whole, have: whole - 1 });
    assert_eq!(refused(&|bytes, _| bytes.truncate(whole - 1)), cut);
    let long = Some(FrameError::Cut { need: whole, have: whole + 1 });
    assert_eq!(refused(&|bytes, _| bytes.push(0)), long);
    let meta = lengths.meta;
    assert_eq!(refused(&|bytes, _| bytes[meta - ROOT] = 2), Some(FrameError::Version(2)));
    // A part that claims one byte more, also one that would reach far behind the buffer.
    let sum = Some(FrameError::Sum { parts: 31, payload: 30 });
    assert_eq!(refused(&|bytes, _| bytes[60] += 1), sum);
    let far = Some(FrameError::Sum { parts: 20 + 0xff00_000a, payload: 30 });
    assert_eq!(refused(&|bytes, _| bytes[63] = 0xff), far);
    // One part fewer, with its bytes left in the archive.
    let slack = Some(FrameError::Slack { need: 75, have: 139 });
    assert_eq!(refused(&|bytes, _| bytes[meta - 4] = 1), slack);
    // Another kind over the same bytes: 44 bytes an item.
    let slack = Some(FrameError::Slack { need: 99, have: 139 });
    assert_eq!(refused(&|bytes, _| bytes[meta - ROOT + 2] = 1), slack);
    let unknown = refused(&|bytes, _| bytes[meta - ROOT + 2] = 5);
    assert!(matches!(unknown, Some(FrameError::Archive(_))), "{unknown:?}");
    let behind = refused(&|bytes, _| bytes[meta - 4] = 3);
    assert!(matches!(behind, Some(FrameError::Archive(_))), "{behind:?}");
}

#[test]
fn a_large_payload_of_two_parts_is_refused() {
    let half = vec![0; PAYLOAD / 2 + 1];
    let parts = [(part(1), vec![half.clone()]), (part(2), vec![])];
    let chunks = packed(&parts);
    let (lengths, body) = received(&chunks).unwrap();
    let lengths = Lengths { payload: lengths.payload + half.len(), ..lengths };
    let mut bytes = body.to_vec();
    bytes.extend(&half);
    // The second part gets bytes, which no packer would have put there.
    bytes.copy_within(60..64, 64 + 60);
    assert_eq!(open(lengths, &Bytes::from(bytes)).err(), Some(FrameError::Shared));
}

#[test]
fn every_kind_comes_back() {
    let end = LogEnd { epoch: 4, offset: 11 };
    let (written, synced, log_start) = (10, 9, 8);
    for partition in [0, i32::MAX] {
        let subject = subject(partition);
        let position = Position { subject, end, written, synced, log_start };
        let ack = Ack { subject, written, synced, log_start };
        let all = [
            Items::Diverge(vec![Diverge { subject, end }]),
            Items::Refused(vec![Refused { subject, why: 515 }]),
            Items::Positions(vec![position]),
            Items::Acks(vec![ack; ITEMS_MAX]),
        ];
        for items in all {
            let (lengths, body) = received(&[encode(items.clone()).unwrap()]).unwrap();
            let same = match (open(lengths, &body).unwrap(), items) {
                (Opened::Diverge(back), Items::Diverge(_)) => {
                    back[0].subject.to_native() == subject && back[0].end.to_native() == end
                }
                (Opened::Refused(back), Items::Refused(_)) => back[0].why == 515,
                (Opened::Positions(back), Items::Positions(_)) => {
                    let p = &back[0];
                    p.end.to_native() == end
                        && (p.written.to_native(), p.synced.to_native(), p.log_start.to_native())
                            == (10, 9, 8)
                }
                (Opened::Acks(back), Items::Acks(_)) => {
                    back.len() == ITEMS_MAX
                        && back.iter().all(|a| (a.written.to_native(), a.synced.to_native()) == (10, 9))
                }
                _ => false,
            };
            assert!(same);
        }
    }
    assert_eq!(encode(Items::Acks(Vec::new())), Err(FrameError::Count(0)));
    let ack = Ack { subject: subject(0), written, synced, log_start };
    assert_eq!(encode(Items::Acks(vec![ack; ITEMS_MAX + 1])), Err(FrameError::Count(ITEMS_MAX + 1)));
}

fn any_part() -> impl Strategy<Value = Part> {
    let ids = (any::<[u8; 16]>(), any::<i32>(), any::<i32>(), any::<u64>());
    (ids, any::<(i32, i64, i64, i64)>()).prop_map(|((topic, partition, leader_epoch, n), numbers)| {
        let subject = Subject { topic, partition, leader_epoch, n };
        let (epoch, offset, high_watermark, log_start) = numbers;
        Part { subject, previous: LogEnd { epoch, offset }, high_watermark, log_start, bytes: 0 }
    })
}

fn any_parts() -> impl Strategy<Value = Vec<(Part, Vec<Vec<u8>>)>> {
    let batch = proptest::collection::vec(any::<u8>(), 0..200);
    proptest::collection::vec((any_part(), proptest::collection::vec(batch, 0..4)), 1..20)
}

proptest! {
    #[test]
    fn parts_come_back(parts in any_parts(), shift in 0usize..16) {
        let chunks = packed(&parts);
        let (lengths, body) = received(&chunks)?;
        // Anywhere in a buffer: nothing needs an alignment.
        let moved = Bytes::from([vec![0; shift], body.to_vec()].concat()).slice(shift..);
        let Opened::Parts(back) = open(lengths, &moved)? else { panic!("other items") };
        let back: Vec<_> = back.map(|(p, bytes)| {
            let part = Part {
                subject: p.subject.to_native(),
                previous: p.previous.to_native(),
                high_watermark: p.high_watermark.to_native(),
                log_start: p.log_start.to_native(),
                bytes: p.bytes.to_native(),
            };
            (part, bytes.to_vec())
        }).collect();
        let want: Vec<_> = parts.into_iter().map(|(part, batches)| {
            let bytes = batches.concat();
            (Part { bytes: bytes.len() as u32, ..part }, bytes)
        }).collect();
        prop_assert_eq!(back, want);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), meta in 0usize..400) {
        if let Some(header) = bytes.first_chunk::<HEADER>() {
            let _ = Lengths::read(*header);
        }
        let meta = meta.min(bytes.len());
        let lengths = Lengths { meta, payload: bytes.len() - meta };
        let mut body = bytes;
        if meta >= ROOT {
            // A right version, so that the archive is looked at.
            body[meta - ROOT..meta - ROOT + 2].copy_from_slice(&VERSION.to_le_bytes());
        }
        let body = Bytes::from(body);
        if let Ok(Opened::Parts(parts)) = open(lengths, &body) {
            parts.for_each(drop);
        }
    }

    #[test]
    fn changed_bytes_never_panic(
        parts in any_parts(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        near_root in any::<bool>(),
    ) {
        let (lengths, body) = received(&packed(&parts))?;
        let mut body = body.to_vec();
        let from = if near_root { lengths.meta - ROOT } else { 0 };
        for (at, value) in changes {
            body[from + at.index(lengths.meta - from)] = value;
        }
        let body = Bytes::from(body);
        if let Ok(Opened::Parts(parts)) = open(lengths, &body) {
            prop_assert_eq!(parts.map(|(_, bytes)| bytes.len()).sum::<usize>(), lengths.payload);
        }
    }
}
