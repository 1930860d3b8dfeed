// What is asked of a broker beside the load, by one process that lives through the whole run: a command a line on the
// standard input, an answer a line on the standard output (`ok …` or `error …`).
//
//   create BOOTSTRAP TOPIC PARTITIONS [NAME=VALUE,…]   ok
//   records BOOTSTRAP TOPIC                            ok <records between the start and the end, all partitions>
//   ack BOOTSTRAP TOPIC                                ok <microseconds since the epoch of the first acknowledgement>
//   many BOOTSTRAP PREFIX TOPICS PARTITIONS            ok <milliseconds until the answer> <until all have leaders>
//   led BOOTSTRAP PREFIX TOPICS PARTITIONS             ok <microseconds since the epoch: first acknowledgement> <all led>
//
// `ack` and `led` may be sent before the broker is started: they try again every 2 ms. It measures no load.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Helper {
    private static final int PATIENCE_MS = 180_000;

    private static Map<String, Object> config(String bootstrap) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("reconnect.backoff.ms", 2);
        config.put("reconnect.backoff.max.ms", 2);
        config.put("retry.backoff.ms", 2);
        config.put("retry.backoff.max.ms", 2);
        config.put("request.timeout.ms", 30_000);
        return config;
    }

    private static Admin admin(String bootstrap) {
        Map<String, Object> config = config(bootstrap);
        config.put("default.api.timeout.ms", PATIENCE_MS);
        return Admin.create(config);
    }

    private static String create(String bootstrap, String topic, int partitions, Map<String, String> configs)
        throws Exception {
        try (Admin admin = admin(bootstrap)) {
            admin.createTopics(List.of(new NewTopic(topic, Optional.of(partitions), Optional.of((short) 1))
                .configs(configs))).all().get();
            untilLed(admin, List.of(topic), partitions);
        }
        return "";
    }

    private static String records(String bootstrap, String topic) throws Exception {
        try (Admin admin = admin(bootstrap)) {
            List<TopicPartition> all = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic)
                .partitions().stream().map(each -> new TopicPartition(topic, each.partition())).toList();
            return "" + (sum(admin, all, OffsetSpec.latest()) - sum(admin, all, OffsetSpec.earliest()));
        }
    }

    private static long sum(Admin admin, List<TopicPartition> all, OffsetSpec what) throws Exception {
        return admin.listOffsets(all.stream().collect(Collectors.toMap(each -> each, each -> what))).all().get()
            .values().stream().mapToLong(each -> each.offset()).sum();
    }

    private static long micros() {
        return ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
    }

    private static long firstAck(String bootstrap, String topic) throws Exception {
        Map<String, Object> config = config(bootstrap);
        config.put("acks", "all");
        config.put("linger.ms", 0);
        config.put("max.block.ms", PATIENCE_MS);
        config.put("delivery.timeout.ms", PATIENCE_MS);
        config.put("key.serializer", ByteArraySerializer.class);
        config.put("value.serializer", ByteArraySerializer.class);
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config)) {
            producer.send(new ProducerRecord<>(topic, new byte[100])).get();
            return micros();
        }
    }

    private static List<String> names(String prefix, int topics) {
        List<String> names = new ArrayList<>();
        for (int n = 0; n < topics; n++) names.add(prefix + "-" + n);
        return names;
    }

    /** Returns when all partitions have leaders. */
    private static void untilLed(Admin admin, List<String> names, int partitions) throws Exception {
        long end = System.nanoTime() + PATIENCE_MS * 1_000_000L;
        while (System.nanoTime() < end) {
            try {
                if (admin.describeTopics(names).allTopicNames().get().values().stream()
                    .allMatch(each -> led(each, partitions))) return;
            } catch (ExecutionException error) {
                boolean later = error.getCause() instanceof RetriableException
                    || error.getCause() instanceof UnknownTopicOrPartitionException;
                if (!later) throw error;
            }
            Thread.sleep(2);
        }
        throw new IllegalStateException("not all partitions have leaders");
    }

    private static boolean led(TopicDescription topic, int partitions) {
        return topic.partitions().size() == partitions
            && topic.partitions().stream().allMatch(each -> each.leader() != null && !each.leader().isEmpty());
    }

    private static String many(String bootstrap, String prefix, int topics, int partitions) throws Exception {
        try (Admin admin = admin(bootstrap)) {
            admin.describeCluster().nodes().get(); // connected: a connection is not what is measured
            List<NewTopic> all = names(prefix, topics).stream()
                .map(each -> new NewTopic(each, Optional.of(partitions), Optional.of((short) 1))).toList();
            long start = System.nanoTime();
            admin.createTopics(all).all().get();
            long answered = System.nanoTime();
            untilLed(admin, names(prefix, topics), partitions);
            return (answered - start) / 1e6 + " " + (System.nanoTime() - start) / 1e6;
        }
    }

    private static String led(String bootstrap, String prefix, int topics, int partitions) throws Exception {
        long acked = firstAck(bootstrap, prefix + "-0");
        try (Admin admin = admin(bootstrap)) {
            untilLed(admin, names(prefix, topics), partitions);
        }
        return acked + " " + micros();
    }

    private static String answer(String[] words) throws Exception {
        switch (words[0]) {
            case "create":
                Map<String, String> configs = new HashMap<>();
                for (String pair : words.length > 4 ? words[4].split(",") : new String[0])
                    configs.put(pair.substring(0, pair.indexOf('=')), pair.substring(pair.indexOf('=') + 1));
                return create(words[1], words[2], Integer.parseInt(words[3]), configs);
            case "records":
                return records(words[1], words[2]);
            case "ack":
                return "" + firstAck(words[1], words[2]);
            case "many":
                return many(words[1], words[2], Integer.parseInt(words[3]), Integer.parseInt(words[4]));
            case "led":
                return led(words[1], words[2], Integer.parseInt(words[3]), Integer.parseInt(words[4]));
            default:
                throw new IllegalArgumentException("unknown command: " + words[0]);
        }
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String answer;
            try {
                answer = "ok " + answer(line.trim().split(" "));
            } catch (Exception error) {
                answer = "error " + error;
            }
            System.out.println(answer.replace('\n', ' '));
            System.out.flush();
        }
    }
}
