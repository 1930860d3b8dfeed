package callboard;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** What the suites are made of: clients, comparisons, and what runs every check and is heard about each. */
abstract class Kit {
    /** A guard against a hang, not a measure. */
    static final Duration LIMIT = Duration.ofSeconds(60);

    /** An hour ago: brokers forget records by the age of their timestamps. */
    static final long START = System.currentTimeMillis() - 3_600_000;

    final String bootstrap;
    final Admin admin;
    private final String prefix;

    Kit(String bootstrap, String prefix) {
        this.bootstrap = bootstrap;
        this.prefix = prefix;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    interface Check {
        void run() throws Exception;
    }

    /** Runs them, so many at once; one line a check, in order; the exit code says whether all held. */
    void run(Map<String, Check> checks, int atOnce) {
        System.out.println("kafka-clients " + AppInfoParser.getVersion());
        ExecutorService threads = Executors.newFixedThreadPool(atOnce);
        Map<String, Future<?>> running = new LinkedHashMap<>();
        checks.forEach((name, check) -> running.put(name, threads.submit(() -> {
            check.run();
            return null;
        })));
        int failed = 0;
        for (Map.Entry<String, Future<?>> check : running.entrySet()) {
            try {
                check.getValue().get();
                System.out.println("ok      " + check.getKey());
            } catch (Exception error) { // every check is to be heard
                failed++;
                System.out.println("FAILED  " + check.getKey() + ": " + error.getCause());
                error.getCause().printStackTrace();
            }
        }
        System.out.println((checks.size() - failed) + " of " + checks.size() + " held");
        admin.close(Duration.ofSeconds(1));
        System.exit(failed == 0 ? 0 : 1);
    }

    static void same(Object got, Object wanted, String what) {
        if (!Objects.deepEquals(got, wanted)) {
            throw new AssertionError(what + ": got " + show(got) + ", wanted " + show(wanted));
        }
    }

    private static String show(Object value) {
        String text = value instanceof byte[] bytes ? bytes.length + " bytes " + new String(bytes, StandardCharsets.UTF_8)
                : String.valueOf(value);
        return text.length() > 300 ? text.substring(0, 300) + "…" : text;
    }

    /** A name that nothing else has. */
    String name() {
        return prefix + "-" + UUID.randomUUID().toString().substring(0, 12);
    }

    String topic(int partitions) throws Exception {
        String name = name();
        create(name, partitions);
        return name;
    }

    Uuid create(String name, int partitions) throws Exception {
        var created = admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1)));
        get(created.all());
        return get(created.topicId(name));
    }

    static <T> T get(Future<T> future) throws Exception {
        return future.get(LIMIT.toSeconds(), TimeUnit.SECONDS);
    }

    /** The future must fail with this error. */
    static void fails(Class<? extends Throwable> wanted, Future<?> future, String what) throws Exception {
        try {
            get(future);
        } catch (ExecutionException error) {
            same(error.getCause().getClass(), wanted, "error for " + what);
            return;
        }
        throw new AssertionError(what + " was let through");
    }

    /** The call must fail with this error. */
    static void fails(Class<? extends Throwable> wanted, Check call, String what) {
        try {
            call.run();
        } catch (Throwable error) {
            same(error.getClass(), wanted, "error for " + what);
            return;
        }
        throw new AssertionError(what + " was let through");
    }

    KafkaProducer<byte[], byte[]> producer(Map<String, Object> config) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "linger.ms", 5));
        all.putAll(config);
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> config) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "fetch.max.wait.ms", 20));
        all.putAll(config);
        return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Asks until the node that answers knows the topic: another node learns of a creation a little after its answer. */
    static <T> T known(Supplier<Future<T>> ask) throws Exception {
        Until limit = new Until();
        while (true) {
            try {
                return get(ask.get());
            } catch (ExecutionException error) {
                if (!(error.getCause() instanceof UnknownTopicOrPartitionException)) {
                    throw error;
                }
                limit.check("the topic is known");
            }
        }
    }

    /** A clock for loops that must end. */
    static final class Until {
        private final long end = System.nanoTime() + LIMIT.toNanos();

        /** Fails when the time is up. */
        void check(String what) {
            if (System.nanoTime() > end) {
                throw new AssertionError("still not, after " + LIMIT.toSeconds() + " s: " + what);
            }
        }
    }
}
