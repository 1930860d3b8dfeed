//! Which structure of `kafka-protocol` is which of ours, field by field.
//!
//! `null 9`: null is allowed from version 9 only (Kafka's `nullableVersions`, where they are not all the field's versions).
//! `absent x`: what ours is in versions without the field, where that is not Kafka's default.
//! `newer x`: a field that came after the last version `kafka-protocol` knows.
//! `no tags`: a structure of an API that never became flexible.

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
    OffsetCommit {
        OffsetCommitRequestPartition = offset_commit_request::OffsetCommitRequestPartition {
            partition_index, committed_offset, committed_leader_epoch, committed_metadata,
        }
        OffsetCommitRequestTopic = offset_commit_request::OffsetCommitRequestTopic { name, partitions; newer topic_id }
        OffsetCommitRequest = offset_commit_request::OffsetCommitRequest {
            group_id, generation_id_or_member_epoch, member_id, group_instance_id, retention_time_ms, topics,
        }
        OffsetCommitResponsePartition = offset_commit_response::OffsetCommitResponsePartition {
            partition_index, error_code,
        }
        OffsetCommitResponseTopic = offset_commit_response::OffsetCommitResponseTopic { name, partitions; newer topic_id }
        OffsetCommitResponse = offset_commit_response::OffsetCommitResponse { throttle_time_ms, topics }
    }
    OffsetFetch {
        OffsetFetchRequestTopic = offset_fetch_request::OffsetFetchRequestTopic { name, partition_indexes }
        OffsetFetchRequestTopics = offset_fetch_request::OffsetFetchRequestTopics { name, partition_indexes; newer topic_id }
        OffsetFetchRequestGroup = offset_fetch_request::OffsetFetchRequestGroup {
            group_id, member_id, member_epoch, topics absent None,
        }
        OffsetFetchRequest = offset_fetch_request::OffsetFetchRequest {
            group_id, topics null 2 absent None, groups, require_stable,
        }
        OffsetFetchResponsePartition = offset_fetch_response::OffsetFetchResponsePartition {
            partition_index, committed_offset, committed_leader_epoch, metadata absent None, error_code,
        }
        OffsetFetchResponseTopic = offset_fetch_response::OffsetFetchResponseTopic { name, partitions }
        OffsetFetchResponsePartitions = offset_fetch_response::OffsetFetchResponsePartitions {
            partition_index, committed_offset, committed_leader_epoch, metadata absent None, error_code,
        }
        OffsetFetchResponseTopics = offset_fetch_response::OffsetFetchResponseTopics { name, partitions; newer topic_id }
        OffsetFetchResponseGroup = offset_fetch_response::OffsetFetchResponseGroup { group_id, topics, error_code }
        OffsetFetchResponse = offset_fetch_response::OffsetFetchResponse {
            throttle_time_ms, topics, error_code, groups,
        }
    }
    JoinGroup {
        JoinGroupRequestProtocol = join_group_request::JoinGroupRequestProtocol { name, metadata }
        JoinGroupRequest = join_group_request::JoinGroupRequest {
            group_id, session_timeout_ms, rebalance_timeout_ms, member_id, group_instance_id, protocol_type,
            protocols, reason,
        }
        JoinGroupResponseMember = join_group_response::JoinGroupResponseMember {
            member_id, group_instance_id, metadata,
        }
        JoinGroupResponse = join_group_response::JoinGroupResponse {
            throttle_time_ms, error_code, generation_id, protocol_type, protocol_name null 7, leader, skip_assignment,
            member_id, members,
        }
    }
    Heartbeat {
        HeartbeatRequest = heartbeat_request::HeartbeatRequest { group_id, generation_id, member_id, group_instance_id }
        HeartbeatResponse = heartbeat_response::HeartbeatResponse { throttle_time_ms, error_code }
    }
    LeaveGroup {
        MemberIdentity = leave_group_request::MemberIdentity { member_id, group_instance_id, reason }
        LeaveGroupRequest = leave_group_request::LeaveGroupRequest { group_id, member_id, members }
        MemberResponse = leave_group_response::MemberResponse { member_id, group_instance_id absent None, error_code }
        LeaveGroupResponse = leave_group_response::LeaveGroupResponse { throttle_time_ms, error_code, members }
    }
    SyncGroup {
        SyncGroupRequestAssignment = sync_group_request::SyncGroupRequestAssignment { member_id, assignment }
        SyncGroupRequest = sync_group_request::SyncGroupRequest {
            group_id, generation_id, member_id, group_instance_id, protocol_type, protocol_name, assignments,
        }
        SyncGroupResponse = sync_group_response::SyncGroupResponse {
            throttle_time_ms, error_code, protocol_type, protocol_name, assignment,
        }
    }
    DescribeGroups {
        DescribeGroupsRequest = describe_groups_request::DescribeGroupsRequest { groups, include_authorized_operations }
        DescribedGroupMember = describe_groups_response::DescribedGroupMember {
            member_id, group_instance_id, client_id, client_host, member_metadata, member_assignment,
        }
        DescribedGroup = describe_groups_response::DescribedGroup {
            error_code, error_message, group_id, group_state, protocol_type, protocol_data, members,
            authorized_operations,
        }
        DescribeGroupsResponse = describe_groups_response::DescribeGroupsResponse { throttle_time_ms, groups }
    }
    ListGroups {
        ListGroupsRequest = list_groups_request::ListGroupsRequest { states_filter, types_filter }
        ListedGroup = list_groups_response::ListedGroup { group_id, protocol_type, group_state, group_type }
        ListGroupsResponse = list_groups_response::ListGroupsResponse { throttle_time_ms, error_code, groups }
    }
    DeleteRecords {
        DeleteRecordsPartition = delete_records_request::DeleteRecordsPartition { partition_index, offset }
        DeleteRecordsTopic = delete_records_request::DeleteRecordsTopic { name, partitions }
        DeleteRecordsRequest = delete_records_request::DeleteRecordsRequest { topics, timeout_ms }
        DeleteRecordsPartitionResult = delete_records_response::DeleteRecordsPartitionResult {
            partition_index, low_watermark, error_code,
        }
        DeleteRecordsTopicResult = delete_records_response::DeleteRecordsTopicResult { name, partitions }
        DeleteRecordsResponse = delete_records_response::DeleteRecordsResponse { throttle_time_ms, topics }
    }
    OffsetForLeaderEpoch {
        OffsetForLeaderPartition = offset_for_leader_epoch_request::OffsetForLeaderPartition {
            partition, current_leader_epoch, leader_epoch,
        }
        OffsetForLeaderTopic = offset_for_leader_epoch_request::OffsetForLeaderTopic { topic, partitions }
        OffsetForLeaderEpochRequest = offset_for_leader_epoch_request::OffsetForLeaderEpochRequest {
            replica_id, topics,
        }
        LeaderEpochEndOffset = offset_for_leader_epoch_response::EpochEndOffset {
            error_code, partition, leader_epoch, end_offset,
        }
        OffsetForLeaderTopicResult = offset_for_leader_epoch_response::OffsetForLeaderTopicResult { topic, partitions }
        OffsetForLeaderEpochResponse = offset_for_leader_epoch_response::OffsetForLeaderEpochResponse {
            throttle_time_ms, topics,
        }
    }
    DescribeConfigs {
        DescribeConfigsResource = describe_configs_request::DescribeConfigsResource {
            resource_type, resource_name, configuration_keys,
        }
        DescribeConfigsRequest = describe_configs_request::DescribeConfigsRequest {
            resources, include_synonyms, include_documentation,
        }
        DescribeConfigsSynonym = describe_configs_response::DescribeConfigsSynonym { name, value, source }
        DescribeConfigsResourceResult = describe_configs_response::DescribeConfigsResourceResult {
            name, value, read_only, config_source, is_sensitive, synonyms, config_type, documentation absent None,
        }
        DescribeConfigsResult = describe_configs_response::DescribeConfigsResult {
            error_code, error_message, resource_type, resource_name, configs,
        }
        DescribeConfigsResponse = describe_configs_response::DescribeConfigsResponse { throttle_time_ms, results }
    }
    AlterConfigs {
        AlterableConfig = alter_configs_request::AlterableConfig { name, value }
        AlterConfigsResource = alter_configs_request::AlterConfigsResource { resource_type, resource_name, configs }
        AlterConfigsRequest = alter_configs_request::AlterConfigsRequest { resources, validate_only }
        AlterConfigsResourceResponse = alter_configs_response::AlterConfigsResourceResponse {
            error_code, error_message, resource_type, resource_name,
        }
        AlterConfigsResponse = alter_configs_response::AlterConfigsResponse { throttle_time_ms, responses }
    }
    DescribeLogDirs {
        DescribableLogDirTopic = describe_log_dirs_request::DescribableLogDirTopic { topic, partitions }
        DescribeLogDirsRequest = describe_log_dirs_request::DescribeLogDirsRequest { topics }
        DescribeLogDirsPartition = describe_log_dirs_response::DescribeLogDirsPartition {
            partition_index, partition_size, offset_lag, is_future_key,
        }
        DescribeLogDirsTopic = describe_log_dirs_response::DescribeLogDirsTopic { name, partitions }
        DescribeLogDirsResult = describe_log_dirs_response::DescribeLogDirsResult {
            error_code, log_dir, topics, total_bytes, usable_bytes; newer is_cordoned
        }
        DescribeLogDirsResponse = describe_log_dirs_response::DescribeLogDirsResponse {
            throttle_time_ms, error_code, results,
        }
    }
    CreatePartitions {
        CreatePartitionsAssignment = create_partitions_request::CreatePartitionsAssignment { broker_ids }
        CreatePartitionsTopic = create_partitions_request::CreatePartitionsTopic { name, count, assignments }
        CreatePartitionsRequest = create_partitions_request::CreatePartitionsRequest {
            topics, timeout_ms, validate_only,
        }
        CreatePartitionsTopicResult = create_partitions_response::CreatePartitionsTopicResult {
            name, error_code, error_message,
        }
        CreatePartitionsResponse = create_partitions_response::CreatePartitionsResponse { throttle_time_ms, results }
    }
    ElectLeaders {
        ElectLeadersTopic = elect_leaders_request::TopicPartitions { topic, partitions }
        ElectLeadersRequest = elect_leaders_request::ElectLeadersRequest {
            election_type, topic_partitions, timeout_ms,
        }
        ElectLeadersPartitionResult = elect_leaders_response::PartitionResult {
            partition_id, error_code, error_message,
        }
        ElectLeadersTopicResult = elect_leaders_response::ReplicaElectionResult { topic, partition_result }
        ElectLeadersResponse = elect_leaders_response::ElectLeadersResponse {
            throttle_time_ms, error_code, replica_election_results,
        }
    }
    DeleteGroups {
        DeleteGroupsRequest = delete_groups_request::DeleteGroupsRequest { groups_names }
        DeletableGroupResult = delete_groups_response::DeletableGroupResult { group_id, error_code }
        DeleteGroupsResponse = delete_groups_response::DeleteGroupsResponse { throttle_time_ms, results }
    }
    IncrementalAlterConfigs {
        IncrementalAlterableConfig = incremental_alter_configs_request::AlterableConfig {
            name, config_operation, value,
        }
        IncrementalAlterConfigsResource = incremental_alter_configs_request::AlterConfigsResource {
            resource_type, resource_name, configs,
        }
        IncrementalAlterConfigsRequest = incremental_alter_configs_request::IncrementalAlterConfigsRequest {
            resources, validate_only,
        }
        IncrementalAlterConfigsResourceResponse = incremental_alter_configs_response::AlterConfigsResourceResponse {
            error_code, error_message, resource_type, resource_name,
        }
        IncrementalAlterConfigsResponse = incremental_alter_configs_response::IncrementalAlterConfigsResponse {
            throttle_time_ms, responses,
        }
    }
    OffsetDelete {
        OffsetDeleteRequestPartition = offset_delete_request::OffsetDeleteRequestPartition { partition_index; no tags }
        OffsetDeleteRequestTopic = offset_delete_request::OffsetDeleteRequestTopic { name, partitions; no tags }
        OffsetDeleteRequest = offset_delete_request::OffsetDeleteRequest { group_id, topics; no tags }
        OffsetDeleteResponsePartition = offset_delete_response::OffsetDeleteResponsePartition {
            partition_index, error_code; no tags
        }
        OffsetDeleteResponseTopic = offset_delete_response::OffsetDeleteResponseTopic { name, partitions; no tags }
        OffsetDeleteResponse = offset_delete_response::OffsetDeleteResponse {
            error_code, throttle_time_ms, topics; no tags
        }
    }
    DescribeCluster {
        DescribeClusterRequest = describe_cluster_request::DescribeClusterRequest {
            include_cluster_authorized_operations, endpoint_type, include_fenced_brokers,
        }
        DescribeClusterBroker = describe_cluster_response::DescribeClusterBroker {
            broker_id, host, port, rack, is_fenced,
        }
        DescribeClusterResponse = describe_cluster_response::DescribeClusterResponse {
            throttle_time_ms, error_code, error_message, endpoint_type, cluster_id, controller_id, brokers,
            cluster_authorized_operations,
        }
    }
    DescribeQuorum {
        DescribeQuorumPartition = describe_quorum_request::PartitionData { partition_index }
        DescribeQuorumTopic = describe_quorum_request::TopicData { topic_name, partitions }
        DescribeQuorumRequest = describe_quorum_request::DescribeQuorumRequest { topics }
        QuorumReplicaState = describe_quorum_response::ReplicaState {
            replica_id, replica_directory_id, log_end_offset, last_fetch_timestamp, last_caught_up_timestamp,
        }
        DescribeQuorumPartitionData = describe_quorum_response::PartitionData {
            partition_index, error_code, error_message absent None, leader_id, leader_epoch, high_watermark, current_voters,
            observers,
        }
        DescribeQuorumTopicData = describe_quorum_response::TopicData { topic_name, partitions }
        QuorumListener = describe_quorum_response::Listener { name, host, port }
        QuorumNode = describe_quorum_response::Node { node_id, listeners }
        DescribeQuorumResponse = describe_quorum_response::DescribeQuorumResponse {
            error_code, error_message absent None, topics, nodes,
        }
    }
    DescribeProducers {
        DescribeProducersTopic = describe_producers_request::TopicRequest { name, partition_indexes }
        DescribeProducersRequest = describe_producers_request::DescribeProducersRequest { topics }
        ProducerState = describe_producers_response::ProducerState {
            producer_id, producer_epoch, last_sequence, last_timestamp, coordinator_epoch, current_txn_start_offset,
        }
        DescribeProducersPartitionResponse = describe_producers_response::PartitionResponse {
            partition_index, error_code, error_message, active_producers,
        }
        DescribeProducersTopicResponse = describe_producers_response::TopicResponse { name, partitions }
        DescribeProducersResponse = describe_producers_response::DescribeProducersResponse { throttle_time_ms, topics }
    }
    ListConfigResources {
        ListConfigResourcesRequest = list_config_resources_request::ListConfigResourcesRequest { resource_types }
        ConfigResource = list_config_resources_response::ConfigResource { resource_name, resource_type }
        ListConfigResourcesResponse = list_config_resources_response::ListConfigResourcesResponse {
            throttle_time_ms, error_code, config_resources,
        }
    }
    DescribeTopicPartitions {
        DescribeTopicPartitionsTopic = describe_topic_partitions_request::TopicRequest { name }
        TopicPartitionsCursor = describe_topic_partitions_request::Cursor { topic_name, partition_index }
        DescribeTopicPartitionsRequest = describe_topic_partitions_request::DescribeTopicPartitionsRequest {
            topics, response_partition_limit, cursor,
        }
        DescribeTopicPartitionsResponsePartition = describe_topic_partitions_response::DescribeTopicPartitionsResponsePartition {
            error_code, partition_index, leader_id, leader_epoch, replica_nodes, isr_nodes, eligible_leader_replicas,
            last_known_elr, offline_replicas,
        }
        DescribeTopicPartitionsResponseTopic = describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic {
            error_code, name, topic_id, is_internal, partitions, topic_authorized_operations,
        }
        TopicPartitionsCursor = describe_topic_partitions_response::Cursor { topic_name, partition_index }
        DescribeTopicPartitionsResponse = describe_topic_partitions_response::DescribeTopicPartitionsResponse {
            throttle_time_ms, topics, next_cursor,
        }
    }
}
