//! What `__consumer_offsets` holds: Kafka's own keys and values, byte for byte, so that its tools can read them.
//!
//! ```text
//!   key 0|1  group, topic, partition   ->  value 3: offset, leader epoch, metadata, commit time   (1: with an expiry)
//!   key 2    group                     ->  value 3: type, generation, assignor, leader, since, members
//!   no value: a tombstone
//! ```
//!
//! Written: keys 1 and 2, values 3 (offsets with an expiry of their own: 1, as Kafka does). Read: keys 0–2, values 0–3.
//! A key of a newer version is skipped, as Kafka skips it; a value that cannot be read is an error.

use std::sync::Arc;

/// The value of a committed offset.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OffsetValue {
    pub offset: i64,
    /// Leader epoch of the last record consumed; −1: not known.
    pub leader_epoch: i32,
    /// A text of the client's own.
    pub metadata: String,
    /// When it was committed, in milliseconds since the Unix epoch.
    pub commit_timestamp: i64,
    /// When it expires, if the client said so (OffsetCommit v2–4).
    pub expire_timestamp: Option<i64>,
}

/// A member in the value of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberValue {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// Its metadata for the chosen assignor.
    pub subscription: Arc<[u8]>,
    pub assignment: Arc<[u8]>,
}

/// The value of a group, as the last rebalance left it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct GroupValue {
    pub protocol_type: String,
    pub generation: i32,
    pub protocol_name: Option<String>,
    pub leader: Option<String>,
    /// When the group came into its state, in milliseconds since the Unix epoch; −1: not known.
    pub state_timestamp: i64,
    pub members: Vec<MemberValue>,
}

/// One record of `__consumer_offsets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// A committed offset; without a value, its tombstone.
    Offset { group: String, topic: String, partition: i32, value: Option<OffsetValue> },
    /// A group's members; without a value, its tombstone.
    Group { group: String, value: Option<GroupValue> },
}

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It ends too early, or has lengths that cannot be.
    #[error("a record of __consumer_offsets is cut short or contradicts itself")]
    Malformed,
    /// A newer build wrote it.
    #[error(
        "a record of __consumer_offsets has value version {0}, this build reads 0 to 3: run the newer build again"
    )]
    Version(i16),
}

impl GroupRecord {
    /// The id of the group that it is of.
    #[must_use]
    pub fn group(&self) -> &str {
        match self {
            GroupRecord::Offset { group, .. } | GroupRecord::Group { group, .. } => group,
        }
    }

    /// Key and value as they are stored.
    #[must_use]
    pub fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut key = Vec::new();
        match self {
            GroupRecord::Offset { group, topic, partition, value } => {
                key.extend_from_slice(&1i16.to_be_bytes());
                put_string(&mut key, group);
                put_string(&mut key, topic);
                key.extend_from_slice(&partition.to_be_bytes());
                (key, value.as_ref().map(encode_offset))
            }
            GroupRecord::Group { group, value } => {
                key.extend_from_slice(&2i16.to_be_bytes());
                put_string(&mut key, group);
                (key, value.as_ref().map(encode_group))
            }
        }
    }

    /// Reads key and value; none for a kind that this build does not know.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<GroupRecord>, RecordError> {
        let mut key = Bytes(key);
        match key.i16()? {
            0 | 1 => {
                let (group, topic) = (key.string()?, key.string()?);
                let partition = key.i32()?;
                let value = value.map(decode_offset).transpose()?;
                Ok(Some(GroupRecord::Offset { group, topic, partition, value }))
            }
            2 => {
                let group = key.string()?;
                let value = value.map(decode_group).transpose()?;
                Ok(Some(GroupRecord::Group { group, value }))
            }
            _ => Ok(None),
        }
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    // Every string came in with a length of 16 bits, or is made here and short.
    let bytes = &text.as_bytes()[..text.len().min(i16::MAX as usize)];
    out.extend_from_slice(&(bytes.len() as i16).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn put_nullable(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put_string(out, text),
        None => out.extend_from_slice(&(-1i16).to_be_bytes()),
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn encode_offset(value: &OffsetValue) -> Vec<u8> {
    let mut out = Vec::new();
    let version: i16 = if value.expire_timestamp.is_some() { 1 } else { 3 };
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&value.offset.to_be_bytes());
    if version == 3 {
        out.extend_from_slice(&value.leader_epoch.to_be_bytes());
    }
    put_string(&mut out, &value.metadata);
    out.extend_from_slice(&value.commit_timestamp.to_be_bytes());
    if let Some(expire) = value.expire_timestamp {
        out.extend_from_slice(&expire.to_be_bytes());
    }
    out
}

fn decode_offset(bytes: &[u8]) -> Result<OffsetValue, RecordError> {
    let mut from = Bytes(bytes);
    let version = from.i16()?;
    if !(0..=3).contains(&version) {
        return Err(RecordError::Version(version));
    }
    Ok(OffsetValue {
        offset: from.i64()?,
        leader_epoch: if version >= 3 { from.i32()? } else { -1 },
        metadata: from.string()?,
        commit_timestamp: from.i64()?,
        expire_timestamp: if version == 1 { Some(from.i64()?).filter(|at| *at >= 0) } else { None },
    })
}

fn encode_group(value: &GroupValue) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&3i16.to_be_bytes());
    put_string(&mut out, &value.protocol_type);
    out.extend_from_slice(&value.generation.to_be_bytes());
    put_nullable(&mut out, value.protocol_name.as_deref());
    put_nullable(&mut out, value.leader.as_deref());
    out.extend_from_slice(&value.state_timestamp.to_be_bytes());
    out.extend_from_slice(&(value.members.len() as i32).to_be_bytes());
    for member in &value.members {
        put_string(&mut out, &member.member_id);
        put_nullable(&mut out, member.instance_id.as_deref());
        put_string(&mut out, &member.client_id);
        put_string(&mut out, &member.client_host);
        out.extend_from_slice(&member.rebalance_timeout_ms.to_be_bytes());
        out.extend_from_slice(&member.session_timeout_ms.to_be_bytes());
        put_bytes(&mut out, &member.subscription);
        put_bytes(&mut out, &member.assignment);
    }
    out
}

