package callboard;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Callboard as the Java client sees it: produce, consume by assign, compare every field.
 *
 * <p>Usage: Suite BOOTSTRAP. One line a check; the exit code says whether all held.
 */
public final class Suite extends Kit {
    private static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");

    private Suite(String bootstrap) {
        super(bootstrap, "java");
    }

    public static void main(String[] args) {
        Suite suite = new Suite(args[0]);
        Map<String, Check> checks = new LinkedHashMap<>();
        checks.put("topics", suite::topics);
        checks.put("autoCreate", suite::autoCreate);
        checks.put("codecs", suite::codecs);
        checks.put("withoutAcknowledgement", suite::withoutAcknowledgement);
        checks.put("largeRecords", suite::largeRecords);
        checks.put("positions", suite::positions);
        checks.put("tail", suite::tail);
        checks.put("outOfRange", suite::outOfRange);
        checks.put("manyPartitions", suite::manyPartitions);
        checks.put("transactions", suite::transactions);
        checks.put("shareGroup", suite::shareGroup);
        suite.run(checks, 1);
    }

    /** One record: what is sent, and what must come back. */
    private record Row(byte[] key, byte[] value, List<Map.Entry<String, byte[]>> headers, long timestamp) {
        ProducerRecord<byte[], byte[]> to(String topic) {
            var record = new ProducerRecord<>(topic, 0, timestamp, key, value);
            headers.forEach(header -> record.headers().add(header.getKey(), header.getValue()));
            return record;
        }
    }

    private static Map.Entry<String, byte[]> header(String name, String value) {
        return new java.util.AbstractMap.SimpleEntry<>(name, value == null ? null : utf8(value));
    }

    /** Rows of all shapes: keys and values null, empty and filled; headers none, single, repeated, null. */
    private static List<Row> sample(int count) {
        byte[][] keys = {null, {}, utf8("key"), new byte[40]};
        byte[][] values = {utf8("value"), null, {}, new byte[3000], random(256, 1)};
        List<List<Map.Entry<String, byte[]>>> headers = List.of(
                List.of(),
                List.of(header("one", "1")),
                List.of(header("twice", "first"), header("other", null), header("twice", "second"), header("twice", "first")),
                List.of(header("", ""), header("ünïcode", "\0")));
        List<Row> rows = new ArrayList<>();
        for (int n = 0; n < count; n++) {
            rows.add(new Row(keys[n % 4], values[n % 5], headers.get(n % 7 == 0 ? 3 : n % 3), START + n * 10L));
        }
        return rows;
    }

    private static byte[] random(int size, long seed) {
        byte[] bytes = new byte[size];
        new Random(seed).nextBytes(bytes);
        return bytes;
    }

    private void produce(String topic, List<Row> rows, long firstOffset, Map<String, Object> config) throws Exception {
        try (var producer = producer(config)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (Row row : rows) {
                sent.add(producer.send(row.to(topic)));
            }
            producer.flush();
            for (int n = 0; n < sent.size(); n++) {
                RecordMetadata metadata = get(sent.get(n));
                boolean told = !"0".equals(config.get("acks"));
                same(metadata.offset(), told ? firstOffset + n : -1L, "offset acknowledged");
                same(metadata.timestamp(), rows.get(n).timestamp(), "timestamp acknowledged");
            }
        }
    }

    /** Partition 0 from `offset` (below 0: the beginning) to its end. */
    private List<ConsumerRecord<byte[], byte[]>> consume(String topic, long offset) {
        var partition = new TopicPartition(topic, 0);
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        try (var consumer = consumer(Map.of())) {
            consumer.assign(List.of(partition));
            if (offset < 0) {
                consumer.seekToBeginning(List.of(partition));
            } else {
                consumer.seek(partition, offset);
            }
            long end = consumer.endOffsets(List.of(partition), LIMIT).get(partition);
            long until = System.nanoTime() + LIMIT.toNanos();
            while (consumer.position(partition, LIMIT) < end) {
                if (System.nanoTime() > until) {
                    throw new AssertionError("no end of " + topic + " after " + records.size() + " records");
                }
                consumer.poll(Duration.ofSeconds(1)).forEach(records::add);
            }
        }
        return records;
    }

