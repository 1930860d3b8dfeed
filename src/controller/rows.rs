//! The rows of a single node's `meta.redb`, and how they are read and written.
//!
//! ```text
//!   log       index → crc32c · version · records (JSON)
//!   snapshot  "image" → crc32c · version · image (JSON)
//! ```
//!
//! A load folds the snapshot and the batches behind it into one image. It refuses a gap, a row that does not match its
//! checksum, and a version or a record of a newer build. It repairs nothing.

use crate::storage::ShardFault;
use callboard_core::metadata::{Image, MetadataRecord};
use redb::{Database, ReadableDatabase, TableDefinition};

pub(super) const LOG: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("log");
pub(super) const SNAPSHOT: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("snapshot");
/// The tables of a single node, by name.
pub(super) const ALONE: [&str; 2] = ["log", "snapshot"];
/// The table that each voter of a cluster has in its file.
pub(super) const RAFT_LOG: &str = "raft_log";

/// Format version of the rows.
const VERSION: u8 = 1;

pub(super) fn seal(json: Vec<u8>) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend(json);
    let mut row = crc32c::crc32c(&body).to_le_bytes().to_vec();
    row.extend(body);
    row
}

pub(super) fn unseal(row: &[u8]) -> Result<&[u8], String> {
    let (crc, body) = row.split_first_chunk::<4>().ok_or("a row is cut short")?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err("a row's checksum does not match: restore the file from a backup".into());
    }
    match body.split_first() {
        Some((&VERSION, json)) => Ok(json),
        Some((version, _)) => {
            Err(format!("a row has version {version}, this build reads {VERSION}: run the newer build again"))
        }
        None => Err("a row is empty".into()),
    }
}

/// The image of the stored batches, and how many came since the snapshot.
pub(super) struct Recovered {
    pub image: Image,
    pub since_snapshot: u64,
}

pub(super) fn load(db: &Database) -> Result<Recovered, String> {
    let text = |e: redb::Error| e.to_string();
    let tx = db.begin_read().map_err(|e| text(e.into()))?;
    let mut image = match tx.open_table(SNAPSHOT) {
        Ok(table) => match table.get("image").map_err(|e| text(e.into()))? {
            Some(row) => serde_json::from_slice(unseal(row.value())?)
                .map_err(|e| format!("the snapshot does not parse: {e}"))?,
            None => Image::default(),
        },
        Err(redb::TableError::TableDoesNotExist(_)) => Image::default(),
        Err(e) => return Err(text(e.into())),
    };
    let mut since_snapshot = 0;
    let log = match tx.open_table(LOG) {
        Ok(log) => log,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Recovered { image, since_snapshot }),
        Err(e) => return Err(text(e.into())),
    };
    for row in log.range(image.applied + 1..).map_err(|e| text(e.into()))? {
        let (index, row) = row.map_err(|e| text(e.into()))?;
        // A record of an unknown kind stops this build, because no record may be skipped.
        let records: Vec<MetadataRecord> = serde_json::from_slice(unseal(row.value())?)
            .map_err(|e| format!("batch {}: {e}: run the build that wrote it", index.value()))?;
        if index.value() != image.applied + 1 {
            return Err(format!("batch {} is missing", image.applied + 1));
        }
        image.apply_batch(index.value(), &records);
        since_snapshot += 1;
    }
    Ok(Recovered { image, since_snapshot })
}

pub(super) fn append(
    db: &Database,
    index: u64,
    records: &[MetadataRecord],
    snapshot: Option<&Image>,
) -> Result<(), ShardFault> {
    let json = serde_json::to_vec(records).map_err(|e| ShardFault(e.to_string()))?;
    let mut tx = db.begin_write()?;
    tx.set_durability(redb::Durability::Immediate)?;
    tx.set_quick_repair(true);
    {
        let mut log = tx.open_table(LOG)?;
        log.insert(index, &seal(json)[..])?;
        if let Some(image) = snapshot {
            let json = serde_json::to_vec(image).map_err(|e| ShardFault(e.to_string()))?;
            tx.open_table(SNAPSHOT)?.insert("image", &seal(json)[..])?;
            log.retain_in(..=image.applied, |_, _| false)?;
        }
    }
    tx.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotten_row_is_refused() {
        let mut row = seal(b"{}".to_vec());
        assert_eq!(unseal(&row), Ok(&b"{}"[..]));
        row[6] ^= 1;
        assert!(unseal(&row).is_err());
    }
}
