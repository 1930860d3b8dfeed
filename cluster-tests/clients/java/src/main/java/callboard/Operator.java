package callboard;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.UnknownMemberIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/**
 * Callboard as the Java admin client sees it: what an operator asks for is done, shown, and obeyed.
 *
 * <p>Usage: Operator BOOTSTRAP.
 */
public final class Operator extends Kit {
    private Operator(String bootstrap) {
        super(bootstrap, "java-admin");
    }

    public static void main(String[] args) {
        Operator operator = new Operator(args[0]);
        Map<String, Check> checks = new LinkedHashMap<>();
        checks.put("cluster", operator::cluster);
        checks.put("creation", operator::creation);
        checks.put("partitions", operator::partitions);
        checks.put("configs", operator::configs);
        checks.put("badConfigs", operator::badConfigs);
        checks.put("obeyed", operator::obeyed);
        checks.put("brokerConfigs", operator::brokerConfigs);
        checks.put("records", operator::records);
        checks.put("listOffsets", operator::listOffsets);
        checks.put("groups", operator::groups);
        checks.put("groupOffsets", operator::groupOffsets);
        operator.run(checks, 2);
    }

    private static ConfigResource of(String topic) {
        return new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    private ConfigEntry config(String topic, String name) throws Exception {
        return known(() -> admin.describeConfigs(List.of(of(topic))).all()).get(of(topic)).get(name);
    }

    private void alter(String topic, String name, String value, OpType type) throws Exception {
        get(alteration(topic, name, value, type));
    }

    private java.util.concurrent.Future<Void> alteration(String topic, String name, String value, OpType type) {
        Collection<AlterConfigOp> ops = List.of(new AlterConfigOp(new ConfigEntry(name, value), type));
        return admin.incrementalAlterConfigs(Map.of(of(topic), ops)).all();
    }

    /** Asks until it is so: an admin's change shows on a broker a little after the answer. */
    private void shows(String topic, String name, String wanted, ConfigEntry.ConfigSource source) throws Exception {
        Until limit = new Until();
        while (true) {
            ConfigEntry entry = config(topic, name);
            if (wanted.equals(entry.value()) && entry.source() == source) {
                return;
            }
            limit.check(name + " is " + wanted + " from " + source + "; it is " + entry);
        }
    }

    private void fill(String topic, int partition, int count) throws Exception {
        try (var producer = producer(Map.of())) {
            for (int n = 0; n < count; n++) {
                producer.send(new ProducerRecord<>(topic, partition, START + n * 10L, null, utf8("" + n)));
            }
            producer.flush();
        }
    }

    private long offset(TopicPartition partition, OffsetSpec spec) throws Exception {
        return get(admin.listOffsets(Map.of(partition, spec)).all()).get(partition).offset();
    }

    private void cluster() throws Exception {
        var cluster = admin.describeCluster();
        same(get(cluster.nodes()).contains(get(cluster.controller())), true, "a controller among the nodes");
        same(get(cluster.clusterId()).isEmpty(), false, "an empty cluster id");
    }

    private void creation() throws Exception {
        String name = name();
        var configs = Map.of("retention.ms", "3600000", "max.message.bytes", "2000");
        var topic = new NewTopic(name, 2, (short) 1).configs(configs);
        var tried = admin.createTopics(List.of(topic), new CreateTopicsOptions().validateOnly(true));
        same(get(tried.numPartitions(name)), 2, "partitions of a tried creation");
        same(get(admin.listTopics().names()).contains(name), false, "a tried creation made the topic");
        var created = admin.createTopics(List.of(topic));
        same(get(created.config(name)).get("retention.ms").value(), "3600000", "config in the answer");
        same(get(created.replicationFactor(name)), 1, "replication factor in the answer");
        var described = get(admin.describeTopics(List.of(name)).allTopicNames()).get(name);
        same(described.partitions().size(), 2, "partitions");
        same(described.topicId(), get(created.topicId(name)), "topic id");
        same(described.partitions().get(1).replicas().size(), 1, "replicas");
        shows(name, "max.message.bytes", "2000", ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        var many = admin.createTopics(List.of(new NewTopic(name(), 1, (short) 9))).all();
        fails(InvalidReplicationFactorException.class, many, "a replication factor over the number of nodes");
        var bad = new NewTopic(name(), 1, (short) 1).configs(Map.of("retention.ms", "soon"));
        fails(InvalidConfigurationException.class, admin.createTopics(List.of(bad)).all(), "a bad config value");
        var defaults = new NewTopic(name(), java.util.Optional.empty(), java.util.Optional.empty());
        same(get(admin.createTopics(List.of(defaults)).numPartitions(defaults.name())), 1, "default partitions");
        String placed = name();
        int node = get(admin.describeCluster().nodes()).iterator().next().id();
        get(admin.createTopics(List.of(new NewTopic(placed, Map.of(0, List.of(node), 1, List.of(node))))).all());
        same(get(admin.describeTopics(List.of(placed)).allTopicNames()).get(placed).partitions().size(), 2, "placed");
        get(admin.deleteTopics(List.of(name, placed)).all());
        fails(UnknownTopicOrPartitionException.class, admin.describeTopics(List.of(name)).allTopicNames(), "a deleted topic");
    }

    private void partitions() throws Exception {
        String topic = topic(1);
        fill(topic, 0, 10);
        get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all());
        Until limit = new Until();
        while (get(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().size() < 4) {
            limit.check("four partitions");
        }
        fill(topic, 3, 5);
        same(offset(new TopicPartition(topic, 3), OffsetSpec.latest()), 5L, "end of a new partition");
        same(offset(new TopicPartition(topic, 0), OffsetSpec.latest()), 10L, "end of the old partition");
        fails(InvalidPartitionsException.class, admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all(), "the same");
        fails(InvalidPartitionsException.class, admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all(), "fewer");
        fails(UnknownTopicOrPartitionException.class, admin.createPartitions(Map.of(name(), NewPartitions.increaseTo(2))).all(),
                "partitions of no topic");
    }

    private void configs() throws Exception {
        String topic = topic(1);
        shows(topic, "retention.ms", "604800000", ConfigEntry.ConfigSource.DEFAULT_CONFIG);
        alter(topic, "retention.ms", "7200000", OpType.SET);
        shows(topic, "retention.ms", "7200000", ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        // Appending what is there already changes the value in nothing, and makes it the topic's own.
        alter(topic, "cleanup.policy", "delete", OpType.APPEND);
        shows(topic, "cleanup.policy", "delete", ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        fails(InvalidConfigurationException.class, alteration(topic, "retention.ms", "1", OpType.APPEND), "an addition to no list");
        alter(topic, "retention.ms", null, OpType.DELETE);
        shows(topic, "retention.ms", "604800000", ConfigEntry.ConfigSource.DEFAULT_CONFIG);
        // Several at once, and what is not named stays.
        Collection<AlterConfigOp> two = List.of(new AlterConfigOp(new ConfigEntry("retention.bytes", "1000"), OpType.SET),
                new AlterConfigOp(new ConfigEntry("message.timestamp.type", "LogAppendTime"), OpType.SET));
        get(admin.incrementalAlterConfigs(Map.of(of(topic), two)).all());
        shows(topic, "retention.bytes", "1000", ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        shows(topic, "message.timestamp.type", "LogAppendTime", ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        shows(topic, "cleanup.policy", "delete", ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
    }

    private void badConfigs() throws Exception {
        String topic = topic(1);
        String[][] bad = {{"retention.ms", "soon"}, {"cleanup.policy", "shred"}, {"no.such.config", "1"},
                {"max.message.bytes", "-1"}, {"compression.type", "rar"}, {"retention.bytes", "1.5"}};
        for (String[] pair : bad) {
            fails(InvalidConfigurationException.class, alteration(topic, pair[0], pair[1], OpType.SET), pair[0] + "=" + pair[1]);
        }
        fails(UnknownTopicOrPartitionException.class, alteration(name(), "retention.ms", "1", OpType.SET), "a config of no topic");
        fails(UnknownTopicOrPartitionException.class, admin.describeConfigs(List.of(of(name()))).all(), "configs of no topic");
        shows(topic, "retention.ms", "604800000", ConfigEntry.ConfigSource.DEFAULT_CONFIG);
    }

    /** What was set is obeyed by the next producer. */
    private void obeyed() throws Exception {
        String topic = topic(1);
        alter(topic, "max.message.bytes", "2000", OpType.SET);
        shows(topic, "max.message.bytes", "2000", ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        try (var producer = producer(Map.of())) {
            get(producer.send(new ProducerRecord<>(topic, 0, null, new byte[1_000])));
            fails(RecordTooLargeException.class, producer.send(new ProducerRecord<>(topic, 0, null, new byte[3_000])), "3000 bytes");
            alter(topic, "max.message.bytes", "5000", OpType.SET);
            Until limit = new Until();
            while (true) {
                try {
                    get(producer.send(new ProducerRecord<>(topic, 0, null, new byte[3_000])));
                    break;
                } catch (java.util.concurrent.ExecutionException refused) {
                    limit.check("3000 bytes are taken; " + refused);
                }
            }
            alter(topic, "message.timestamp.type", "LogAppendTime", OpType.SET);
            limit = new Until();
            while (get(producer.send(new ProducerRecord<>(topic, 0, START, null, utf8("t")))).timestamp() == START) {
                limit.check("the broker's own timestamps");
            }
        }
    }

    private void brokerConfigs() throws Exception {
        int node = get(admin.describeCluster().nodes()).iterator().next().id();
        var broker = new ConfigResource(ConfigResource.Type.BROKER, "" + node);
        var configs = get(admin.describeConfigs(List.of(broker)).all()).get(broker);
        for (String name : List.of("num.partitions", "auto.create.topics.enable", "message.max.bytes", "log.retention.ms",
                "offsets.retention.minutes", "group.initial.rebalance.delay.ms")) {
            same(configs.get(name) == null, false, name + " is missing");
        }
        same(configs.get("num.partitions").value(), "1", "num.partitions");
    }

    private void records() throws Exception {
        String topic = topic(2);
        fill(topic, 0, 100);
        var zero = new TopicPartition(topic, 0);
        var deleted = admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(40)));
        same(get(deleted.lowWatermarks().get(zero)).lowWatermark(), 40L, "low watermark");
        same(offset(zero, OffsetSpec.earliest()), 40L, "earliest");
        same(offset(zero, OffsetSpec.latest()), 100L, "latest");
        same(offset(zero, OffsetSpec.forTimestamp(START)), 40L, "the oldest by time");
        try (var consumer = consumer(Map.of("auto.offset.reset", "earliest"))) {
            consumer.assign(List.of(zero));
            consumer.seek(zero, 10);
            Until limit = new Until();
            long first = -1;
            while (first < 0) {
                limit.check("records behind the deleted ones");
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    first = first < 0 ? record.offset() : first;
                }
            }
            same(first, 40L, "the first record that is left");
        }
        fails(OffsetOutOfRangeException.class, admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(101))).all(), "beyond the end");
        get(admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(10))).all());
        same(offset(zero, OffsetSpec.earliest()), 40L, "earliest does not go back");
        // -1: all of them.
        get(admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(-1))).all());
        same(offset(zero, OffsetSpec.earliest()), 100L, "earliest of an emptied partition");
        fill(topic, 0, 1);
        same(offset(zero, OffsetSpec.latest()), 101L, "offsets go on");
    }

    private void listOffsets() throws Exception {
        String topic = topic(2);
        var zero = new TopicPartition(topic, 0);
        var one = new TopicPartition(topic, 1);
        fill(topic, 0, 50);
        var both = get(admin.listOffsets(Map.of(zero, OffsetSpec.latest(), one, OffsetSpec.earliest())).all());
        same(both.get(zero).offset(), 50L, "latest");
        same(both.get(one).offset(), 0L, "earliest of an empty one");
        same(offset(zero, OffsetSpec.forTimestamp(START + 105)), 11L, "by time");
        same(offset(zero, OffsetSpec.forTimestamp(START + 1_000_000)), -1L, "by a time past the end");
        same(offset(zero, OffsetSpec.maxTimestamp()), 49L, "largest timestamp");
        same(offset(one, OffsetSpec.maxTimestamp()), -1L, "largest timestamp of an empty one");
        same(offset(zero, OffsetSpec.earliestLocal()), 0L, "earliest local");
    }

    private void groups() throws Exception {
        String topic = topic(3);
        String group = name();
        Map<String, Object> config = Map.of("group.id", group, "client.id", "someone", "enable.auto.commit", false);
        try (var consumer = consumer(config)) {
            consumer.subscribe(List.of(topic));
            Until limit = new Until();
            while (consumer.assignment().size() < 3) {
                limit.check("three partitions");
                consumer.poll(Duration.ofMillis(100));
            }
            var listed = get(admin.listGroups().all()).stream().filter(one -> one.groupId().equals(group)).toList();
            same(listed.size(), 1, "times the group is listed");
            same(listed.get(0).groupState().orElseThrow(), GroupState.STABLE, "state listed");
            same(listed.get(0).type().orElseThrow(), GroupType.CLASSIC, "type listed");
            same(listed.get(0).protocol(), "consumer", "protocol type listed");
            var described = get(admin.describeConsumerGroups(List.of(group)).all()).get(group);
            same(described.partitionAssignor(), "range", "assignor");
            same(described.members().iterator().next().clientId(), "someone", "client id");
            same(described.members().iterator().next().host().contains("127.0.0.1"), true, "host");
            same(described.coordinator().port() > 0, true, "coordinator");
            fails(GroupNotEmptyException.class, admin.deleteConsumerGroups(List.of(group)).all(), "deletion of a live group");
            consumer.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(0)));
            var gone = admin.deleteConsumerGroupOffsets(group, Set.of(new TopicPartition(topic, 0)));
            fails(GroupSubscribedToTopicException.class, gone.all(), "deletion of offsets that are in use");
        }
        Set<String> empty = get(admin.listGroups().all()).stream().filter(one -> one.groupState().equals(java.util.Optional.of(GroupState.EMPTY)))
                .map(one -> one.groupId()).collect(Collectors.toSet());
        same(empty.contains(group), true, "the left group is listed as empty");
        get(admin.deleteConsumerGroups(List.of(group)).all());
        fails(GroupIdNotFoundException.class, admin.deleteConsumerGroups(List.of(group)).all(), "a second deletion");
        fails(GroupIdNotFoundException.class, admin.describeConsumerGroups(List.of(group)).all(), "description of a deleted group");
        same(get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()), Map.of(), "offsets of a deleted group");
    }

    private void groupOffsets() throws Exception {
        String topic = topic(2);
        String group = name();
        var zero = new TopicPartition(topic, 0);
        var one = new TopicPartition(topic, 1);
        fill(topic, 0, 20);
        get(admin.alterConsumerGroupOffsets(group, Map.of(zero, new OffsetAndMetadata(7, "seven"), one, new OffsetAndMetadata(0))).all());
        var offsets = get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
        same(offsets.get(zero).offset(), 7L, "offset set");
        same(offsets.get(zero).metadata(), "seven", "metadata set");
        List<Long> read = new ArrayList<>();
        Map<String, Object> config = Map.of("group.id", group, "auto.offset.reset", "earliest", "enable.auto.commit", false);
        try (var consumer = consumer(config)) {
            consumer.subscribe(List.of(topic));
            Until limit = new Until();
            while (read.size() < 13) {
                limit.check("13 records; " + read);
                consumer.poll(Duration.ofMillis(200)).forEach(record -> read.add(record.offset()));
            }
            same(read.get(0), 7L, "the first record");
            var refused = admin.alterConsumerGroupOffsets(group, Map.of(zero, new OffsetAndMetadata(1))).all();
            fails(UnknownMemberIdException.class, refused, "offsets of a live group");
        }
        get(admin.deleteConsumerGroupOffsets(group, Set.of(zero)).all());
        same(get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).keySet(), Set.of(one), "offsets that are left");
        get(admin.deleteTopics(List.of(topic)).all());
        // Deleted with their topic.
        Until limit = new Until();
        while (get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).containsKey(one)) {
            limit.check("the offsets of a deleted topic go with it");
        }
    }
}
