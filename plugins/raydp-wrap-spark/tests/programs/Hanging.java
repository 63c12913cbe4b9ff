import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.lang.reflect.InvocationTargetException;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.channels.Selector;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;

/** A JVM that lives on. As SparkSubmit does, it calls the application by reflection, or starts a Python driver. */
public class Hanging {
    static final CountDownLatch NEVER = new CountDownLatch(1);

    public static void main(String[] args) throws Throwable {
        Thread keeper = new Thread(() -> keep(args[0]), "pool-1-thread-1");
        keeper.start();
        if (args[0].equals("python")) {
            ProcessBuilder python = new ProcessBuilder("sh", "-c", args[1]);
            python.environment().put("PYSPARK_GATEWAY_PORT", "1");
            Process driver = python.inheritIO().start();
            System.out.println("up");
            int code = driver.waitFor();
            if (code != 0) {
                Runtime.getRuntime().addShutdownHook(new Thread(() -> sleep(), "hook-1"));
                System.exit(code);
            }
            return;
        }
        try {
            Hanging.class.getMethod("application", String.class).invoke(null, args[0]);
        } catch (InvocationTargetException error) {
            throw error.getCause();
        }
    }

    public static void application(String how) {
        System.out.println("up");
        switch (how) {
            case "throws": throw new IllegalStateException("after the stop");
            case "works": sleep(); break;
            case "exits":
                hasInput();
                Runtime.getRuntime().addShutdownHook(new Thread(() -> sleep(), "hook-1"));
                System.exit(3);
                break;
            case "flushes":
                Runtime.getRuntime().addShutdownHook(new Thread(() -> keep("writes"), "hook-1"));
                System.exit(0);
                break;
            case "waits":
                if (!hasInput()) throw new IllegalStateException("at the end of its input");
                break;
            default:
        }
    }

    static boolean hasInput() {
        try {
            return System.in.read() != -1;
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** What the thread that keeps the JVM does. */
    static void keep(String how) {
        try {
            switch (how) {
                case "listens": new ServerSocket(0).accept(); break;
                case "selects": Selector.open().select(); break;
                case "computes": while (NEVER.getCount() > 0) { } break;
                case "writes": write(); break;
                case "reads":
                    ServerSocket server = new ServerSocket(0);
                    new Socket("127.0.0.1", server.getLocalPort()).getInputStream().read();
                    break;
                case "runs": new ProcessBuilder("sleep", "100").start().waitFor(); break;
                case "awaits": CompletableFuture.runAsync(() -> keep("computes")).join(); break;
                default: sleep();
            }
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }

    /** Something every now and then. */
    static void write() throws Exception {
        try (OutputStream out = new FileOutputStream("/dev/null")) {
            while (true) {
                out.write(1);
                Thread.sleep(50);
            }
        }
    }

    static void sleep() {
        try {
            NEVER.await();
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }
}
