// Batches that were compressed beforehand, sent again and again: the broker is the limit, not the compressor of a client.
//
// Kafka's own classes build the batches, the requests and the answers' meaning. A request holds a batch for each partition,
// as a producer sends it to a broker that is slower than itself. Each connection has five requests under way, the
// producer's default. Batches carry no producer id, so the same bytes may come again.
//
//   java Ready bootstrap=HOST:PORT topic=T partitions=N file=LINES codec=NAME connections=N
//
// First a line `ready N:1` with the ratio that the codec reached, then `N records sent` each second, until it is killed.
// It creates no topic, looks for no leader (there is one node), and ends at the first error.
import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.message.ProduceRequestData.PartitionProduceData;
import org.apache.kafka.common.message.ProduceRequestData.TopicProduceData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.requests.AbstractResponse;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.requests.RequestHeader;

public final class Ready {
    /** The last version that names topics; later ones ask for ids first. */
    private static final short VERSION = 12;
    private static final int REQUESTS = 16;
    private static final int UNDER_WAY = 5;
    private static final int BATCH = 65536;

    private record Request(RequestHeader header, ByteBuffer bytes, int records) { }

    private static final Map<String, String> arguments = new HashMap<>();
    private static final AtomicLong sent = new AtomicLong();
    private static final Random random = new Random(17);
    private static List<byte[]> lines;
    private static double ratio = 1;

    /** A batch as the producer closes it: when it would be full by the ratio of those before it. */
    private static MemoryRecords batch() {
        Compression compression = Compression.of(arguments.get("codec")).build();
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(BATCH), RecordBatch.CURRENT_MAGIC_VALUE,
            compression, TimestampType.CREATE_TIME, 0L);
        builder.setEstimatedCompressionRatio((float) ratio);
        long now = System.currentTimeMillis();
        for (byte[] line = line(); builder.hasRoomFor(now, null, line, Record.EMPTY_HEADERS); line = line())
            builder.append(now, null, line);
        MemoryRecords built = builder.build();
        ratio = builder.compressionRatio();
        return built;
    }

    private static byte[] line() {
        return lines.get(random.nextInt(lines.size()));
    }

    private static Request request(int number) {
        ProduceRequestData.TopicProduceDataCollection topics = new ProduceRequestData.TopicProduceDataCollection();
        List<PartitionProduceData> partitions = new ArrayList<>();
        int records = 0;
        for (int each = 0; each < Integer.parseInt(arguments.get("partitions")); each++) {
            MemoryRecords batch = batch();
            for (RecordBatch one : batch.batches()) records += one.countOrNull();
            partitions.add(new PartitionProduceData().setIndex(each).setRecords(batch));
        }
        topics.add(new TopicProduceData().setName(arguments.get("topic")).setPartitionData(partitions));
        ProduceRequestData data = new ProduceRequestData().setAcks((short) -1).setTimeoutMs(30_000).setTopicData(topics);
        RequestHeader header = new RequestHeader(ApiKeys.PRODUCE, VERSION, "ready", number);
        ByteBuffer body = new ProduceRequest(data, VERSION).serializeWithHeader(header);
        ByteBuffer bytes = ByteBuffer.allocateDirect(4 + body.remaining()).putInt(body.remaining()).put(body).flip();
        return new Request(header, bytes, records);
    }

    private static void write(SocketChannel socket, List<Request> all, int first, BlockingQueue<Request> underWay)
        throws IOException, InterruptedException {
        for (int n = first; ; n++) {
            Request request = all.get(n % all.size());
            underWay.put(request);
            for (ByteBuffer bytes = request.bytes.duplicate(); bytes.hasRemaining(); ) socket.write(bytes);
        }
    }

    /** Takes a request off the queue when it is answered, so that as many are under way as the queue holds. */
    private static void read(SocketChannel socket, BlockingQueue<Request> underWay) throws IOException, InterruptedException {
        DataInputStream in = new DataInputStream(new BufferedInputStream(Channels.newInputStream(socket)));
        while (true) {
            byte[] answer = in.readNBytes(in.readInt());
            Request request = underWay.take();
            for (Errors error : AbstractResponse.parseResponse(ByteBuffer.wrap(answer), request.header).errorCounts().keySet())
                if (error != Errors.NONE) throw new IllegalStateException("the broker says " + error);
            sent.addAndGet(request.records);
        }
    }

    private interface Work {
        void run() throws Exception;
    }

    /** A thread; if it fails, all fails. */
    private static void background(Work work) {
        Thread thread = new Thread(() -> {
            try {
                work.run();
            } catch (Exception error) {
                System.err.println(error instanceof EOFException ? "the broker closed the connection" : error.toString());
                System.exit(1);
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    private static void connect(List<Request> all, int first) throws IOException {
        String[] bootstrap = arguments.get("bootstrap").split(":");
        SocketChannel socket = SocketChannel.open(new InetSocketAddress(bootstrap[0], Integer.parseInt(bootstrap[1])));
        socket.setOption(StandardSocketOptions.TCP_NODELAY, true);
        BlockingQueue<Request> underWay = new ArrayBlockingQueue<>(UNDER_WAY);
        background(() -> write(socket, all, first, underWay));
        background(() -> read(socket, underWay));
    }

    public static void main(String[] args) throws Exception {
        for (String arg : args) arguments.put(arg.substring(0, arg.indexOf('=')), arg.substring(arg.indexOf('=') + 1));
        lines = Files.readAllLines(Path.of(arguments.get("file"))).stream()
            .map(line -> line.getBytes(StandardCharsets.US_ASCII)).toList();
        batch(); // its ratio is what the others are cut by
        List<Request> all = new ArrayList<>();
        long values = 0, bytes = 0;
        for (int n = 0; n < REQUESTS; n++) {
            all.add(request(n));
            values += (long) all.get(n).records * lines.get(0).length;
            bytes += all.get(n).bytes.remaining();
        }
        System.out.printf(Locale.ROOT, "ready %.2f:1%n", (double) values / bytes);
        int connections = Integer.parseInt(arguments.get("connections"));
        for (int n = 0; n < connections; n++) connect(all, n * REQUESTS / connections);
        for (long before = 0; ; ) {
            Thread.sleep(1000);
            long now = sent.get();
            System.out.printf("%d records sent%n", now - before);
            before = now;
        }
    }
}
