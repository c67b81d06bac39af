import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.Random;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes a topic by Kafka's own producer: four at a time, one a codec, two of them idempotent and two in transactions, of
 * which 30 % are aborted. Prints how many records are committed.
 */
public class Write {
    private static final String[] CODECS = {"gzip", "snappy", "lz4", "zstd"};
    private static final int ROUNDS = 40, RECORDS = 200;

    private static boolean transactional(int producer) {
        return producer % 2 == 1;
    }

    private static KafkaProducer<byte[], byte[]> producer(int n, String bootstrap, String topic) {
        var properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("compression.type", CODECS[n]);
        properties.put("linger.ms", "5");
        if (transactional(n)) {
            properties.put("transactional.id", topic + "-java-" + n);
        }
        return new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
    }

    /** Mostly small and compressible; null and empty now and then. */
    private static byte[] bytes(Random random) {
        int chance = random.nextInt(100);
        if (chance < 10) {
            return chance < 5 ? null : new byte[0];
        }
        var bytes = new byte[chance < 12 ? 5_000 + random.nextInt(40_000) : random.nextInt(300)];
        for (int at = 0; at < bytes.length; at++) {
            bytes[at] = (byte) random.nextInt(4);
        }
        return bytes;
    }

    public static void main(String[] args) throws Exception {
        String topic = args[1];
        int partitions = Integer.parseInt(args[2]);
        var random = new Random(Long.parseLong(args[4]));
        var producers = new ArrayList<KafkaProducer<byte[], byte[]>>();
        for (int n = 0; n < CODECS.length; n++) {
            producers.add(producer(n, args[0], topic));
            if (transactional(n)) {
                producers.get(n).initTransactions();
            }
        }
        long number = 0, committed = 0;
        for (int round = 0; round < ROUNDS; round++) {
            for (int n = 0; n < CODECS.length; n++) {
                if (transactional(n)) {
                    producers.get(n).beginTransaction();
                }
            }
            var written = new int[CODECS.length];
            for (int record = 0; record < RECORDS; record++) {
                var headers = new ArrayList<Header>();
                headers.add(new RecordHeader(args[3], ByteBuffer.allocate(8).putLong(++number).array()));
                if (random.nextInt(4) == 0) {
                    headers.addAll(List.of(new RecordHeader("same", (byte[]) null), new RecordHeader("same", new byte[0])));
                }
                Long time = random.nextBoolean() ? null : Long.valueOf(1_700_000_000_000L + number);
                int n = random.nextInt(CODECS.length), partition = random.nextInt(partitions);
                producers.get(n).send(
                    new ProducerRecord<>(topic, partition, time, bytes(random), bytes(random), headers));
                written[n]++;
            }
            for (int n = 0; n < CODECS.length; n++) {
                // Aborted, too, only when the records are in the log.
                producers.get(n).flush();
                boolean aborts = transactional(n) && random.nextInt(100) < 30;
                if (aborts) {
                    producers.get(n).abortTransaction();
                } else if (transactional(n)) {
                    producers.get(n).commitTransaction();
                }
                committed += aborts ? 0 : written[n];
            }
        }
        producers.forEach(KafkaProducer::close);
        System.out.println(committed);
    }
}
