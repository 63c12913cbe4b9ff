import java.lang.reflect.InvocationTargetException;
import java.util.concurrent.CountDownLatch;

/** A JVM that lives on. As SparkSubmit does, it calls the application by reflection, or starts a Python driver. */
public class Hanging {
    static final CountDownLatch NEVER = new CountDownLatch(1);

    public static void main(String[] args) throws Throwable {
        Thread keeper = new Thread(() -> sleep(), "pool-1-thread-1");
        keeper.start();
        if (args[0].equals("python")) {
            ProcessBuilder python = new ProcessBuilder("sh", "-c", args[1]);
            python.environment().put("PYSPARK_GATEWAY_PORT", "1");
            Process driver = python.inheritIO().start();
            System.out.println("up");
            int code = driver.waitFor();
            if (code != 0) {
                Runtime.getRuntime().addShutdownHook(new Thread(() -> sleep()));
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
                Runtime.getRuntime().addShutdownHook(new Thread(() -> sleep()));
                System.exit(3);
                break;
            default:
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
