//! Which structure of `kafka-protocol` is which of ours, field by field.
//!
//! `null 9`: null is allowed from version 9 only (Kafka's `nullableVersions`, where they are not all the field's versions).
//! `absent x`: what ours is in versions without the field, where that is not Kafka's default.

crate::twin::twins! {
    Produce {
        PartitionProduceData = produce_request::PartitionProduceData { index, records }
        TopicProduceData = produce_request::TopicProduceData { name, topic_id, partition_data }
        ProduceRequest = produce_request::ProduceRequest { transactional_id, acks, timeout_ms, topic_data }
        BatchIndexAndErrorMessage = produce_response::BatchIndexAndErrorMessage {
            batch_index, batch_index_error_message,
        }
        LeaderIdAndEpoch = produce_response::LeaderIdAndEpoch { leader_id, leader_epoch }
        NodeEndpoint = produce_response::NodeEndpoint { node_id, host, port, rack }
        PartitionProduceResponse = produce_response::PartitionProduceResponse {
            index, error_code, base_offset, log_append_time_ms, log_start_offset, record_errors, error_message,
            current_leader,
        }
        TopicProduceResponse = produce_response::TopicProduceResponse { name, topic_id, partition_responses }
        ProduceResponse = produce_response::ProduceResponse { responses, throttle_time_ms, node_endpoints }
    }
    Fetch {
        ReplicaState = fetch_request::ReplicaState { replica_id, replica_epoch }
        FetchPartition = fetch_request::FetchPartition {
            partition, current_leader_epoch, fetch_offset, last_fetched_epoch, log_start_offset, partition_max_bytes,
            replica_directory_id, high_watermark,
        }
        FetchTopic = fetch_request::FetchTopic { topic, topic_id, partitions }
        ForgottenTopic = fetch_request::ForgottenTopic { topic, topic_id, partitions }
        FetchRequest = fetch_request::FetchRequest {
            cluster_id, replica_id, replica_state, max_wait_ms, min_bytes, max_bytes, isolation_level, session_id,
            session_epoch, topics, forgotten_topics_data, rack_id,
        }
        EpochEndOffset = fetch_response::EpochEndOffset { epoch, end_offset }
        LeaderIdAndEpoch = fetch_response::LeaderIdAndEpoch { leader_id, leader_epoch }
        SnapshotId = fetch_response::SnapshotId { end_offset, epoch }
        AbortedTransaction = fetch_response::AbortedTransaction { producer_id, first_offset }
        NodeEndpoint = fetch_response::NodeEndpoint { node_id, host, port, rack }
        PartitionData = fetch_response::PartitionData {
            partition_index, error_code, high_watermark, last_stable_offset, log_start_offset, diverging_epoch,
            current_leader, snapshot_id, aborted_transactions, preferred_read_replica, records,
        }
        FetchableTopicResponse = fetch_response::FetchableTopicResponse { topic, topic_id, partitions }
        FetchResponse = fetch_response::FetchResponse {
            throttle_time_ms, error_code, session_id, responses, node_endpoints,
        }
    }
    ListOffsets {
        ListOffsetsPartition = list_offsets_request::ListOffsetsPartition {
            partition_index, current_leader_epoch, timestamp,
        }
        ListOffsetsTopic = list_offsets_request::ListOffsetsTopic { name, partitions }
        ListOffsetsRequest = list_offsets_request::ListOffsetsRequest {
            replica_id, isolation_level, topics, timeout_ms,
        }
        ListOffsetsPartitionResponse = list_offsets_response::ListOffsetsPartitionResponse {
            partition_index, error_code, timestamp, offset, leader_epoch,
        }
        ListOffsetsTopicResponse = list_offsets_response::ListOffsetsTopicResponse { name, partitions }
        ListOffsetsResponse = list_offsets_response::ListOffsetsResponse { throttle_time_ms, topics }
    }
    Metadata {
        MetadataRequestTopic = metadata_request::MetadataRequestTopic { topic_id, name null 10 }
        MetadataRequest = metadata_request::MetadataRequest {
            topics null 1, allow_auto_topic_creation, include_cluster_authorized_operations,
            include_topic_authorized_operations,
        }
        MetadataResponseBroker = metadata_response::MetadataResponseBroker { node_id, host, port, rack }
        MetadataResponsePartition = metadata_response::MetadataResponsePartition {
            error_code, partition_index, leader_id, leader_epoch, replica_nodes, isr_nodes, offline_replicas,
        }
        MetadataResponseTopic = metadata_response::MetadataResponseTopic {
            error_code, name null 12, topic_id, is_internal, partitions, topic_authorized_operations,
        }
        MetadataResponse = metadata_response::MetadataResponse {
            throttle_time_ms, brokers, cluster_id, controller_id, topics, cluster_authorized_operations, error_code,
        }
    }
    ApiVersions {
        ApiVersionsRequest = api_versions_request::ApiVersionsRequest {
            client_software_name, client_software_version,
        }
        ApiVersion = api_versions_response::ApiVersion { api_key, min_version, max_version }
        SupportedFeature = api_versions_response::SupportedFeatureKey { name, min_version, max_version }
        FinalizedFeature = api_versions_response::FinalizedFeatureKey { name, max_version_level, min_version_level }
        ApiVersionsResponse = api_versions_response::ApiVersionsResponse {
            error_code, api_keys, throttle_time_ms, supported_features, finalized_features_epoch, finalized_features,
            zk_migration_ready,
        }
    }
    CreateTopics {
        CreatableReplicaAssignment = create_topics_request::CreatableReplicaAssignment { partition_index, broker_ids }
        CreatableTopicConfig = create_topics_request::CreatableTopicConfig { name, value }
        CreatableTopic = create_topics_request::CreatableTopic {
            name, num_partitions, replication_factor, assignments, configs,
        }
        CreateTopicsRequest = create_topics_request::CreateTopicsRequest { topics, timeout_ms, validate_only }
        CreatableTopicConfigs = create_topics_response::CreatableTopicConfigs {
            name, value, read_only, config_source, is_sensitive,
        }
        CreatableTopicResult = create_topics_response::CreatableTopicResult {
            name, topic_id, error_code, error_message, topic_config_error_code, num_partitions, replication_factor,
            configs absent None,
        }
        CreateTopicsResponse = create_topics_response::CreateTopicsResponse { throttle_time_ms, topics }
    }
    DeleteTopics {
        DeleteTopicState = delete_topics_request::DeleteTopicState { name, topic_id }
        DeleteTopicsRequest = delete_topics_request::DeleteTopicsRequest { topics, topic_names, timeout_ms }
        DeletableTopicResult = delete_topics_response::DeletableTopicResult {
            name null 6, topic_id, error_code, error_message,
        }
        DeleteTopicsResponse = delete_topics_response::DeleteTopicsResponse { throttle_time_ms, responses }
    }
    FindCoordinator {
        FindCoordinatorRequest = find_coordinator_request::FindCoordinatorRequest {
            key, key_type, coordinator_keys,
        }
        Coordinator = find_coordinator_response::Coordinator {
            key, node_id, host, port, error_code, error_message,
        }
        FindCoordinatorResponse = find_coordinator_response::FindCoordinatorResponse {
            throttle_time_ms, error_code, error_message absent None, node_id, host, port, coordinators,
        }
    }
    InitProducerId {
        InitProducerIdRequest = init_producer_id_request::InitProducerIdRequest {
            transactional_id, transaction_timeout_ms, producer_id, producer_epoch,
        }
        InitProducerIdResponse = init_producer_id_response::InitProducerIdResponse {
            throttle_time_ms, error_code, producer_id, producer_epoch,
        }
    }
}