fn decode_group(bytes: &[u8]) -> Result<GroupValue, RecordError> {
    let mut from = Bytes(bytes);
    let version = from.i16()?;
    if !(0..=3).contains(&version) {
        return Err(RecordError::Version(version));
    }
    let mut value = GroupValue {
        protocol_type: from.string()?,
        generation: from.i32()?,
        protocol_name: from.nullable()?,
        leader: from.nullable()?,
        state_timestamp: if version >= 2 { from.i64()? } else { -1 },
        members: Vec::new(),
    };
    for _ in 0..from.i32()?.max(0) {
        let member_id = from.string()?;
        let instance_id = if version >= 3 { from.nullable()? } else { None };
        let (client_id, client_host) = (from.string()?, from.string()?);
        let rebalance = if version >= 1 { Some(from.i32()?) } else { None };
        let session_timeout_ms = from.i32()?;
        value.members.push(MemberValue {
            member_id,
            instance_id,
            client_id,
            client_host,
            rebalance_timeout_ms: rebalance.unwrap_or(session_timeout_ms),
            session_timeout_ms,
            subscription: from.bytes()?,
            assignment: from.bytes()?,
        });
    }
    Ok(value)
}

/// The bytes that are left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let (head, tail) = self.0.split_at_checked(length).ok_or(RecordError::Malformed)?;
        self.0 = tail;
        Ok(head)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        self.take(N)?.try_into().map_err(|_| RecordError::Malformed)
    }

    fn i16(&mut self) -> Result<i16, RecordError> {
        self.fixed().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, RecordError> {
        self.fixed().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, RecordError> {
        self.fixed().map(i64::from_be_bytes)
    }

    fn nullable(&mut self) -> Result<Option<String>, RecordError> {
        let Ok(length) = usize::try_from(self.i16()?) else { return Ok(None) };
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| RecordError::Malformed)?;
        Ok(Some(text.to_owned()))
    }

    fn string(&mut self) -> Result<String, RecordError> {
        self.nullable()?.ok_or(RecordError::Malformed)
    }

    fn bytes(&mut self) -> Result<Arc<[u8]>, RecordError> {
        let length = usize::try_from(self.i32()?).unwrap_or(0);
        self.take(length).map(Arc::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> GroupRecord {
        let member = |n: u8| MemberValue {
            member_id: format!("m-{n}"),
            instance_id: (n == 1).then(|| "i".to_owned()),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 300_000,
            session_timeout_ms: 45_000,
            subscription: Arc::from([n, 2, 3]),
            assignment: Arc::from([n]),
        };
        let value = GroupValue {
            protocol_type: "consumer".into(),
            generation: 7,
            protocol_name: Some("range".into()),
            leader: Some("m-1".into()),
            state_timestamp: 1_700_000_000_000,
            members: vec![member(1), member(2)],
        };
        GroupRecord::Group { group: "g".into(), value: Some(value) }
    }

    fn offset(expire_timestamp: Option<i64>) -> GroupRecord {
        let leader_epoch = if expire_timestamp.is_some() { -1 } else { 5 };
        let value = OffsetValue {
            offset: 42,
            leader_epoch,
            metadata: "mine ü".into(),
            commit_timestamp: 9,
            expire_timestamp,
        };
        GroupRecord::Offset { group: "g".into(), topic: "t".into(), partition: 3, value: Some(value) }
    }

    #[test]
    fn what_is_written_is_read_back_and_cut_short_it_is_an_error() {
        let tombstone = GroupRecord::Group { group: "g".into(), value: None };
        for record in [group(), offset(None), offset(Some(100)), tombstone] {
            let (key, value) = record.encode();
            assert_eq!(GroupRecord::decode(&key, value.as_deref()), Ok(Some(record)));
            for cut in 0..key.len() {
                assert!(GroupRecord::decode(&key[..cut], None).is_err());
            }
            let value = value.unwrap_or_default();
            for cut in 0..value.len() {
                assert!(GroupRecord::decode(&key, Some(&value[..cut])).is_err(), "{cut}");
            }
        }
    }

    #[test]
    fn the_bytes_are_kafkas() {
        let (key, value) = offset(None).encode();
        assert_eq!(key, [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 3]);
        let value = value.unwrap_or_default();
        assert_eq!(&value[..14], [0, 3, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 5]);
        assert_eq!(value.len(), 2 + 8 + 4 + 2 + "mine ü".len() + 8);
        let (key, _) = group().encode();
        assert_eq!(key, [0, 2, 0, 1, b'g']);
    }

    #[test]
    fn a_newer_key_is_skipped_and_a_newer_value_is_an_error() {
        assert_eq!(GroupRecord::decode(&[0, 3, 0, 0], None), Ok(None));
        let (key, _) = offset(None).encode();
        assert_eq!(GroupRecord::decode(&key, Some(&[0, 4, 0])), Err(RecordError::Version(4)));
    }
}
