package callboard;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.tools.BrokerApiVersionsCommand;
import org.apache.kafka.tools.ConsoleProducer;
import org.apache.kafka.tools.ConsumerPerformance;
import org.apache.kafka.tools.DeleteRecordsCommand;
import org.apache.kafka.tools.GetOffsetShell;
import org.apache.kafka.tools.FeatureCommand;
import org.apache.kafka.tools.GroupsCommand;
import org.apache.kafka.tools.LeaderElectionCommand;
import org.apache.kafka.tools.LogDirsCommand;
import org.apache.kafka.tools.MetadataQuorumCommand;
import org.apache.kafka.tools.ProducerPerformance;
import org.apache.kafka.tools.TopicCommand;
import org.apache.kafka.tools.consumer.ConsoleConsumer;
import org.apache.kafka.tools.consumer.group.ConsumerGroupCommand;

/**
 * Runs a list of Kafka's own command lines against one broker and writes down what they print: one process for all of
 * them, since a JVM takes a second to start.
 *
 * <p>Usage: Tools BOOTSTRAP SCRIPT DIR. A line of the script is a tool's usual name and its arguments (the bootstrap
 * server is added), or one of: {@code input LINES} (what the next tool reads, `|` between lines), {@code file NAME TEXT},
 * {@code join GROUP CLIENT TOPIC}, {@code leave CLIENT}, {@code records TOPIC PARTITION COUNT}. `DIR/` names the directory.
 * The transcript has a line `$ …` a command, what it wrote, and its exit code.
 */
public final class Tools {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    /** Where records of known times begin: far back, and never aged out while the topics keep them. */
    private static final long START = 1_700_000_000_000L;

    private interface Tool {
        void main(String[] args) throws Exception;
    }

    /** Thrown where a tool would end the process. */
    private static final class Exited extends Error {
        private static final long serialVersionUID = 1;
        private final int code;

        Exited(int code) {
            super(null, null, false, false);
            this.code = code;
        }
    }

    private final String bootstrap;
    private final Path dir;
    private final Capture capture = new Capture();
    private final PrintStream report = System.out;
    private final Map<String, Runnable> members = new HashMap<>();
    private String input = "";
    private Exited first;

    private Tools(String bootstrap, Path dir) {
        this.bootstrap = bootstrap;
        this.dir = dir;
    }

    public static void main(String[] args) throws Exception {
        Tools tools = new Tools(args[0], Path.of(args[2]));
        tools.captureAll();
        for (String line : Files.readAllLines(Path.of(args[1]))) {
            if (!line.isBlank() && !line.startsWith("#")) {
                tools.line(line);
            }
        }
        tools.report.println("$ end");
        tools.report.flush();
        Runtime.getRuntime().halt(0);
    }

