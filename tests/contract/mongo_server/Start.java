import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import io.netty.channel.Channel;
import java.net.InetSocketAddress;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.h2.mvstore.MVStore;

/**
 * Starts the MongoDB-protocol server on a loopback port of its choice and prints it: {@code Start PORT [replica] [FILE]}.
 * With a file it keeps what it holds; as a replica it has an oplog, and the change streams that come from it.
 */
public final class Start {
    public static void main(String[] arguments) {
        var left = new ArrayList<>(List.of(arguments));
        var port = Integer.parseInt(left.remove(0));
        var replica = left.remove("replica");
        var kept = left.isEmpty() ? MVStore.open(null) : MVStore.open(left.get(0));
        var backend = replica ? new Replica(kept) : new H2Backend(kept);
        var server = new MongoServer(backend);
        if (replica) {
            server.enableOplog();
        }
        // A thread for nearly every connection, because one that waits for a change sleeps.
        server.bind(new InetSocketAddress("127.0.0.1", port), 1, replica ? 64 : 0);
        System.out.println(server.getLocalAddress().getPort());
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
    }
}

/**
 * The server with what it lacks for drivers to follow its oplog: it says that it is a replica set, tells the time of an
 * operation, waits for changes as it is asked to, and fails on demand as MongoDB's own test command lets it.
 */
final class Replica extends H2Backend {
    /** By namespace, for several tests at once. */
    private final Map<String, Fault> faults = new HashMap<>();

    Replica(MVStore store) {
        super(store);
    }

    @Override
    public Document handleCommand(Channel channel, String database, String command, Document query) {
        if (command.equals("configureFailPoint")) {
            return configure(query);
        }
        fail(channel, database, command, query);
        var answer = super.handleCommand(channel, database, command, query);
        switch (command.toLowerCase()) {
            case "ismaster" -> face((InetSocketAddress) channel.localAddress(), answer);
            case "aggregate" -> answer.append("operationTime", new BsonTimestamp(Instant.now(), 0));
            case "getmore" -> answer = await(channel, database, command, query, answer);
            default -> { }
        }
        return answer;
    }

    private static void face(InetSocketAddress here, Document answer) {
        var me = "127.0.0.1:" + here.getPort();
        answer.append("setName", "tests").append("setVersion", 1).append("hosts", List.of(me)).append("me", me);
        answer.append("primary", me).append("secondary", false);
    }

    private Document await(Channel channel, String database, String command, Document query, Document answer) {
        if (!(query.get("maxTimeMS") instanceof Number most)) {
            return answer;
        }
        var until = System.nanoTime() + most.longValue() * 1_000_000;
        while (isEmpty(answer) && System.nanoTime() < until && channel.isActive()) {
            pause();
            fail(channel, database, command, query);
            answer = super.handleCommand(channel, database, command, query);
        }
        return answer;
    }

    private static boolean isEmpty(Document answer) {
        return answer.get("cursor") instanceof Document cursor && ((Collection<?>) cursor.get("nextBatch")).isEmpty();
    }

    private static void pause() {
        try {
            Thread.sleep(5);
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }

    private synchronized Document configure(Document query) {
        var data = (Document) query.get("data");
        var fault = new Fault(data, query.get("mode") instanceof Document mode ? ((Number) mode.get("times")).intValue() : 0);
        var before = faults.put((String) data.get("namespace"), fault);
        return new Document("ok", 1.0).append("count", before == null ? 0 : before.struck);
    }

    private synchronized void fail(Channel channel, String database, String command, Document query) {
        var collection = query.get(command.equals("getMore") ? "collection" : command);
        var fault = faults.get(database + "." + collection);
        if (fault == null || fault.left == 0 || !((Collection<?>) fault.data.get("failCommands")).contains(command)) {
            return;
        }
        fault.left--;
        fault.struck++;
        if (Boolean.TRUE.equals(fault.data.get("closeConnection"))) {
            channel.close();
        }
        throw new MongoServerError(((Number) fault.data.get("errorCode")).intValue(), "on demand");
    }

    /** What fails, and how often. */
    private static final class Fault {
        private final Document data;
        private int left;
        private int struck = 0;

        Fault(Document data, int left) {
            this.data = data;
            this.left = left;
        }
    }
}
