package callboard;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.state.Stores;

/**
 * Callboard as Kafka Streams sees it: records get new keys, pass through a topic that the application makes for itself,
 * and are counted. The store has no changelog, which would be a compacted topic.
 *
 * <p>Usage: Streams BOOTSTRAP.
 */
public final class Streams extends Kit {
    private static final int RECORDS = 20;
    private static final int KEYS = 4;
    private static final int PARTITIONS = 3;

    private final String application = name();
    private final String input = name();
    private final String moved = name();
    private final String counted = name();
    private final String between = application + "-by-key-repartition";

    private Streams(String bootstrap) {
        super(bootstrap, "java-streams");
    }

    public static void main(String[] args) {
        Streams streams = new Streams(args[0]);
        Map<String, Check> checks = new LinkedHashMap<>();
        checks.put("repartition", streams::repartition);
        streams.run(checks, 1);
    }

    private static String key(int n) {
        return "key " + n % KEYS;
    }

    private StreamsBuilder topology() {
        var texts = Serdes.String();
        var builder = new StreamsBuilder();
        var moves = builder.stream(input, Consumed.with(texts, texts))
                .selectKey((none, value) -> key(Integer.parseInt(value)))
                .repartition(Repartitioned.with(texts, texts).withName("by-key").withNumberOfPartitions(PARTITIONS));
        moves.to(moved, Produced.with(texts, texts));
        var store = Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts")).withKeySerde(texts)
                .withValueSerde(Serdes.Long()).withLoggingDisabled().withCachingDisabled();
        moves.groupByKey().count(store).toStream().mapValues(count -> "" + count).to(counted, Produced.with(texts, texts));
        return builder;
    }

    private Properties settings(Path state) {
        var settings = new Properties();
        settings.putAll(Map.of("application.id", application, "bootstrap.servers", bootstrap, "state.dir", state.toString(),
                "num.stream.threads", 2, "commit.interval.ms", 100, "repartition.purge.interval.ms", 100));
        return settings;
    }

    private void repartition() throws Exception {
        for (String topic : List.of(input, moved, counted)) {
            create(topic, 1);
        }
        Path state = Files.createTempDirectory("callboard-test-streams-");
        var failure = new AtomicReference<Throwable>();
        var streams = new KafkaStreams(topology().build(), settings(state));
        streams.setUncaughtExceptionHandler(error -> {
            failure.set(error);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        try {
            streams.start();
            try (var producer = producer(Map.of())) {
                IntStream.range(0, RECORDS).forEach(n -> producer.send(new ProducerRecord<>(input, 0, START + n, null, utf8("" + n))));
            }
            var moves = read(moved, failure);
            same(byKey(moves), wanted(n -> "" + n), "records behind the repartition topic");
            moves.forEach(record -> same(record.timestamp(), START + Long.parseLong(text(record.value())), "timestamp"));
            same(byKey(read(counted, failure)), wanted(n -> "" + (n / KEYS + 1)), "counts");
            itsTopic();
        } finally {
            streams.close(LIMIT);
            streams.cleanUp();
            Files.deleteIfExists(state.resolve(application));
            Files.deleteIfExists(state);
        }
    }

    /** The topic is as the application asked for it, and what has been read is deleted. */
    private void itsTopic() throws Exception {
        same(get(admin.describeTopics(List.of(between)).allTopicNames()).get(between).partitions().size(), PARTITIONS, "partitions");
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, between);
        var configs = get(admin.describeConfigs(List.of(resource)).all()).get(resource);
        var asked = Map.of("segment.bytes", "52428800", "cleanup.policy", "delete", "retention.ms", "-1", "message.timestamp.type",
                "CreateTime");
        asked.forEach((name, value) -> {
            same(configs.get(name).value(), value, name);
            same(configs.get(name).source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, "source of " + name);
        });
        Until limit = new Until();
        while (!ends(OffsetSpec.earliest()).equals(ends(OffsetSpec.latest()))) {
            limit.check("all that was read is deleted");
        }
        same(ends(OffsetSpec.latest()).values().stream().mapToLong(end -> end).sum(), (long) RECORDS, "records that went through");
    }

    private Map<Integer, Long> ends(OffsetSpec which) throws Exception {
        var asked = new LinkedHashMap<TopicPartition, OffsetSpec>();
        IntStream.range(0, PARTITIONS).forEach(partition -> asked.put(new TopicPartition(between, partition), which));
        var ends = new LinkedHashMap<Integer, Long>();
        get(admin.listOffsets(asked).all()).forEach((partition, found) -> ends.put(partition.partition(), found.offset()));
        return ends;
    }

    private List<ConsumerRecord<byte[], byte[]>> read(String topic, AtomicReference<Throwable> failure) {
        var records = new ArrayList<ConsumerRecord<byte[], byte[]>>();
        var partition = List.of(new TopicPartition(topic, 0));
        try (var consumer = consumer(Map.of())) {
            consumer.assign(partition);
            consumer.seekToBeginning(partition);
            Until limit = new Until();
            while (records.size() < RECORDS) {
                if (failure.get() != null) {
                    throw new AssertionError("the application ended: " + failure.get(), failure.get());
                }
                limit.check(RECORDS + " records; " + records.size());
                consumer.poll(Duration.ofMillis(100)).forEach(records::add);
            }
            same(consumer.endOffsets(partition).get(partition.get(0)), (long) RECORDS, "records in all");
        }
        return records;
    }

    private static String text(byte[] bytes) {
        return Serdes.String().deserializer().deserialize("", bytes);
    }

    /** Only records of one key have an order. */
    private static Map<String, List<String>> byKey(List<ConsumerRecord<byte[], byte[]>> records) {
        var found = new LinkedHashMap<String, List<String>>();
        records.forEach(record -> found.computeIfAbsent(text(record.key()), key -> new ArrayList<>()).add(text(record.value())));
        return found;
    }

    private static Map<String, List<String>> wanted(java.util.function.IntFunction<String> value) {
        var wanted = new LinkedHashMap<String, List<String>>();
        IntStream.range(0, RECORDS).forEach(n -> wanted.computeIfAbsent(key(n), key -> new ArrayList<>()).add(value.apply(n)));
        return wanted;
    }
}