    /** Standard streams as they are seen by tools that keep the one they found first (Scala's console does). */
    private void captureAll() {
        System.setOut(new PrintStream(capture, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(capture, true, StandardCharsets.UTF_8));
        Exit.Procedure exit = (code, message) -> {
            if (message != null) {
                System.err.println(message);
            }
            // What a tool's own handlers make of this throwable does not count: the first exit is the exit.
            if (first == null) {
                first = new Exited(code);
                capture.pause();
            }
            throw first;
        };
        Exit.setExitProcedure(exit);
        Exit.setHaltProcedure(exit);
        Exit.setShutdownHookAdder((name, runnable) -> { });
    }

    private void line(String line) throws Exception {
        String[] words = line.replace("DIR/", dir + "/").trim().split(" +");
        switch (words[0]) {
            case "input" -> input = line.substring("input ".length()).replace('|', '\n') + "\n";
            case "file" -> Files.writeString(dir.resolve(words[1]), line.split(" +", 3)[2]);
            case "join" -> join(words[1], words[2], words[3]);
            case "leave" -> members.remove(words[1]).run();
            case "records" -> records(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3]));
            default -> tool(line, words);
        }
    }

    private static Tool named(String name) {
        return switch (name) {
            case "kafka-topics" -> TopicCommand::main;
            case "kafka-configs" -> kafka.admin.ConfigCommand::main;
            case "kafka-consumer-groups" -> ConsumerGroupCommand::main;
            case "kafka-groups" -> GroupsCommand::main;
            case "kafka-get-offsets" -> GetOffsetShell::main;
            case "kafka-delete-records" -> DeleteRecordsCommand::main;
            case "kafka-log-dirs" -> LogDirsCommand::main;
            case "kafka-leader-election" -> LeaderElectionCommand::main;
            case "kafka-features" -> FeatureCommand::main;
            case "kafka-metadata-quorum" -> MetadataQuorumCommand::main;
            case "kafka-broker-api-versions" -> BrokerApiVersionsCommand::main;
            case "kafka-console-producer" -> ConsoleProducer::main;
            case "kafka-console-consumer" -> ConsoleConsumer::main;
            case "kafka-producer-perf-test" -> ProducerPerformance::main;
            case "kafka-consumer-perf-test" -> ConsumerPerformance::main;
            default -> throw new IllegalArgumentException("no tool is called " + name);
        };
    }

    private void tool(String line, String[] words) throws Exception {
        List<String> args = new ArrayList<>(List.of(words).subList(1, words.length));
        args.add(0, "--bootstrap-server");
        args.add(1, bootstrap);
        System.setIn(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
        input = "";
        first = null;
        capture.take();
        int code = 0;
        try {
            named(words[0]).main(args.toArray(String[]::new));
        } catch (Exited exited) {
            code = exited.code;
        } catch (Throwable error) { // what a process would end with
            System.out.println("threw " + error);
            code = 1;
        }
        code = first == null ? code : first.code;
        report.println("$ " + line);
        report.print(capture.take());
        report.println("exit " + code);
        report.flush();
    }

    /** A consumer that stays in a group until it is told to leave; returns when it has partitions. */
    private void join(String group, String client, String topic) throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "group.id", group, "client.id", client,
                "enable.auto.commit", false, "auto.offset.reset", "earliest", "heartbeat.interval.ms", 200);
        var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        var stop = new java.util.concurrent.atomic.AtomicBoolean();
        var joined = new java.util.concurrent.CountDownLatch(1);
        var thread = new Thread(() -> {
            consumer.subscribe(List.of(topic));
            while (!stop.get()) {
                consumer.poll(Duration.ofMillis(50));
                if (!consumer.assignment().isEmpty()) {
                    joined.countDown();
                }
            }
            consumer.close();
        });
        thread.setDaemon(true);
        thread.start();
        if (!joined.await(LIMIT.toSeconds(), java.util.concurrent.TimeUnit.SECONDS)) {
            throw new IllegalStateException(client + " was given no partition of " + topic);
        }
        members.put(client, () -> {
            stop.set(true);
            try {
                thread.join(LIMIT.toMillis());
            } catch (InterruptedException error) {
                throw new IllegalStateException(error);
            }
        });
    }

    /** Records whose times are known: one a second. */
    private void records(String topic, int partition, int count) {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap);
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (int n = 0; n < count; n++) {
                byte[] value = ("record " + n).getBytes(StandardCharsets.UTF_8);
                producer.send(new ProducerRecord<>(topic, partition, START + n * 1_000L, null, value));
            }
        }
    }

    /** Keeps what is written until it is taken; paused, it lets everything go. */
    private static final class Capture extends OutputStream {
        private final java.io.ByteArrayOutputStream kept = new java.io.ByteArrayOutputStream();
        private boolean paused;

        @Override
        public synchronized void write(int one) {
            if (!paused) {
                kept.write(one);
            }
        }

        @Override
        public synchronized void write(byte[] bytes, int from, int count) throws IOException {
            if (!paused) {
                kept.write(bytes, from, count);
            }
        }

        synchronized void pause() {
            paused = true;
        }

        synchronized String take() {
            String text = kept.toString(StandardCharsets.UTF_8);
            kept.reset();
            paused = false;
            return text.isEmpty() || text.endsWith("\n") ? text : text + "\n";
        }
    }
}
