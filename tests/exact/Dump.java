import java.io.PrintStream;
import java.io.BufferedOutputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads a topic by Kafka's own consumer, from its start to its end as of now, and prints a line a record: partition,
 * offset, digest of the content, digest of the key, 1 for a tombstone, number. content.rs makes the same digests.
 */
public class Dump {
    private long hash = 0xcbf29ce484222325L;

    private void add(byte[] bytes) {
        for (byte b : bytes) {
            hash = (hash ^ (b & 0xff)) * 0x100000001b3L;
        }
    }

    private void number(long number, int bytes) {
        for (int shift = 8 * bytes - 8; shift >= 0; shift -= 8) {
            hash = (hash ^ ((number >> shift) & 0xff)) * 0x100000001b3L;
        }
    }

    private void field(byte[] bytes) {
        number(bytes == null ? -1 : bytes.length, 4);
        if (bytes != null) {
            add(bytes);
        }
    }

    private static long digest(ConsumerRecord<byte[], byte[]> r) {
        var d = new Dump();
        d.number(r.timestamp(), 8);
        d.field(r.key());
        d.field(r.value());
        // What the mirror itself writes on records of shared topics is no content.
        var headers = new java.util.ArrayList<org.apache.kafka.common.header.Header>();
        for (var header : r.headers()) {
            if (!header.key().startsWith("isomirror.origin")) {
                headers.add(header);
            }
        }
        d.number(headers.size(), 4);
        for (var header : headers) {
            d.field(header.key().getBytes(StandardCharsets.UTF_8));
            d.field(header.value());
        }
        return d.hash;
    }

    public static void main(String[] args) {
        String topic = args[1], number = args[3], stranger = args[4];
        var properties = new Properties();
        properties.put("bootstrap.servers", args[0]);
        properties.put("isolation.level", args[2]);
        properties.put("auto.offset.reset", "none");
        properties.put("max.poll.records", "5000");
        var bytes = new ByteArrayDeserializer();
        var out = new PrintStream(new BufferedOutputStream(System.out, 1 << 16));
        try (var consumer = new KafkaConsumer<byte[], byte[]>(properties, bytes, bytes)) {
            var all = new ArrayList<TopicPartition>();
            for (var partition : consumer.partitionsFor(topic)) {
                all.add(new TopicPartition(topic, partition.partition()));
            }
            consumer.assign(all);
            consumer.seekToBeginning(all);
            // With read_committed this is the last stable offset.
            var ends = consumer.endOffsets(all);
            Set<TopicPartition> left = new HashSet<>(all);
            long heard = System.nanoTime();
            while (true) {
                // The position goes over markers and gaps that no record tells of.
                if (left.removeIf(p -> consumer.position(p) >= ends.get(p))) {
                    consumer.pause(all.stream().filter(p -> !left.contains(p)).toList());
                }
                if (left.isEmpty()) {
                    break;
                }
                for (var r : consumer.poll(Duration.ofMillis(200))) {
                    heard = System.nanoTime();
                    var partition = new TopicPartition(topic, r.partition());
                    if (r.offset() >= ends.get(partition) || r.headers().lastHeader(stranger) != null) {
                        continue;
                    }
                    var n = r.headers().lastHeader(number);
                    var text = new StringBuilder();
                    if (n != null) {
                        for (byte b : n.value()) {
                            text.append(String.format("%02x", b));
                        }
                    }
                    var key = new Dump();
                    key.add(r.key() == null ? new byte[0] : r.key());
                    out.println(r.partition() + " " + r.offset() + " " + Long.toHexString(digest(r)) + " "
                        + Long.toHexString(key.hash) + " " + (r.value() == null ? 1 : 0) + " "
                        + (n == null ? "-" : text));
                }
                if (System.nanoTime() - heard > 60_000_000_000L) {
                    System.err.println("nothing read for 60 s; not at their ends: " + left);
                    System.exit(1);
                }
            }
        }
        out.flush();
    }
}
