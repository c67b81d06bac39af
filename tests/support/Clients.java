import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.DisconnectException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * The applications that move: a producer of numbers, consumers of three kinds, and one that writes what it reads, in
 * transactions. Each goes where the file of servers says, and writes a line for each record to a file: partition, offset,
 * number. It ends on SIGTERM, and says "complete" once its files are.
 */
public class Clients {
    private static final int PARTITIONS = 4, ROUND = 20;
    /** So that the markers that the mirror writes, with its own clock's time, look younger than what is written behind them. */
    private static final long SLOW = 600_000;
    /** A cluster that is gone is not waited for. */
    private static final Duration CLOSING = Duration.ofSeconds(2);
    private static volatile boolean stopped;

    private final Path servers;
    private final String topic;
    private final PrintWriter seen;
    private final Properties common = new Properties();
    private long stays;

    private Clients(String servers, String topic, String user, String seen) throws IOException {
        this.servers = Path.of(servers);
        this.topic = topic;
        this.seen = new PrintWriter(Files.newBufferedWriter(Path.of(seen)));
        common.put("security.protocol", "SASL_PLAINTEXT");
        common.put("sasl.mechanism", "PLAIN");
        common.put("sasl.jaas.config", "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"" + user
            + "\" password=\"" + user + "-secret\";");
        common.put("reconnect.backoff.max.ms", "500");
    }