    private static void compare(List<ConsumerRecord<byte[], byte[]>> records, List<Row> rows, long first) {
        same(records.size(), rows.size(), "number of records");
        for (int n = 0; n < rows.size(); n++) {
            ConsumerRecord<byte[], byte[]> record = records.get(n);
            Row row = rows.get(n);
            String at = "record " + (first + n) + ", ";
            same(record.offset(), first + n, at + "offset");
            same(record.key(), row.key(), at + "key");
            same(record.value(), row.value(), at + "value");
            same(record.timestamp(), row.timestamp(), at + "timestamp");
            Header[] headers = record.headers().toArray();
            same(headers.length, row.headers().size(), at + "number of headers");
            for (int h = 0; h < headers.length; h++) {
                same(headers[h].key(), row.headers().get(h).getKey(), at + "header key");
                same(headers[h].value(), row.headers().get(h).getValue(), at + "header value");
            }
        }
    }

    // ---- the checks

    private void codecs() throws Exception {
        List<Row> rows = sample(500);
        for (String codec : CODECS) {
            String idempotent = topic(1);
            produce(idempotent, rows, 0, Map.of("compression.type", codec));
            compare(consume(idempotent, -1), rows, 0);
            // Whether it was compressed is for the caller to see.
            System.out.println("codec " + idempotent + " " + codec);
            String plain = topic(1);
            produce(plain, rows, 0, Map.of("compression.type", codec, "acks", "1", "enable.idempotence", false));
            compare(consume(plain, -1), rows, 0);
            // A second producer goes on where the first has ended.
            produce(plain, rows, 500, Map.of("compression.type", codec, "batch.size", 1));
            compare(consume(plain, 500), rows, 500);
        }
    }

    private void withoutAcknowledgement() throws Exception {
        String topic = topic(1);
        List<Row> rows = sample(50);
        produce(topic, rows, 0, Map.of("acks", "0", "enable.idempotence", false));
        // Nothing says when they have arrived: read until they are there.
        long until = System.nanoTime() + LIMIT.toNanos();
        while (consume(topic, -1).size() < 50 && System.nanoTime() < until) {
            Thread.onSpinWait();
        }
        compare(consume(topic, -1), rows, 0);
    }

    private void largeRecords() throws Exception {
        for (String codec : CODECS) {
            String topic = topic(1);
            List<Row> rows = new ArrayList<>();
            for (int n = 0; n < 5; n++) {
                rows.add(new Row(utf8("" + n), random(900_000, n), List.of(header("n", "" + n)), START + n));
            }
            produce(topic, rows, 0, Map.of("compression.type", codec));
            compare(consume(topic, -1), rows, 0);
        }
        String topic = topic(1);
        try (var producer = producer(Map.of("max.request.size", 3_000_000))) {
            Row row = new Row(null, random(1_500_000, 1), List.of(), START);
            fails(RecordTooLargeException.class, producer.send(row.to(topic)), "a record over message.max.bytes");
        }
        same(consume(topic, -1).size(), 0, "records of the refused topic");
    }

