package callboard;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.InvalidGroupIdException;
import org.apache.kafka.common.errors.WakeupException;

/**
 * Callboard's consumer groups as the Java client sees them: members join, leave, fall silent and come back while records
 * flow; every record is seen, every partition has one owner, committed offsets are what comes back.
 *
 * <p>Usage: Groups BOOTSTRAP.
 */
public final class Groups extends Kit {
    private static final int PARTITIONS = 6;

    private Groups(String bootstrap) {
        super(bootstrap, "java-group");
    }

    public static void main(String[] args) {
        Groups groups = new Groups(args[0]);
        Map<String, Check> checks = new LinkedHashMap<>();
        for (Class<?> assignor : List.of(RangeAssignor.class, RoundRobinAssignor.class, StickyAssignor.class)) {
            checks.put("comeAndGo-" + assignor.getSimpleName(), () -> groups.comeAndGo(assignor));
        }
        checks.put("cooperative", groups::cooperative);
        checks.put("staticMembers", groups::staticMembers);
        checks.put("silent", groups::silent);
        checks.put("offsets", groups::offsets);
        checks.put("outsiders", groups::outsiders);
        checks.put("patterns", groups::patterns);
        groups.run(checks, 3);
    }

    /** What the members of one group have between them. */
    private static final class Shared {
        /** Who has which partition, as the rebalance listeners say. */
        final Map<TopicPartition, String> owners = new ConcurrentHashMap<>();
        /** How often each record was seen. */
        final Map<String, AtomicInteger> seen = new ConcurrentHashMap<>();
        final List<String> faults = java.util.Collections.synchronizedList(new ArrayList<>());

        void take(String member, Collection<TopicPartition> partitions) {
            for (TopicPartition partition : partitions) {
                String before = owners.putIfAbsent(partition, member);
                if (before != null) {
                    faults.add(partition + " was given to " + member + " while " + before + " had it");
                }
            }
        }

        void release(String member, Collection<TopicPartition> partitions) {
            partitions.forEach(partition -> owners.remove(partition, member));
        }

        Map<String, Integer> shares() {
            Map<String, Integer> shares = new TreeMap<>();
            owners.values().forEach(member -> shares.merge(member, 1, Integer::sum));
            return shares;
        }
    }

    /** A consumer on a thread of its own. */
    private final class Member implements ConsumerRebalanceListener {
        final String name;
        final KafkaConsumer<byte[], byte[]> consumer;
        /** Partitions this member has given up, and how often it was told of a rebalance. */
        final Set<TopicPartition> revoked = ConcurrentHashMap.newKeySet();
        final AtomicInteger rebalances = new AtomicInteger();
        volatile Throwable ended;
        private final Shared shared;
        private final Thread thread;
        private volatile boolean stop;

        Member(String name, String group, String topic, Shared shared, Map<String, Object> config) {
            this.name = name;
            this.shared = shared;
            Map<String, Object> all = new HashMap<>(Map.of("group.id", group, "client.id", name));
            all.putAll(Map.of("enable.auto.commit", false, "auto.offset.reset", "earliest"));
            all.putAll(Map.of("heartbeat.interval.ms", 200, "metadata.max.age.ms", 1_000));
            all.putAll(config);
            this.consumer = consumer(all);
            consumer.subscribe(List.of(topic), this);
            this.thread = new Thread(this::poll, name);
            thread.setDaemon(true);
            thread.start();
        }

        private void poll() {
            try {
                while (!stop) {
                    consumer.poll(Duration.ofMillis(200)).forEach(record -> {
                        String value = new String(record.value(), StandardCharsets.UTF_8);
                        shared.seen.computeIfAbsent(value, any -> new AtomicInteger()).incrementAndGet();
                    });
                }
            } catch (WakeupException woken) {
                // Asked to end.
            } catch (Throwable error) { // the test looks at it
                ended = error;
            } finally {
                try {
                    consumer.close();
                } catch (RuntimeException error) {
                    ended = ended == null ? error : ended;
                }
            }
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            rebalances.incrementAndGet();
            shared.take(name, partitions);
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            // Everything polled so far was counted: who comes next begins where this one has ended.
            if (!partitions.isEmpty()) {
                consumer.commitSync();
            }
            revoked.addAll(partitions);
            shared.release(name, partitions);
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            shared.release(name, partitions);
        }

