import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

import org.apache.kafka.admin.BrokerMetadata;
import org.apache.kafka.common.TopicPartition;

/** What kafka-reassign-partitions --generate proposes for an assignment in a file: the same method, without a cluster. */
public class Generate {
    public static void main(String[] args) throws Exception {
        List<String> lines = Files.readAllLines(Path.of(args[0]));
        List<BrokerMetadata> brokers = new ArrayList<>();
        for (String broker : lines.get(0).split(" ")) {
            String[] parts = broker.split(":");
            brokers.add(new BrokerMetadata(Integer.parseInt(parts[0]), Optional.of(parts[1])));
        }
        Map<TopicPartition, List<Integer>> now = new HashMap<>();
        for (String line : lines.subList(1, lines.size())) {
            String[] parts = line.split(" ");
            List<Integer> replicas = new ArrayList<>();
            for (String id : parts[2].split(",")) {
                replicas.add(Integer.parseInt(id));
            }
            now.put(new TopicPartition(parts[0], Integer.parseInt(parts[1])), replicas);
        }
        Class<?> tool = Class.forName("org.apache.kafka.tools.reassign.ReassignPartitionsCommand");
        Method calculate = tool.getDeclaredMethod("calculateAssignment", Map.class, List.class);
        calculate.setAccessible(true);
        long began = System.nanoTime();
        @SuppressWarnings("unchecked")
        Map<TopicPartition, List<Integer>> then = (Map<TopicPartition, List<Integer>>) calculate.invoke(null, now, brokers);
        StringBuilder out = new StringBuilder();
        out.append((System.nanoTime() - began) / 1_000_000).append('\n');
        then.forEach((at, replicas) -> {
            out.append(at.topic()).append(' ').append(at.partition()).append(' ');
            for (int i = 0; i < replicas.size(); i++) {
                out.append(i == 0 ? "" : ",").append(replicas.get(i));
            }
            out.append('\n');
        });
        System.out.print(out);
    }
}
