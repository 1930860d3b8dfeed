package callboard;

import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.storage.internals.log.LogConfig;

/**
 * The configs that tools give to their topics: each is taken, alone and with the others, and described as it was set.
 *
 * <p>Usage: TopicConfigs BOOTSTRAP. Names and defaults are those of Kafka's own table, {@link LogConfig}.
 */
public final class TopicConfigs extends Kit {
    /** Kafka Streams, monitoring and operators of clusters set these; topics that move here bring them along. */
    private static final List<Map.Entry<String, String>> SET = List.of(
            Map.entry("segment.ms", "43200000"),
            Map.entry("segment.bytes", "52428800"),
            Map.entry("segment.bytes", "1073741824"),
            Map.entry("segment.index.bytes", "5242880"),
            Map.entry("segment.jitter.ms", "0"),
            Map.entry("segment.jitter.ms", "60000"),
            Map.entry("min.insync.replicas", "2"),
            Map.entry("unclean.leader.election.enable", "true"),
            Map.entry("leader.replication.throttled.replicas", "*"),
            Map.entry("leader.replication.throttled.replicas", "0:1,1:1"),
            Map.entry("follower.replication.throttled.replicas", "0:1"),
            Map.entry("flush.ms", "1000"),
            Map.entry("preallocate", "false"),
            Map.entry("preallocate", "true"),
            Map.entry("index.interval.bytes", "8192"),
            Map.entry("file.delete.delay.ms", "1000"),
            Map.entry("delete.retention.ms", "3600000"),
            Map.entry("min.cleanable.dirty.ratio", "0.25"),
            Map.entry("min.compaction.lag.ms", "1000"),
            Map.entry("max.compaction.lag.ms", "86400000"),
            Map.entry("local.retention.ms", "-2"),
            Map.entry("retention.ms", "3600000"));

    private TopicConfigs(String bootstrap) {
        super(bootstrap, "java-configs");
    }

    public static void main(String[] args) {
        TopicConfigs configs = new TopicConfigs(args[0]);
        Map<String, Check> checks = new LinkedHashMap<>();
        checks.put("alone", configs::alone);
        checks.put("together", configs::together);
        checks.put("altered", configs::altered);
        checks.put("defaults", configs::defaults);
        checks.put("badValues", configs::badValues);
        configs.run(checks, 2);
    }

    private static ConfigResource of(String topic) {
        return new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    private Config describe(String topic) throws Exception {
        var options = new DescribeConfigsOptions().includeDocumentation(true);
        return known(() -> admin.describeConfigs(List.of(of(topic)), options).all()).get(of(topic));
    }

    /** Creates a topic with them; what the answer said of them. */
    private Config create(String topic, Map<String, String> configs) throws Exception {
        return get(admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1).configs(configs))).config(topic));
    }

    private void shows(String topic, String name, String value, ConfigEntry.ConfigSource source) throws Exception {
        Until limit = new Until();
        while (true) {
            ConfigEntry entry = describe(topic).get(name);
            if (entry != null && value.equals(entry.value()) && entry.source() == source) {
                same(entry.documentation() == null || entry.documentation().isEmpty(), false, name + " is without documentation");
                return;
            }
            limit.check(name + " is " + value + " from " + source + "; it is " + entry);
        }
    }

    /** All that is not as it should be at once: a list of names says more than the first of them. */
    private static void all(Collection<Map.Entry<String, String>> pairs, Each each) {
        var wrong = new ArrayList<String>();
        for (var pair : pairs) {
            try {
                each.check(pair.getKey(), pair.getValue());
            } catch (Exception | AssertionError error) { // each is to be heard
                wrong.add(pair + ": " + error.getMessage());
            }
        }
        if (!wrong.isEmpty()) {
            throw new AssertionError(wrong.size() + " of " + pairs.size() + ":\n  " + String.join("\n  ", wrong));
        }
    }

    private interface Each {
        void check(String name, String value) throws Exception;
    }

    private void alone() {
        all(SET, (name, value) -> {
            String topic = name();
            same(create(topic, Map.of(name, value)).get(name).value(), value, name + " in the answer");
            shows(topic, name, value, ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
            same(describe(topic).get(name).isReadOnly(), false, name + " is read-only");
        });
    }

    private void together() throws Exception {
        var configs = new TreeMap<String, String>();
        SET.forEach(pair -> configs.put(pair.getKey(), pair.getValue()));
        String topic = name();
        create(topic, configs);
        all(configs.entrySet(), (name, value) -> shows(topic, name, value, ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG));
        // Two replicas in sync are wanted, and one is all there are: that one is enough.
        try (var producer = producer(Map.of("acks", "all"))) {
            same(get(producer.send(new ProducerRecord<>(topic, 0, null, utf8("value")))).offset(), 0L, "offset");
        }
    }

    private void alter(String topic, String name, String value, AlterConfigOp.OpType type) throws Exception {
        Collection<AlterConfigOp> ops = List.of(new AlterConfigOp(new ConfigEntry(name, value), type));
        get(admin.incrementalAlterConfigs(Map.of(of(topic), ops)).all());
    }

    private void altered() throws Exception {
        String topic = topic(1);
        Config before = describe(topic);
        all(SET, (name, value) -> {
            alter(topic, name, value, AlterConfigOp.OpType.SET);
            shows(topic, name, value, ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
            alter(topic, name, null, AlterConfigOp.OpType.DELETE);
            shows(topic, name, before.get(name).value(), before.get(name).source());
        });
    }

    /** Kafka's default of every config is taken, also of those that can be set to nothing else here. */
    private void defaults() throws Exception {
        var defaults = new TreeMap<String, String>();
        var keys = LogConfig.configKeys();
        LogConfig.configNames().stream().filter(name -> !keys.get(name).internalConfig).forEach(name -> {
            Object value = keys.get(name).defaultValue;
            defaults.put(name, value instanceof List<?> list ? String.join(",", list.stream().map(String::valueOf).toList()) : "" + value);
        });
        same(defaults.size() > 25, true, "names in Kafka's table: " + defaults.keySet());
        String plain = topic(1);
        all(defaults.entrySet(), (name, value) -> {
            same(describe(plain).get(name) == null, false, name + " is missing in the description");
            String topic = name();
            create(topic, Map.of(name, value));
            shows(topic, name, value, ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        });
    }

    /** A config that changes nothing is validated all the same. */
    private void badValues() {
        var bad = List.of(Map.entry("segment.ms", "0"), Map.entry("segment.bytes", "1"), Map.entry("segment.index.bytes", "3"),
                Map.entry("segment.jitter.ms", "-1"), Map.entry("min.insync.replicas", "0"),
                Map.entry("unclean.leader.election.enable", "maybe"), Map.entry("leader.replication.throttled.replicas", "0"),
                Map.entry("follower.replication.throttled.replicas", "a:b"), Map.entry("flush.ms", "-1"),
                Map.entry("preallocate", "1"), Map.entry("index.interval.bytes", "-1"), Map.entry("file.delete.delay.ms", "-1"),
                Map.entry("delete.retention.ms", "-1"), Map.entry("min.cleanable.dirty.ratio", "1.1"),
                Map.entry("min.compaction.lag.ms", "-1"), Map.entry("max.compaction.lag.ms", "0"),
                Map.entry("local.retention.ms", "-3"));
        all(bad, (name, value) -> {
            var topic = new NewTopic(name(), 1, (short) 1).configs(Map.of(name, value));
            fails(InvalidConfigurationException.class, admin.createTopics(List.of(topic)).all(), name + "=" + value);
        });
    }
}
