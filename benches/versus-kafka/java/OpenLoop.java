// One producer and, if asked, one consumer at a fixed rate, open loop.
//
// Record n is due at start + n / rate, whatever became of the records before it; every latency is counted from then, so
// a stall of the broker is paid by all records that were due meanwhile (no coordinated omission). The due time travels in
// the record's first eight bytes and the consumer lives in the same process: one clock. Percentiles are exact: every
// latency is kept and sorted.
//
//   java OpenLoop bootstrap=HOST:PORT topic=T partitions=N rate=N|max size=BYTES linger=MS warmup=S seconds=S
//                 consume=true|false report=S        (report: a line each S seconds, by time of completion; else one at
//                                                     the end, of what was due after the warm-up)
//
// It creates no topic, forms no group (it assigns itself all partitions), and checks no content.
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class OpenLoop {
    /** All latencies of one kind, in nanoseconds. */
    private static final class Latencies {
        private long[] values = new long[1 << 16];
        private int count;

        synchronized void add(long value) {
            if (count == values.length) values = Arrays.copyOf(values, 2 * count);
            values[count++] = value;
        }

        /** What was added since the last call, sorted; whoever adds does not wait for the sorting. */
        long[] take() {
            long[] taken;
            int filled;
            synchronized (this) {
                taken = values;
                filled = count;
                values = new long[taken.length];
                count = 0;
            }
            Arrays.sort(taken, 0, filled);
            return Arrays.copyOf(taken, filled);
        }
    }

    private static final Map<String, String> arguments = new HashMap<>();
    private static final long NANOS = 1_000_000_000L;
    private static final Latencies sends = new Latencies();
    private static final Latencies acks = new Latencies();
    private static final Latencies reads = new Latencies();
    private static final AtomicLong failed = new AtomicLong();
    private static final AtomicLong answered = new AtomicLong();
    private static final AtomicLong received = new AtomicLong();
    private static volatile boolean done;
    private static long start;
    private static long from;
    private static long until;

    private static String argument(String name) {
        String value = arguments.get(name);
        if (value == null) throw new IllegalArgumentException("missing: " + name + "=");
        return value;
    }

    private static boolean measured(long due) {
        return due >= from && due < until;
    }

    private static KafkaProducer<byte[], byte[]> producer() {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", argument("bootstrap"));
        config.put("acks", "all");
        config.put("linger.ms", argument("linger"));
        config.put("batch.size", 65536);
        config.put("buffer.memory", 128 << 20);
        config.put("max.block.ms", 120_000);
        config.put("key.serializer", ByteArraySerializer.class);
        config.put("value.serializer", ByteArraySerializer.class);
        return new KafkaProducer<>(config);
    }

    /** Sends what is due, record by record. Returns how many of those that count were sent. */
    private static long send(KafkaProducer<byte[], byte[]> producer) {
        String topic = argument("topic");
        int partitions = Integer.parseInt(argument("partitions"));
        double period = argument("rate").equals("max") ? 0 : NANOS / Double.parseDouble(argument("rate"));
        byte[] filler = new byte[Integer.parseInt(argument("size"))];
        ThreadLocalRandom.current().nextBytes(filler);
        long counted = 0;
        for (long n = 0; ; n++) {
            long due = period == 0 ? System.nanoTime() : start + (long) (n * period);
            if (due >= until) return counted;
            for (long early; (early = due - System.nanoTime()) > 0; ) LockSupport.parkNanos(early);
            byte[] value = filler.clone();
            ByteBuffer.wrap(value).putLong(due);
            if (measured(due)) {
                counted++;
                sends.add(System.nanoTime() - due);
            }
            producer.send(new ProducerRecord<>(topic, (int) (n % partitions), null, value), (metadata, error) -> {
                answered.incrementAndGet();
                if (error != null) failed.incrementAndGet();
                else if (measured(due)) acks.add(System.nanoTime() - due);
            });
        }
    }

    /** Reads from the end on, until told to stop. */
    private static void consume(CountDownLatch ready) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", argument("bootstrap"));
        config.put("enable.auto.commit", false);
        config.put("auto.offset.reset", "latest");
        config.put("key.deserializer", ByteArrayDeserializer.class);
        config.put("value.deserializer", ByteArrayDeserializer.class);
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config)) {
            List<TopicPartition> all = IntStream.range(0, Integer.parseInt(argument("partitions")))
                .mapToObj(n -> new TopicPartition(argument("topic"), n)).toList();
            consumer.assign(all);
            consumer.seekToEnd(all);
            all.forEach(consumer::position);
            ready.countDown();
            while (!done) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                    long due = ByteBuffer.wrap(record.value()).getLong();
                    if (measured(due)) reads.add(System.nanoTime() - due);
                    received.incrementAndGet();
                }
            }
        }
    }

    /** `name_p50`, `name_p99` and `name_max` in milliseconds, and `name_count`. */
    private static String percentiles(String name, long[] sorted) {
        if (sorted.length == 0) return String.format("\"%s_count\":0", name);
        int last = sorted.length - 1;
        return String.format(Locale.ROOT, "\"%s_count\":%d,\"%1$s_p50\":%.3f,\"%1$s_p99\":%.3f,\"%1$s_max\":%.3f", name,
            sorted.length, sorted[last / 2] / 1e6, sorted[(int) Math.ceil(last * 0.99)] / 1e6, sorted[last] / 1e6);
    }

    private static void line(String more) {
        System.out.printf("{%s,%s,%s,\"failed\":%d%s}%n", percentiles("send", sends.take()),
            percentiles("ack", acks.take()), percentiles("read", reads.take()), failed.get(), more);
        System.out.flush();
    }

    private static Thread background(Runnable work) {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private static void report(long every) {
        for (long next = from + every; !done; next += every) {
            for (long left; (left = next - System.nanoTime()) > 0; ) LockSupport.parkNanos(left);
            line("");
        }
    }

    public static void main(String[] args) throws Exception {
        for (String arg : args) arguments.put(arg.substring(0, arg.indexOf('=')), arg.substring(arg.indexOf('=') + 1));
        boolean consuming = Boolean.parseBoolean(argument("consume"));
        long every = Long.parseLong(arguments.getOrDefault("report", "0")) * NANOS;
        KafkaProducer<byte[], byte[]> producer = producer();
        producer.partitionsFor(argument("topic"));
        CountDownLatch ready = new CountDownLatch(consuming ? 1 : 0);
        Thread reader = consuming ? background(() -> consume(ready)) : null;
        ready.await();
        start = System.nanoTime();
        from = start + (long) (Double.parseDouble(argument("warmup")) * NANOS);
        until = from + (long) (Double.parseDouble(argument("seconds")) * NANOS);
        if (every > 0) background(() -> report(every));
        long counted = send(producer);
        // What is late may still come; what has not come by then is lost, and said to be.
        producer.flush();
        for (int n = 0; consuming && received.get() < answered.get() - failed.get() && n < 300; n++) Thread.sleep(100);
        done = true;
        if (reader != null) reader.join(10_000);
        if (every == 0) line(",\"due\":" + counted);
        System.exit(0);
    }
}
