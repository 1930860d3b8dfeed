//! A frame as a client may send it: a header, then the body of its API and version. Our own clients also read responses,
//! so a key of 1000 + n stands for a response of key n.
//!
//! A body that decodes must encode, and the result must decode to the same.

use bytes::Bytes;
use callboard::kafka::wire::api::ApiKey;
use callboard::kafka::wire::messages::*;
use callboard::kafka::wire::{
    Message, Part, Reader, RecordBytes, RequestHeader, Writer, flat, frame_request,
};
use std::fmt::Debug;

/// Added to the key of a response.
pub const RESPONSE: i16 = 1000;

/// Reads a frame without its length. If it is a message: its API, its version, and whether it is a response.
pub fn run(frame: &[u8]) -> Option<(ApiKey, i16, bool)> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader).ok()?;
    let response = header.api_key >= RESPONSE;
    let api = ApiKey::of(if response { header.api_key - RESPONSE } else { header.api_key })?;
    let version = header.api_version;
    if !api.versions().contains(&version) {
        return None;
    }
    let body = Body { frame, at: reader.position(), version, request: (!response).then_some((api, header)) };
    let read = read(body, api, response);
    read.then_some((api, version, response))
}

macro_rules! messages {
    ($($api:ident: $request:ident, $response:ident;)*) => {
        fn read(body: Body<'_>, api: ApiKey, response: bool) -> bool {
            match (api, response) {
                (ApiKey::Produce, false) => body.read(lift_produce),
                (ApiKey::Produce, true) => body.read::<ProduceResponse>(nothing),
                (ApiKey::Fetch, false) => body.read::<FetchRequest>(nothing),
                (ApiKey::Fetch, true) => body.read(lift_fetch),
                $((ApiKey::$api, false) => body.read::<$request>(nothing),
                (ApiKey::$api, true) => body.read::<$response>(nothing),)*
            }
        }
    };
}

messages! {
    ListOffsets: ListOffsetsRequest, ListOffsetsResponse;
    Metadata: MetadataRequest, MetadataResponse;
    OffsetCommit: OffsetCommitRequest, OffsetCommitResponse;
    OffsetFetch: OffsetFetchRequest, OffsetFetchResponse;
    FindCoordinator: FindCoordinatorRequest, FindCoordinatorResponse;
    JoinGroup: JoinGroupRequest, JoinGroupResponse;
    Heartbeat: HeartbeatRequest, HeartbeatResponse;
    LeaveGroup: LeaveGroupRequest, LeaveGroupResponse;
    SyncGroup: SyncGroupRequest, SyncGroupResponse;
    DescribeGroups: DescribeGroupsRequest, DescribeGroupsResponse;
    ListGroups: ListGroupsRequest, ListGroupsResponse;
    ApiVersions: ApiVersionsRequest, ApiVersionsResponse;
    CreateTopics: CreateTopicsRequest, CreateTopicsResponse;
    DeleteTopics: DeleteTopicsRequest, DeleteTopicsResponse;
    DeleteRecords: DeleteRecordsRequest, DeleteRecordsResponse;
    InitProducerId: InitProducerIdRequest, InitProducerIdResponse;
    OffsetForLeaderEpoch: OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    DescribeConfigs: DescribeConfigsRequest, DescribeConfigsResponse;
    AlterConfigs: AlterConfigsRequest, AlterConfigsResponse;
    DescribeLogDirs: DescribeLogDirsRequest, DescribeLogDirsResponse;
    CreatePartitions: CreatePartitionsRequest, CreatePartitionsResponse;
    DeleteGroups: DeleteGroupsRequest, DeleteGroupsResponse;
    ElectLeaders: ElectLeadersRequest, ElectLeadersResponse;
    IncrementalAlterConfigs: IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
    OffsetDelete: OffsetDeleteRequest, OffsetDeleteResponse;
    DescribeCluster: DescribeClusterRequest, DescribeClusterResponse;
    DescribeQuorum: DescribeQuorumRequest, DescribeQuorumResponse;
    DescribeProducers: DescribeProducersRequest, DescribeProducersResponse;
    ListConfigResources: ListConfigResourcesRequest, ListConfigResourcesResponse;
    DescribeTopicPartitions: DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
}

/// The place of a body in its frame.
struct Body<'a> {
    frame: &'a [u8],
    at: usize,
    version: i16,
    request: Option<(ApiKey, RequestHeader)>,
}

impl Body<'_> {
    fn read<M: Message + PartialEq + Debug>(self, lift: fn(&mut M, &Bytes)) -> bool {
        let Some(mut first) = decode::<M>(self.frame, self.at, self.version) else { return false };
        lift(&mut first, &Bytes::copy_from_slice(self.frame));
        let mut writer = Writer::new();
        first.encode(&mut writer, self.version).expect("what was decoded can be encoded");
        let length = writer.len();
        let bytes = Bytes::from(flat(&writer.finish()).expect("in memory"));
        assert_eq!(bytes.len(), length);
        let mut second = decode::<M>(&bytes, 0, self.version).expect("what was encoded can be decoded");
        lift(&mut second, &bytes);
        assert_eq!(first, second);
        if let Some((api, header)) = self.request {
            let client = header.client_id.as_deref();
            let pieces = frame_request(api, self.version, header.correlation_id, client, &first);
            let pieces = pieces.expect("a request that was decoded has a frame");
            let frame = flat(&pieces).expect("in memory");
            let again = RequestHeader::decode(&mut Reader::new(&frame[4..]));
            assert_eq!(again.expect("a header that was encoded can be decoded"), header);
            assert!(frame.ends_with(&bytes));
        }
        true
    }
}

fn decode<M: Message>(frame: &[u8], at: usize, version: i16) -> Option<M> {
    let mut reader = Reader::new(frame);
    reader.range(at).expect("the header was there");
    M::decode_all(reader, version).ok()
}

fn nothing<M>(_: &mut M, _: &Bytes) {}

fn lift_produce(request: &mut ProduceRequest, frame: &Bytes) {
    let partitions = request.topic_data.iter_mut().flat_map(|topic| &mut topic.partition_data);
    partitions.for_each(|partition| lift(&mut partition.records, frame));
}

fn lift_fetch(response: &mut FetchResponse, frame: &Bytes) {
    let partitions = response.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
    partitions.for_each(|partition| lift(&mut partition.records, frame));
}

/// Turns ranges of the frame into bytes, which can be compared and written. `slice` panics if a range is not in the frame.
fn lift(records: &mut Option<RecordBytes>, frame: &Bytes) {
    if let Some(RecordBytes::Frame(range)) = records {
        *records = Some(RecordBytes::Parts(vec![Part::Bytes(frame.slice(range.clone()))]));
    }
}
