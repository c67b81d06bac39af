// Writes records that librdkafka can't, or prints every record of a topic.
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

public class Odd {
    static final byte[] NONE = null;

    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", args[1]);
        if (args[0].equals("write")) write(properties, args[2]);
        else read(properties, args[2]);
    }

    static void write(Properties properties, String topic) throws Exception {
        properties.put("linger.ms", "20");
        properties.put("compression.type", "lz4");
        try (var producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (int i = 0; i < 2001; i++) {
                byte[] key = ("key " + i).getBytes();
                producer.send(new ProducerRecord<>(topic, 0, i % 2 == 0 ? 0L : 1700000000000L + i, key, key));
            }
            List<Header> headers = List.of(
                new RecordHeader("null", NONE), new RecordHeader("", new byte[0]), new RecordHeader("\u00e4\ud83d\ude00", new byte[] {0}));
            producer.send(new ProducerRecord<>(topic, 1, 0L, NONE, NONE, headers));
            producer.send(new ProducerRecord<>(topic, 1, 0L, new byte[0], new byte[0]));
            producer.send(new ProducerRecord<>(topic, 1, 0L, new byte[0], NONE));
            producer.send(new ProducerRecord<>(topic, 1, 0L, NONE, new byte[0], headers));
        }
    }

    static void read(Properties properties, String topic) {
        try (var consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> all = new ArrayList<>();
            for (PartitionInfo p : consumer.partitionsFor(topic)) all.add(new TopicPartition(topic, p.partition()));
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            SortedMap<String, String> lines = new TreeMap<>();
            while (all.stream().anyMatch(at -> consumer.position(at) < ends.get(at))) {
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofSeconds(1))) {
                    StringBuilder headers = new StringBuilder();
                    for (Header h : r.headers()) headers.append(' ').append(hex(h.key().getBytes())).append('=').append(hex(h.value()));
                    lines.put(String.format("%03d %09d", r.partition(), r.offset()), String.format(
                        " %d %s %s %s%s", r.timestamp(), r.timestampType(), hex(r.key()), hex(r.value()), headers));
                }
            }
            lines.forEach((at, line) -> System.out.println(at + line));
        }
    }

    static String hex(byte[] bytes) {
        return bytes == null ? "null" : "[" + HexFormat.of().formatHex(bytes) + "]";
    }
}
