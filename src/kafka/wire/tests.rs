//! The codec against itself: bounds, tags, nulls. Against `kafka-protocol`: `cluster-tests/tests/wire_oracle.rs`.

use super::api::ApiKey;
use super::messages::*;
use super::*;
use callboard_actors::ports::Part;

fn body<M: Message>(message: &M, version: i16) -> Vec<u8> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).unwrap();
    flat(&writer.finish()).unwrap()
}

#[test]
fn every_truncation_of_a_message_is_an_error_and_none_panics() {
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { name: Some("orders".into()), ..Default::default() }; 3]),
        ..Default::default()
    };
    for version in ApiKey::Metadata.versions() {
        let bytes = body(&request, version);
        assert_eq!(MetadataRequest::decode_all(Reader::new(&bytes), version).unwrap().topics, request.topics);
        for cut in 0..bytes.len() {
            assert!(MetadataRequest::decode_all(Reader::new(&bytes[..cut]), version).is_err());
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(MetadataRequest::decode_all(Reader::new(&longer), version).is_err());
    }
}

#[test]
fn absurd_counts_and_lengths_take_no_memory() {
    for bytes in [&[0x7f, 0xff, 0xff, 0xff][..], &[0, 0x10, 0, 0, 1, 2, 3], &[0x80, 0, 0, 0]] {
        assert!(MetadataRequest::decode_all(Reader::new(bytes), 1).is_err());
    }
    assert!(MetadataRequest::decode_all(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]), 9).is_err());
    assert!(MetadataRequest::decode_all(Reader::new(&[0xff; 12]), 9).is_err());
    // A million empty names would fit the frame; their memory would not fit anything.
    let mut many = 1_000_000i32.to_be_bytes().to_vec();
    many.extend(vec![0u8; 2_000_000]);
    let error = MetadataRequest::decode_all(Reader::new(&many), 1).unwrap_err();
    assert_eq!(error.what, "too many elements in one request");
}

#[test]
fn a_tagged_field_is_written_only_when_it_is_not_its_default_and_an_unknown_one_is_skipped() {
    let plain = ApiVersionsResponse::default();
    assert_eq!(body(&plain, 3), [0, 0, 1, 0, 0, 0, 0, 0]);
    let epoch = ApiVersionsResponse { finalized_features_epoch: 7, ..Default::default() };
    let bytes = body(&epoch, 3);
    assert_eq!(bytes[7..10], [1, 1, 8]);
    assert_eq!(ApiVersionsResponse::decode_all(Reader::new(&bytes), 3).unwrap(), epoch);
    let unknown = [0, 0, 1, 0, 0, 0, 0, 1, 99, 2, 0xaa, 0xbb];
    assert_eq!(ApiVersionsResponse::decode_all(Reader::new(&unknown), 3).unwrap(), plain);
    let too_long = [0, 0, 1, 0, 0, 0, 0, 1, 99, 3, 0xaa, 0xbb];
    assert!(ApiVersionsResponse::decode_all(Reader::new(&too_long), 3).is_err());
}

#[test]
fn record_bytes_pass_through_uncopied() {
    let records = bytes::Bytes::from(vec![7u8; 1000]);
    let data = PartitionData {
        records: Some(RecordBytes::Parts(vec![Part::Bytes(records.clone())])),
        ..Default::default()
    };
    let topic = FetchableTopicResponse { partitions: vec![data], ..Default::default() };
    let response = FetchResponse { responses: vec![topic], ..Default::default() };
    for version in ApiKey::Fetch.versions() {
        let frame = frame_response(ApiKey::Fetch, version, 9, &response).unwrap();
        let same = |piece: &Part| matches!(piece, Part::Bytes(bytes) if bytes.as_ptr() == records.as_ptr());
        assert!(frame.iter().any(same), "the same memory");
        let length: usize = frame[1..].iter().map(Part::len).sum();
        assert_eq!(flat(&frame[..1]).unwrap(), (length as i32).to_be_bytes());
        let whole = flat(&frame[1..]).unwrap();
        let header = if ApiKey::Fetch.flexible(version) { 5 } else { 4 };
        let read = FetchResponse::decode_all(Reader::new(&whole[header..]), version).unwrap();
        let Some(RecordBytes::Frame(range)) = &read.responses[0].partitions[0].records else { panic!() };
        assert_eq!(&whole[header..][range.clone()], &records[..]);
    }
}

#[test]
fn null_where_none_may_be_is_refused() {
    assert!(MetadataRequest::decode_all(Reader::new(&[0xff, 0xff, 0xff, 0xff]), 0).is_err());
    assert!(MetadataRequest::decode_all(Reader::new(&[0xff, 0xff, 0xff, 0xff]), 1).is_ok());
    let unknown = [0, 99, 0, 1, 0, 0, 0, 5];
    let header = RequestHeader::decode(&mut Reader::new(&unknown)).unwrap();
    assert_eq!((header.api_key, header.correlation_id, header.client_id), (99, 5, None));
}