    /**
     * ROLE SERVERS-FILE TOPIC SEEN-FILE, and of consumers: STATE (a group's name, or a file), PAUSE in ms, and of a group's for
     * how many ms it stays after it is told to go; of one that writes: its group's name, and the topic that it writes to.
     */
    public static void main(String[] args) throws Exception {
        var main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopped = true;
            try {
                main.join();
            } catch (InterruptedException interrupted) {
                System.out.println("not complete");
            }
        }));
        String user = args[0].equals("producer") ? "app" : "billing";
        var clients = new Clients(args[1], args[2], user, args[3]);
        switch (args[0]) {
            case "producer" -> clients.produce(Long.parseLong(args[4]));
            case "group" -> {
                clients.stays = args.length > 6 ? Long.parseLong(args[6]) : 0;
                clients.consume(() -> clients.new OfGroup(args[4]), Long.parseLong(args[5]));
            }
            case "own" -> clients.consume(() -> clients.new OfOwnOffsets(Path.of(args[4])), Long.parseLong(args[5]));
            case "time" -> clients.consume(() -> clients.new OfTime(Path.of(args[4])), Long.parseLong(args[5]));
            case "transform" -> clients.transform(args[4], args[5]);
            default -> throw new IllegalArgumentException(args[0]);
        }
        clients.seen.close();
        System.out.println("complete");
    }

    private String now() throws IOException {
        return Files.readString(servers).trim();
    }

    // === the producer ===

    /** Keeps what is refused, and writes it first, wherever the file of servers says by then. */
    private void produce(long next) throws Exception {
        String at = null;
        KafkaProducer<String, String> producer = null;
        List<Long> round = new ArrayList<>();
        while (!stopped || !round.isEmpty()) {
            if (!now().equals(at)) {
                if (producer != null) {
                    producer.close();
                }
                at = now();
                producer = producer(at, Map.of());
            }
            for (; round.isEmpty() || next % ROUND != 0; next++) {
                round.add(next);
            }
            round = write(producer, round);
            Thread.sleep(round.isEmpty() ? 60 : 100);
        }
        producer.close();
    }

    private KafkaProducer<String, String> producer(String at, Map<String, String> more) {
        var config = new Properties();
        config.putAll(common);
        config.put("bootstrap.servers", at);
        config.put("enable.idempotence", "true");
        config.putAll(more);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    /** What was refused, in its order. */
    private List<Long> write(KafkaProducer<String, String> producer, List<Long> round) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (long number : round) {
            sent.add(producer.send(new ProducerRecord<>(topic, (int) (number % PARTITIONS), time(number), "k" + number,
                String.format("%016x of the story", number))));
        }
        producer.flush();
        List<Long> refused = new ArrayList<>();
        for (int at = 0; at < sent.size(); at++) {
            try {
                RecordMetadata there = sent.get(at).get();
                seen.println(there.partition() + " " + there.offset() + " " + round.get(at));
            } catch (ExecutionException error) {
                if (!(error.getCause() instanceof TopicAuthorizationException)) {
                    throw error;
                }
                refused.add(round.get(at));
            }
        }
        seen.flush();
        if (!refused.isEmpty()) {
            System.out.println("refused: " + refused.size());
        }
        return refused;
    }

    /** A slow clock that many records share, and that goes back now and then. */
    private static long time(long number) {
        return System.currentTimeMillis() / 100 * 100 - SLOW - (number / PARTITIONS % 7 == 0 ? 5000 : 0);
    }

    // === consumers ===

    /** Where a consumer goes on, and how it notes how far it is. */
    private interface Kind {
        void begin(KafkaConsumer<String, String> consumer) throws IOException;

        /** Whether the record is one that it has not had. */
        boolean isNext(ConsumerRecord<String, String> record);

        void note(KafkaConsumer<String, String> consumer) throws IOException;
    }

    private interface Kinds {
        Kind begin() throws IOException;
    }

    /** Where the file of servers says something else, or its cluster does not answer any more, it begins anew by what it has noted. */
    private void consume(Kinds kinds, long pause) throws Exception {
        while (!stopped) {
            String at = now();
            System.out.println("goes to " + at);
            Kind kind = kinds.begin();
            var consumer = consumer(at, kind instanceof OfGroup group ? group.name : null);
            try {
                kind.begin(consumer);
                for (long told = 0; !stopped && told <= stays; told += at.equals(now()) ? 0 : 100 + pause) {
                    for (var record : consumer.poll(Duration.ofMillis(100))) {
                        if (kind.isNext(record)) {
                            saw(record.partition(), record.offset(), record.value());
                        }
                    }
                    seen.flush();
                    kind.note(consumer);
                    Thread.sleep(pause);
                }
            } catch (TimeoutException | DisconnectException gone) {
                System.out.println("again: " + gone);
            } finally {
                consumer.close(CLOSING);
            }
        }
    }

    private void saw(int partition, long offset, String value) {
        seen.println(partition + " " + offset + " " + Long.parseLong(value.substring(0, 16), 16));
    }

    private KafkaConsumer<String, String> consumer(String at, String group) {
        var config = new Properties();
        config.putAll(common);
        config.put("bootstrap.servers", at);
        config.put("enable.auto.commit", "false");
        config.put("isolation.level", "read_committed");
        config.put("default.api.timeout.ms", "10000");
        // All partitions in turn, however slow it is.
        config.put("max.partition.fetch.bytes", "32768");
        config.put("max.poll.records", "100");
        // Where it does not know how to go on, it fails.
        config.put("auto.offset.reset", "none");
        if (group != null) {
            config.put("group.id", group);
            config.put("session.timeout.ms", "10000");
        }
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    /**
     * Writes what it reads to another topic: offsets and records in one transaction. Where that is refused, it leaves its
     * group, and begins anew, wherever it then has to.
     */
    private void transform(String group, String out) throws Exception {
        while (!stopped) {
            String at = now();
            var producer = producer(at, Map.of("transactional.id", group + "-writes", "max.block.ms", "10000"));
            var consumer = consumer(at, group);
            try {
                producer.initTransactions();
                consumer.subscribe(List.of(topic));
                while (!stopped && at.equals(now())) {
                    var records = consumer.poll(Duration.ofMillis(100));
                    if (!records.isEmpty()) {
                        transact(producer, consumer, records, out);
                    }
                }
            } catch (KafkaException refused) {
                System.out.println("refused: " + refused);
            } finally {
                consumer.close(CLOSING);
                producer.close(CLOSING);
            }
            for (int pauses = 0; pauses < 20 && !stopped && at.equals(now()); pauses++) {
                Thread.sleep(100);
            }
        }
    }

    private void transact(KafkaProducer<String, String> producer, KafkaConsumer<String, String> consumer,
            ConsumerRecords<String, String> records, String out) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        producer.beginTransaction();
        try {
            for (var record : records) {
                sent.add(producer.send(new ProducerRecord<>(out, record.partition(), record.key(), record.value())));
                next.put(new TopicPartition(topic, record.partition()), new OffsetAndMetadata(record.offset() + 1));
            }
            producer.sendOffsetsToTransaction(next, consumer.groupMetadata());
            producer.commitTransaction();
        } catch (KafkaException refused) {
            producer.abortTransaction();
            throw refused;
        }
        int at = 0;
        for (var record : records) {
            RecordMetadata there = sent.get(at++).get();
            saw(there.partition(), there.offset(), record.value());
        }
        seen.flush();
    }

    private List<TopicPartition> partitions() {
        List<TopicPartition> all = new ArrayList<>();
        for (int partition = 0; partition < PARTITIONS; partition++) {
            all.add(new TopicPartition(topic, partition));
        }
        return all;
    }

    /** Its group's offsets are where it goes on. */
    private final class OfGroup implements Kind {
        private final String name;

        OfGroup(String name) {
            this.name = name;
        }

        @Override
        public void begin(KafkaConsumer<String, String> consumer) {
            consumer.subscribe(List.of(topic));
        }

        @Override
        public boolean isNext(ConsumerRecord<String, String> record) {
            return true;
        }

        @Override
        public void note(KafkaConsumer<String, String> consumer) {
            consumer.commitSync();
        }
    }

    /** It keeps its offsets in a file. */
    private final class OfOwnOffsets implements Kind {
        private final Path file;

        OfOwnOffsets(Path file) {
            this.file = file;
        }

        @Override
        public void begin(KafkaConsumer<String, String> consumer) throws IOException {
            consumer.assign(partitions());
            var kept = kept(file);
            for (var partition : partitions()) {
                consumer.seek(partition, kept.containsKey(partition.partition()) ? kept.get(partition.partition())[0] : 0);
            }
        }

        @Override
        public boolean isNext(ConsumerRecord<String, String> record) {
            return true;
        }

        @Override
        public void note(KafkaConsumer<String, String> consumer) throws IOException {
            Map<Integer, long[]> now = new HashMap<>();
            for (var partition : partitions()) {
                now.put(partition.partition(), new long[] {consumer.position(partition)});
            }
            keep(file, now);
        }
    }

    /**
     * It keeps the latest time that it has seen of each partition, and how many records it has had since the first of that
     * time, that one counted. It asks for the first record of that time, passes over what is older, and over so many.
     */
    private final class OfTime implements Kind {
        private static final int TIME = 0, LEFT = 1, MET = 2;

        private final Path file;
        private final Map<Integer, long[]> had, before = new HashMap<>();

        OfTime(Path file) throws IOException {
            this.file = file;
            this.had = kept(file);
            this.had.forEach((partition, point) -> before.put(partition, point.clone()));
        }

        @Override
        public void begin(KafkaConsumer<String, String> consumer) {
            consumer.assign(partitions());
            Map<TopicPartition, Long> asked = new HashMap<>();
            for (var partition : partitions()) {
                if (had.containsKey(partition.partition())) {
                    asked.put(partition, had.get(partition.partition())[0]);
                } else {
                    consumer.seek(partition, 0);
                }
            }
            consumer.offsetsForTimes(asked).forEach((partition, found) -> consumer.seek(partition, found.offset()));
        }

        @Override
        public boolean isNext(ConsumerRecord<String, String> record) {
            long[] point = before.get(record.partition());
            if (point != null && point[LEFT] > 0) {
                point[MET] |= record.timestamp() >= point[TIME] ? 1 : 0;
                point[LEFT] -= point[MET];
                return false;
            }
            long[] now = had.computeIfAbsent(record.partition(), none -> new long[] {-1, 0, 0});
            if (record.timestamp() > now[TIME]) {
                now[TIME] = record.timestamp();
                now[LEFT] = 0;
            }
            now[LEFT]++;
            return true;
        }

        @Override
        public void note(KafkaConsumer<String, String> consumer) throws IOException {
            keep(file, had);
        }
    }

    private static Map<Integer, long[]> kept(Path file) throws IOException {
        Map<Integer, long[]> kept = new HashMap<>();
        if (Files.exists(file)) {
            for (String line : Files.readAllLines(file)) {
                String[] words = line.split(" ");
                kept.put(Integer.valueOf(words[0]), new long[] {Long.parseLong(words[1]), Long.parseLong(words[2]), 0});
            }
        }
        return kept;
    }

    private static void keep(Path file, Map<Integer, long[]> points) throws IOException {
        Path next = file.resolveSibling(file.getFileName() + ".next");
        List<String> lines = new ArrayList<>();
        points.forEach((partition, point) ->
            lines.add(partition + " " + point[0] + " " + (point.length > 1 ? point[1] : 0)));
        Files.write(next, lines);
        Files.move(next, file, StandardCopyOption.ATOMIC_MOVE);
    }
}
