import org.apache.spark.sql.SparkSession;

/** An application that stops its SparkContext, and leaves a thread behind that keeps the JVM. */
public class HangingSpark {
    public static void main(String[] args) throws Exception {
        if (args[0].equals("throws and runs")) {
            new ProcessBuilder("sleep", "30").start();
        }
        SparkSession spark = SparkSession.builder().getOrCreate();
        System.out.println(spark.range(5).count());
        Thread main = Thread.currentThread();
        Thread keeper = new Thread(() -> keep(args[0], main), "pool-1-thread-1");
        keeper.start();
        spark.stop();
        if (args[0].startsWith("throws")) {
            throw new IllegalStateException("after the stop");
        }
        if (args[0].equals("flushes")) {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> work(), "flush"));
            System.exit(0);
        }
    }

    static void keep(String how, Thread main) {
        try {
            if (how.equals("works")) {
                work();
                return;
            }
            if (how.equals("throws and collects")) {
                main.join();
                System.gc();
            }
            Thread.sleep(Long.MAX_VALUE);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }

    /** For six seconds, asleep nearly all the time. */
    static void work() {
        try {
            for (int part = 0; part < 12; part++) {
                Thread.sleep(500);
                System.out.println("part " + part);
            }
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }
}
