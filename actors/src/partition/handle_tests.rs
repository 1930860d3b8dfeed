//! The handle: lives of actors, reads below the high watermark, the tail and truncations.

use super::*;
use bytes::Bytes;
use callboard_core::TopicId;
use ractor::{Actor, ActorProcessingErr};

struct Nobody;

impl Actor for Nobody {
    type Msg = ReplicaMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _me: ActorRef<ReplicaMsg>, _args: ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

#[tokio::test]
async fn a_former_actor_that_ends_late_takes_nothing_from_the_next() {
    let id = TopicPartition { topic: TopicId([1; 16]), partition: 0 };
    let roles = Arc::new(Changes::default());
    let handle = PartitionHandle::new(id, None, Arc::clone(&roles));
    let leader = || View::unknown(Role::Leader, 3);
    let (former, _) = Actor::spawn(None, Nobody, ()).await.unwrap();
    let (next, _) = Actor::spawn(None, Nobody, ()).await.unwrap();
    handle.begin(ReplicaId(1), former.clone());
    handle.publish(leader());
    let mut watch = roles.watch();
    // The same role in the same epoch, yet another life: its coordinator has to be another one.
    handle.begin(ReplicaId(1), next.clone());
    handle.publish(leader());
    assert!(watch.has_changed().unwrap());
    watch.mark_unchanged();
    handle.ended(former.get_id());
    assert_eq!((handle.life(), &handle.view().role), (2, &Role::Leader));
    assert!(!watch.has_changed().unwrap());
    let tenure = |life| Tenure { leader_epoch: 3, life };
    let late = handle.compacted(tenure(1), 5).get().await;
    assert_eq!(late, Err(Reject::Unavailable), "the former coordinator trims nothing");
    handle.ended(next.get_id());
    assert_eq!(handle.view().role, Role::Idle);
    assert!(watch.has_changed().unwrap());
    former.stop(None);
    next.stop(None);
}

/// A leader's handle whose tail holds the batches 0 to 9, 10 to 19 and so on up to 40, committed up to 30.
fn held() -> PartitionHandle {
    let id = TopicPartition { topic: TopicId([1; 16]), partition: 0 };
    let handle = PartitionHandle::new(id, None, Arc::default());
    for n in 0..4 {
        handle.tail.lock().push(n * 10, n * 10 + 10, Bytes::from(vec![n as u8; 100]));
    }
    handle.publish(View { end: 40, high_watermark: 30, ..View::unknown(Role::Leader, 3) });
    handle
}

#[tokio::test]
async fn a_consumer_reads_below_the_high_watermark_of_its_view_alone() {
    let handle = held();
    let view = handle.view();
    for until in [30, 40, Offset::MAX] {
        assert_eq!(handle.read(0, until, 1_000).await.unwrap().next, 30, "{until}");
        assert_eq!(handle.read_to_send(&view, 10, until, 1_000).await.unwrap().next, 30, "{until}");
    }
    handle.publish(View { high_watermark: 40, ..View::clone(&view) });
    assert_eq!(handle.read_to_send(&view, 10, 40, 1_000).await.unwrap().next, 30, "its own view");
    assert_eq!(handle.read(10, 40, 1_000).await.unwrap().next, 40);
    let follower = View { role: Role::Follower { leader: 2 }, ..View::clone(&view) };
    let refused = handle.read_to_send(&follower, 0, 30, 1_000).await.unwrap_err();
    assert_eq!(refused, ReadError::Refused(Reject::NotLeader));
}

#[tokio::test]
async fn a_read_that_a_truncation_overtook_is_asked_for_again() {
    let storage = || Role::Offline("EIO".into());
    // Each row: the role and the log id after the read; the answer to a read that went well, and to one that did not.
    let lost = || Some(Reject::NotLeader);
    let rows = [
        (Role::Leader, 0, None, None),
        (Role::Leader, 1, lost(), lost()),
        (Role::Follower { leader: 2 }, 0, None, lost()),
        (Role::Follower { leader: 2 }, 1, lost(), lost()),
        (Role::Idle, 1, Some(Reject::Unavailable), Some(Reject::Unavailable)),
        (storage(), 0, None, Some(Reject::Storage("EIO".into()))),
    ];
    for (role, log_id, well, badly) in rows {
        let handle = held();
        let view = handle.view();
        handle.publish(View { role: role.clone(), log_id, ..View::clone(&view) });
        let said =
            |reject: Option<Reject>, otherwise| reject.map_or(otherwise, |r| Err(ReadError::Refused(r)));
        assert_eq!(handle.found(&view, Ok(7)), said(well.clone(), Ok(7)), "{role:?} {log_id}");
        let error = Err(ReadError::OutOfRange(5));
        assert_eq!(handle.found::<i32>(&view, error.clone()), said(badly, error), "{role:?} {log_id}");
        let read = handle.read_to_send(&view, 0, 30, 1_000).await;
        assert_eq!(read.err(), well.map(ReadError::Refused), "from the tail: {role:?} {log_id}");
    }
}

#[tokio::test]
async fn the_tail_is_cut_with_the_log() {
    let left = |entry: Entry| {
        let handle = held();
        handle.cut(&entry);
        (handle.tail_bytes(0, 40), handle)
    };
    let rows = [
        (Entry::Truncate { to: 40 }, Some(400)),
        (Entry::Truncate { to: 20 }, Some(200)),
        (Entry::Truncate { to: 15 }, Some(100)),
        (Entry::Truncate { to: 0 }, None),
        (Entry::Reset { at: 40 }, None),
        (Entry::Reset { at: 15 }, None),
        (Entry::Fence, Some(400)),
    ];
    for (entry, bytes) in rows {
        assert_eq!(left(entry).0, bytes, "{entry:?}");
    }
    // A leader's next batch may lie behind a gap, exactly where the former log ended.
    let (_, handle) = left(Entry::Truncate { to: 20 });
    handle.tail.lock().push(40, 50, Bytes::from(vec![9; 100]));
    handle.publish(View { log_id: 1, end: 50, high_watermark: 50, ..View::unknown(Role::Leader, 4) });
    assert_eq!(handle.tail_bytes(20, 50), None, "bytes of the former log");
    assert_eq!(handle.read(40, 50, 1_000).await.unwrap().bytes, 100);
}

#[tokio::test]
async fn a_feed_reads_above_the_high_watermark_and_no_other_log() {
    let handle = held();
    let view = handle.view();
    let read =
        |max| handle.tail_to_feed(&view, 10, Offset::MAX, max).map(|slices| (slices.bytes, slices.next));
    assert_eq!((read(1_000), read(250), read(1)), (Some((300, 40)), Some((200, 30)), Some((100, 20))));
    assert_eq!(handle.read_to_feed(&view, 10, 40, 1_000).await.unwrap().unwrap().next, 40);
    assert!(handle.tail_to_feed(&view, 40, 50, 1_000).is_none(), "nothing beyond the end");
    let lower = View { end: 30, ..View::clone(&view) };
    assert_eq!(handle.tail_to_feed(&lower, 10, 40, 1_000).unwrap().next, 30, "the end of its own view");
    for other in [View { log_id: 1, ..View::clone(&view) }, View { leader_epoch: 4, ..View::clone(&view) }] {
        handle.publish(other);
        assert!(handle.tail_to_feed(&view, 10, 40, 1_000).is_none());
        assert!(handle.read_to_feed(&view, 10, 40, 1_000).await.is_err());
    }
}