        /** Leaves in good order. */
        void leave() throws Exception {
            stop = true;
            consumer.wakeup();
            thread.join(LIMIT.toMillis());
            same(thread.isAlive(), false, name + " is still there");
            if (ended != null) {
                throw new AssertionError(name + " ended with " + ended, ended);
            }
        }
    }

    private static void wait(String what, BooleanSupplier until) throws Exception {
        Until limit = new Until();
        while (!until.getAsBoolean()) {
            limit.check(what);
            Thread.sleep(5);
        }
    }

    private void send(String topic, int from, int to) throws Exception {
        try (var producer = producer(Map.of())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int n = from; n < to; n++) {
                sent.add(producer.send(new ProducerRecord<>(topic, n % PARTITIONS, null, utf8("" + n))));
            }
            for (Future<RecordMetadata> future : sent) {
                get(future);
            }
        }
    }

    /** Whether all partitions are had by these members, each with as many as said. */
    private static boolean shared(Shared group, Map<String, Integer> wanted) {
        return group.shares().equals(wanted);
    }

    private static void all(Shared group, int count, boolean once) throws Exception {
        wait("all of " + count + " records; seen " + group.seen.size(), () -> group.seen.size() >= count);
        same(group.seen.size(), count, "records seen");
        same(group.faults, List.of(), "two owners at once");
        if (once) {
            List<String> twice = new ArrayList<>();
            group.seen.forEach((value, times) -> {
                if (times.get() != 1) {
                    twice.add(value + " x" + times);
                }
            });
            same(twice, List.of(), "records seen more than once");
        }
    }

    private void comeAndGo(Class<?> assignor) throws Exception {
        String topic = topic(PARTITIONS);
        String group = name();
        Shared shared = new Shared();
        Map<String, Object> config = Map.of("partition.assignment.strategy", assignor.getName());
        send(topic, 0, 300);
        Member a = new Member("a", group, topic, shared, config);
        wait("a alone has all", () -> shared(shared, Map.of("a", 6)));
        Member b = new Member("b", group, topic, shared, config);
        wait("a and b share", () -> shared(shared, Map.of("a", 3, "b", 3)));
        send(topic, 300, 600);
        Member c = new Member("c", group, topic, shared, config);
        wait("three share", () -> shared(shared, Map.of("a", 2, "b", 2, "c", 2)));
        send(topic, 600, 900);
        all(shared, 900, true);
        var described = get(admin.describeConsumerGroups(List.of(group)).all()).get(group);
        same(described.groupState(), GroupState.STABLE, "state");
        same(described.members().size(), 3, "members");
        Set<TopicPartition> covered = new HashSet<>();
        described.members().forEach(member -> covered.addAll(member.assignment().topicPartitions()));
        same(covered.size(), PARTITIONS, "partitions in the description");
        b.leave();
        wait("a and c share", () -> shared(shared, Map.of("a", 3, "c", 3)));
        send(topic, 900, 1_200);
        a.leave();
        wait("c alone has all", () -> shared(shared, Map.of("c", 6)));
        send(topic, 1_200, 1_500);
        all(shared, 1_500, true);
        c.leave();
        var committed = get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
        same(committed.values().stream().mapToLong(OffsetAndMetadata::offset).sum(), 1_500L, "sum of committed offsets");
        same(get(admin.describeConsumerGroups(List.of(group)).all()).get(group).groupState(), GroupState.EMPTY, "state");
    }

    /** Who keeps a partition in a cooperative rebalance is not asked to give it up in between. */
    private void cooperative() throws Exception {
        String topic = topic(PARTITIONS);
        String group = name();
        Shared shared = new Shared();
        Map<String, Object> config = Map.of("partition.assignment.strategy", CooperativeStickyAssignor.class.getName());
        send(topic, 0, 300);
        Member a = new Member("a", group, topic, shared, config);
        wait("a alone has all", () -> shared(shared, Map.of("a", 6)));
        Member b = new Member("b", group, topic, shared, config);
        wait("a and b share", () -> shared(shared, Map.of("a", 3, "b", 3)));
        same(a.revoked.size(), 3, "partitions that a gave up for b");
        send(topic, 300, 600);
        Member c = new Member("c", group, topic, shared, config);
        wait("three share", () -> shared(shared, Map.of("a", 2, "b", 2, "c", 2)));
        same(a.revoked.size(), 4, "partitions that a gave up for b and c");
        same(b.revoked.size(), 1, "partitions that b gave up for c");
        send(topic, 600, 900);
        b.leave();
        wait("a and c share", () -> shared(shared, Map.of("a", 3, "c", 3)));
        same(a.revoked.size(), 4, "a gives up nothing when b leaves");
        same(c.revoked.size(), 0, "c gives up nothing when b leaves");
        send(topic, 900, 1_200);
        all(shared, 1_200, true);
        a.leave();
        c.leave();
    }

    /** A static member comes back within its session without a rebalance; a second one with its id fences it. */
    private void staticMembers() throws Exception {
        String topic = topic(PARTITIONS);
        String group = name();
        Shared shared = new Shared();
        send(topic, 0, 300);
        Member a = new Member("a", group, topic, shared, Map.of("group.instance.id", "seat-a"));
        Member b = new Member("b", group, topic, shared, Map.of("group.instance.id", "seat-b"));
        wait("a and b share", () -> shared(shared, Map.of("a", 3, "b", 3)));
        all(shared, 300, false);
        int before = b.rebalances.get();
        Set<TopicPartition> had = new HashSet<>(shared.owners.keySet());
        had.removeIf(partition -> !"a".equals(shared.owners.get(partition)));
        // A static member that closes says nothing to the group: its place is kept.
        a.leave();
        same(get(admin.describeConsumerGroups(List.of(group)).all()).get(group).members().size(), 2, "members kept");
        send(topic, 300, 600);
        Member again = new Member("again", group, topic, shared, Map.of("group.instance.id", "seat-a"));
        wait("the one that came back has its share", () -> shared(shared, Map.of("again", 3, "b", 3)));
        for (TopicPartition partition : had) {
            same(shared.owners.get(partition), "again", "owner of " + partition);
        }
        all(shared, 600, false);
        same(b.rebalances.get(), before, "rebalances that b was told of");
        var members = get(admin.describeConsumerGroups(List.of(group)).all()).get(group).members();
        Set<String> seats = new HashSet<>();
        members.forEach(member -> seats.add(member.groupInstanceId().orElse("none")));
        same(seats, Set.of("seat-a", "seat-b"), "instance ids");
        // The first holder of a seat learns that another has taken it. What both have read is of no interest here.
        Member usurper = new Member("usurper", group, topic, new Shared(), Map.of("group.instance.id", "seat-a"));
        wait("the first holder is fenced", () -> again.ended != null);
        same(again.ended.getClass(), FencedInstanceIdException.class, "what it is told");
        usurper.leave();
        b.leave();
        get(admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions()).all());
        same(get(admin.describeConsumerGroups(List.of(group)).all()).get(group).members().size(), 0, "members removed");
    }

    /** A member that stops polling is taken out of the group (by its own client); what it had goes to the others. */
    private void silent() throws Exception {
        String topic = topic(PARTITIONS);
        String group = name();
        Shared shared = new Shared();
        Map<String, Object> config = Map.of("group.id", group, "session.timeout.ms", 6_000, "max.poll.interval.ms", 2_000,
                "heartbeat.interval.ms", 200, "auto.offset.reset", "earliest", "enable.auto.commit", false);
        try (var gone = consumer(config)) {
            gone.subscribe(List.of(topic));
            Until limit = new Until();
            while (gone.assignment().size() < PARTITIONS) {
                limit.check("the silent member has all partitions");
                gone.poll(Duration.ofMillis(100));
            }
            send(topic, 0, 300);
            Member b = new Member("b", group, topic, shared, Map.of("max.poll.interval.ms", 10_000));
            wait("b has what the silent one had", () -> shared(shared, Map.of("b", 6)));
            all(shared, 300, false);
            fails(CommitFailedException.class,
                    () -> gone.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(1))),
                    "a commit of the one that was removed");
            b.leave();
        }
    }

    private void offsets() throws Exception {
        String topic = topic(2);
        String group = name();
        var zero = new TopicPartition(topic, 0);
        var one = new TopicPartition(topic, 1);
        try (var producer = producer(Map.of())) {
            for (int n = 0; n < 100; n++) {
                get(producer.send(new ProducerRecord<>(topic, 0, null, utf8("" + n))));
            }
        }
        Map<String, Object> config = Map.of("group.id", group, "enable.auto.commit", false, "auto.offset.reset", "latest");
        try (var consumer = consumer(config)) {
            consumer.assign(List.of(zero, one));
            same(consumer.committed(Set.of(zero, one), LIMIT).get(zero), null, "committed before any commit");
            consumer.commitSync(Map.of(zero, new OffsetAndMetadata(42, "half of it: ü")));
            same(consumer.committed(Set.of(zero), LIMIT).get(zero).metadata(), "half of it: ü", "metadata");
            consumer.commitAsync(Map.of(zero, new OffsetAndMetadata(40)), null);
            consumer.commitSync(Map.of(one, new OffsetAndMetadata(0)));
            same(consumer.committed(Set.of(zero), LIMIT).get(zero).offset(), 40L, "committed behind the first");
        }
        try (var consumer = consumer(config)) {
            consumer.assign(List.of(zero));
            same(consumer.position(zero, LIMIT), 40L, "position of the next one");
        }
        // Automatic commits: on close, too.
        Map<String, Object> auto = Map.of("group.id", group, "enable.auto.commit", true, "auto.commit.interval.ms", 60_000);
        try (var consumer = consumer(auto)) {
            consumer.subscribe(List.of(topic));
            int count = 0;
            Until limit = new Until();
            while (count < 60) {
                limit.check("60 records; " + count);
                count += consumer.poll(Duration.ofMillis(200)).count();
            }
            same(count, 60, "records from 40 on");
        }
        var committed = get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
        same(committed.get(zero).offset(), 100L, "committed on close");
        String empty = name();
        same(get(admin.listConsumerGroupOffsets(empty).partitionsToOffsetAndMetadata()), Map.of(), "offsets of no group");
    }

    private void outsiders() throws Exception {
        String topic = topic(1);
        String group = name();
        Shared shared = new Shared();
        Member a = new Member("a", group, topic, shared, Map.of());
        wait("a has it", () -> shared(shared, Map.of("a", 1)));
        var partition = new TopicPartition(topic, 0);
        try (var stranger = consumer(Map.of("group.id", group, "enable.auto.commit", false))) {
            stranger.assign(List.of(partition));
            fails(CommitFailedException.class, () -> stranger.commitSync(Map.of(partition, new OffsetAndMetadata(1))),
                    "a commit of a stranger to a live group");
        }
        a.leave();
        try (var nobody = consumer(Map.of())) {
            fails(InvalidGroupIdException.class, () -> nobody.commitSync(Map.of(partition, new OffsetAndMetadata(1))),
                    "a commit without a group");
        }
    }

    /** A subscription by pattern takes in a topic that is made later. */
    private void patterns() throws Exception {
        String base = name();
        create(base + "-one", 1);
        Map<String, Object> config = Map.of("group.id", base, "auto.offset.reset", "earliest", "metadata.max.age.ms", 500,
                "heartbeat.interval.ms", 200);
        try (var consumer = consumer(config)) {
            consumer.subscribe(java.util.regex.Pattern.compile(base + "-.*"));
            Until limit = new Until();
            while (consumer.assignment().size() < 1) {
                limit.check("the first topic");
                consumer.poll(Duration.ofMillis(100));
            }
            create(base + "-two", 2);
            while (consumer.assignment().size() < 3) {
                limit.check("the second topic");
                consumer.poll(Duration.ofMillis(100));
            }
        }
    }
}
