// Kafka's ConsumerPerformance again and again in one process, each time as a new group from the start of the topic.
//
// One pass over what a disk may hold takes seconds: its compiled code would be lost with each new process. Before and
// after each pass a line says so, by which the broker's CPU time is read; the tool's own line comes between them. It
// stops by itself after both times, at the end of a pass; at least one pass counts.
//
//   java Passes WARMUP_SECONDS SECONDS <arguments of ConsumerPerformance>
import java.util.Arrays;
import org.apache.kafka.tools.ConsumerPerformance;

public final class Passes {
    public static void main(String[] args) {
        long begin = System.nanoTime();
        double warmup = Double.parseDouble(args[0]) * 1e9, end = warmup + Double.parseDouble(args[1]) * 1e9;
        String[] rest = Arrays.copyOfRange(args, 2, args.length);
        boolean counts = false;
        while (!counts || System.nanoTime() - begin < end) {
            counts = System.nanoTime() - begin >= warmup;
            System.out.println(counts ? "pass counts" : "pass warms up");
            ConsumerPerformance.main(rest);
            System.out.println("pass ends");
        }
        System.exit(0);
    }
}
