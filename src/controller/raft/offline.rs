//! A voter's file while no openraft runs over it: read whole, and rewritten for a cluster that lost its majority.
//!
//! ```text
//!   snapshot + entries behind it ─> image, membership
//!   recovered:  snapshot row { image, membership {me}, index far above }   no entries   purged = committed = that index
//!               vote: a term above every term of this file, granted by nobody yet
//! ```
//! openraft takes such a file as that of a voter whose log was compacted. It is the only voter, so it elects itself.
//!
//! The others may have committed entries, and given out broker epochs, that this log lacks. Therefore the new index is far
//! above its last one: no index and no broker epoch means two things. All rows change in one transaction, or none does.

use super::super::kept::Kept;
use super::store::rows::{COMMITTED, LOG, META, PURGED, SNAPSHOT, VOTE, decode, encode, other};
use super::store::{Loaded, Stored, load};
use super::types::{Entry, Lead, LogId, Membership, SnapshotMeta, Vote, broker, next, node_id};
use callboard_core::BrokerId;
use callboard_core::metadata::Image;
use callboard_core::metadata::recovery::survived;
use openraft::EntryPayload;
use redb::{Database, Durability, ReadableDatabase};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

/// Entries that the others may have committed unheard: more than a cluster commits while one of its nodes is behind.
const UNHEARD_ENTRIES: u64 = 1 << 24;
/// Elections that the others may have held unheard.
const UNHEARD_TERMS: u64 = 1 << 20;

/// The sum of a file.
struct Whole {
    image: Image,
    membership: Membership,
    last: Option<LogId>,
    loaded: Loaded,
}

fn whole(db: &Database, node: BrokerId) -> Result<Whole, String> {
    let loaded = load(db, node)?;
    if !loaded.holds_entries() {
        return Err("its log is empty: this node has never been part of a cluster".to_owned());
    }
    let (meta, image) = match &loaded.snapshot {
        Some(stored) => (stored.meta.clone(), Image::clone(&stored.image)),
        None => (SnapshotMeta::default(), Image::default()),
    };
    let last = loaded.last.max(meta.last_log_id);
    let mut whole = Whole { image, membership: meta.last_membership, last, loaded };
    apply(db, &mut whole, next(meta.last_log_id)).map_err(|e| e.to_string())?;
    Ok(whole)
}

fn apply(db: &Database, whole: &mut Whole, from: u64) -> io::Result<()> {
    let tx = db.begin_read().map_err(other)?;
    let table = tx.open_table(LOG).map_err(other)?;
    for row in table.range(from..).map_err(other)? {
        let (index, row) = row.map_err(other)?;
        let entry: Entry = decode(row.value())?;
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Normal(batch) => drop(whole.image.apply_batch(index.value(), &batch.records)),
            EntryPayload::Membership(voters) => {
                whole.membership = Membership::new(Some(entry.log_id), voters);
            }
        }
    }
    Ok(())
}

/// Reads the metadata of a voter.
pub fn kept(db: &Database, node: BrokerId) -> Result<Kept, String> {
    let Whole { image, membership, last, loaded } = whole(db, node)?;
    let covered = loaded.snapshot.as_ref().and_then(|snapshot| snapshot.meta.last_log_id);
    let term = loaded.vote.map_or(0, |vote| vote.leader_id.term);
    Ok(Kept {
        image,
        committed: loaded.committed.max(covered).map(|id| id.index),
        last: last.map_or(0, |id| id.index),
        term: term.max(last.map_or(0, |id| id.leader_id.term)),
        voters: membership.membership().voter_ids().map(broker).collect(),
    })
}

/// Makes the node the only voter, and returns the new cluster epoch.
pub fn sole_voter(db: &Database, node: BrokerId, above: u64) -> Result<u32, String> {
    let me = node_id(node).ok_or_else(|| format!("{node} is no id of a node"))?;
    let Whole { image, last, loaded, .. } = whole(db, node)?;
    let voted = loaded.vote.map_or(0, |vote| vote.leader_id.term);
    let term = voted.max(last.map_or(0, |id| id.leader_id.term)).saturating_add(UNHEARD_TERMS);
    let index = next(last).max(above).saturating_add(UNHEARD_ENTRIES);
    let id = LogId::new(Lead { term, node_id: me }, index);
    let image = Arc::new(survived(&image, node, index));
    let voters =
        openraft::Membership::new(vec![BTreeSet::from([me])], BTreeMap::from([(me, Default::default())]));
    let voters = voters.map_err(|error| error.to_string())?;
    let meta = SnapshotMeta { last_log_id: Some(id), last_membership: Membership::new(Some(id), voters) };
    let epoch = image.cluster_epoch;
    let rows = [
        (SNAPSHOT, encode(&Stored { meta, image })),
        (PURGED, encode(&id)),
        (COMMITTED, encode(&id)),
        (VOTE, encode(&Vote::new(term, me))),
    ];
    write(db, rows).map_err(|e| e.to_string())?;
    Ok(epoch)
}

fn write(db: &Database, rows: [(&str, io::Result<Vec<u8>>); 4]) -> io::Result<()> {
    let mut tx = db.begin_write().map_err(other)?;
    tx.set_durability(Durability::Immediate).map_err(other)?;
    tx.set_quick_repair(true);
    {
        tx.open_table(LOG).map_err(other)?.retain(|_, _| false).map_err(other)?;
        let mut meta = tx.open_table(META).map_err(other)?;
        for (name, row) in rows {
            meta.insert(name, row?.as_slice()).map_err(other)?;
        }
    }
    tx.commit().map_err(other)
}
