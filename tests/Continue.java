import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaConsumer;

/** Goes on where its group stands, reads so many records, and prints partition and value of each. */
public class Continue {
    public static void main(String[] args) {
        Properties config = new Properties();
        config.put("bootstrap.servers", args[0]);
        config.put("group.id", args[1]);
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "none");
        config.put("isolation.level", "read_committed");
        String text = "org.apache.kafka.common.serialization.StringDeserializer";
        config.put("key.deserializer", text);
        config.put("value.deserializer", text);
        int left = Integer.parseInt(args[3]);
        long end = System.currentTimeMillis() + 30_000;
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(config)) {
            consumer.subscribe(List.of(args[2]));
            while (left > 0 && System.currentTimeMillis() < end) {
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    System.out.println(record.partition() + " " + record.value());
                    left--;
                }
                consumer.commitSync();
            }
        }
    }
}
