import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.backend.h2.H2Backend;

/** Starts the MongoDB-protocol server on a loopback port of its choice and prints it; with a path it keeps a file. */
public final class Start {
    public static void main(String[] arguments) {
        var backend = arguments.length > 1 ? new H2Backend(arguments[1]) : H2Backend.inMemory();
        var server = new MongoServer(backend);
        server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
        System.out.println(server.getLocalAddress().getPort());
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
    }
}