    private void positions() throws Exception {
        String topic = topic(1);
        var partition = new TopicPartition(topic, 0);
        List<Row> rows = sample(300);
        produce(topic, rows, 0, Map.of("batch.size", 2_000));
        compare(consume(topic, 123), rows.subList(123, 300), 123);
        compare(consume(topic, 299), rows.subList(299, 300), 299);
        compare(consume(topic, 300), List.of(), 300);
        try (var consumer = consumer(Map.of())) {
            same(consumer.beginningOffsets(List.of(partition), LIMIT).get(partition), 0L, "beginning");
            same(consumer.endOffsets(List.of(partition), LIMIT).get(partition), 300L, "end");
            // Records lie 10 ms apart: an exact hit, one between two, before the first, the last, past the last.
            long[][] asked = {{1230, 123}, {1231, 124}, {-5, 0}, {2990, 299}, {3000, -1}};
            for (long[] pair : asked) {
                OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, START + pair[0]), LIMIT).get(partition);
                same(found == null ? -1L : found.offset(), pair[1], "offset for " + pair[0] + " ms");
                if (found != null) {
                    same(found.timestamp(), rows.get((int) pair[1]).timestamp(), "timestamp for " + pair[0] + " ms");
                }
            }
            consumer.assign(List.of(partition));
            consumer.seekToEnd(List.of(partition));
            same(consumer.position(partition, LIMIT), 300L, "position at the end");
        }
        var spec = Map.of(partition, org.apache.kafka.clients.admin.OffsetSpec.maxTimestamp());
        same(get(admin.listOffsets(spec).all()).get(partition).offset(), 299L, "offset of the largest timestamp");
    }

    /** A consumer that waits at the end is given what is produced after that. */
    private void tail() throws Exception {
        String topic = topic(1);
        var partition = new TopicPartition(topic, 0);
        produce(topic, sample(10), 0, Map.of());
        try (var consumer = consumer(Map.of("fetch.max.wait.ms", 2_000))) {
            consumer.assign(List.of(partition));
            consumer.seekToEnd(List.of(partition));
            same(consumer.position(partition, LIMIT), 10L, "position at the end");
            same(consumer.poll(Duration.ofMillis(100)).count(), 0, "records at the end");
            List<Row> late = List.of(new Row(utf8("late"), utf8("record"), List.of(), START));
            produce(topic, late, 10, Map.of());
            List<ConsumerRecord<byte[], byte[]>> got = new ArrayList<>();
            long until = System.nanoTime() + LIMIT.toNanos();
            while (got.isEmpty() && System.nanoTime() < until) {
                consumer.poll(Duration.ofSeconds(1)).forEach(got::add);
            }
            compare(got, late, 10);
        }
    }

    private void outOfRange() throws Exception {
        String topic = topic(1);
        var partition = new TopicPartition(topic, 0);
        List<Row> rows = sample(20);
        produce(topic, rows, 0, Map.of());
        long until = System.nanoTime() + LIMIT.toNanos();
        try (var consumer = consumer(Map.of("auto.offset.reset", "none"))) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 1_000);
            while (System.nanoTime() < until) {
                same(consumer.poll(Duration.ofSeconds(1)).count(), 0, "records out of range");
            }
            throw new AssertionError("an offset out of range was never refused");
        } catch (OffsetOutOfRangeException expected) {
            same(expected.partitions(), Set.of(partition), "partition out of range");
        }
        try (var consumer = consumer(Map.of("auto.offset.reset", "earliest"))) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 1_000);
            List<ConsumerRecord<byte[], byte[]>> got = new ArrayList<>();
            while (got.size() < 20 && System.nanoTime() < until) {
                consumer.poll(Duration.ofSeconds(1)).forEach(got::add);
            }
            compare(got, rows, 0);
        }
    }

    private void manyPartitions() throws Exception {
        String topic = topic(6);
        try (var producer = producer(Map.of())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int n = 0; n < 3_000; n++) {
                sent.add(producer.send(new ProducerRecord<>(topic, utf8("key-" + n % 97), utf8("" + n))));
            }
            for (Future<RecordMetadata> future : sent) {
                get(future);
            }
        }
        Map<String, List<Integer>> seen = new HashMap<>();
        int count = 0;
        try (var consumer = consumer(Map.of())) {
            List<TopicPartition> all = new ArrayList<>();
            for (int p = 0; p < 6; p++) {
                all.add(new TopicPartition(topic, p));
            }
            consumer.assign(all);
            consumer.seekToBeginning(all);
            long until = System.nanoTime() + LIMIT.toNanos();
            while (count < 3_000 && System.nanoTime() < until) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    count++;
                    String key = new String(record.key(), StandardCharsets.UTF_8);
                    int value = Integer.parseInt(new String(record.value(), StandardCharsets.UTF_8));
                    seen.computeIfAbsent(key, any -> new ArrayList<>()).add(value);
                }
            }
            long ends = consumer.endOffsets(all, LIMIT).values().stream().mapToLong(Long::longValue).sum();
            same(ends, 3_000L, "sum of the end offsets");
        }
        same(count, 3_000, "records over all partitions");
        for (var entry : seen.entrySet()) {
            int[] values = entry.getValue().stream().mapToInt(Integer::intValue).toArray();
            int[] sorted = values.clone();
            Arrays.sort(sorted);
            same(values, sorted, "order of " + entry.getKey());
        }
    }

    /** They are not served: the client is told so by the first answer, and does not ask until its own time is up. */
    private void transactions() throws Exception {
        try (var producer = producer(Map.of("transactional.id", name(), "max.block.ms", 120_000))) {
            String said = atOnce(KafkaException.class, producer::initTransactions, "initTransactions");
            same(said.contains("transactions are not served"), true, "words of: " + said);
            same(said.contains("leave transactional.id out"), true, "words of: " + said);
        }
    }

    private void shareGroup() throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "group.id", name());
        var bytes = new ByteArrayDeserializer();
        try (var consumer = new KafkaShareConsumer<>(config, bytes, bytes)) {
            consumer.subscribe(List.of(topic(1)));
            // The client's own words: it finds no API for such groups listed, and says so at the end of a poll.
            atOnce(UnsupportedVersionException.class, () -> {
                while (true) {
                    consumer.poll(Duration.ofMillis(100));
                }
            }, "a share consumer");
        }
    }

    /** The call must fail with this error, and not because its time is up; what it says. */
    private static String atOnce(Class<? extends Throwable> wanted, Check call, String what) throws Exception {
        Future<?> called = CompletableFuture.runAsync(() -> {
            try {
                call.run();
            } catch (Exception error) {
                throw new CompletionException(error);
            }
        });
        try {
            called.get(20, TimeUnit.SECONDS); // a guard against a hang, not a measure
        } catch (ExecutionException error) {
            same(error.getCause().getClass(), wanted, "error for " + what);
            return String.valueOf(error.getCause().getMessage());
        }
        throw new AssertionError(what + " was let through");
    }

    private void topics() throws Exception {
        String name = topic(3);
        same(get(admin.listTopics().names()).contains(name), true, "a created topic is listed");
        try (var consumer = consumer(Map.of())) {
            same(consumer.partitionsFor(name, LIMIT).size(), 3, "partitions");
        }
        var again = admin.createTopics(List.of(new NewTopic(name, 3, (short) 1))).all();
        fails(TopicExistsException.class, again, "a second creation");
        var bad = admin.createTopics(List.of(new NewTopic("no spaces", 1, (short) 1))).all();
        fails(InvalidTopicException.class, bad, "a bad name");
        var zero = admin.createTopics(List.of(new NewTopic(name + "-0", 0, (short) 1))).all();
        fails(InvalidPartitionsException.class, zero, "no partitions");
        produce(name, sample(10), 0, Map.of());
        get(admin.deleteTopics(List.of(name)).all());
        same(get(admin.listTopics().names()).contains(name), false, "a deleted topic is listed");
        fails(UnknownTopicOrPartitionException.class, admin.deleteTopics(List.of(name)).all(), "a second deletion");
        // Made again under the same name it is a new, empty one, with an id of its own.
        Uuid first = create(name, 1);
        List<Row> rows = sample(3);
        produce(name, rows, 0, Map.of());
        compare(consume(name, -1), rows, 0);
        get(admin.deleteTopics(List.of(name)).all());
        same(create(name, 1).equals(first), false, "a topic made again has the old id");
    }

    private void autoCreate() throws Exception {
        String name = "java-auto-" + UUID.randomUUID().toString().substring(0, 12);
        List<Row> rows = sample(5);
        produce(name, rows, 0, Map.of());
        compare(consume(name, -1), rows, 0);
    }
}
