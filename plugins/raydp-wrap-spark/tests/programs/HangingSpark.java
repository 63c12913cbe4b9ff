import org.apache.spark.sql.SparkSession;

/** An application that stops its SparkContext, and leaves a thread behind that keeps the JVM. */
public class HangingSpark {
    public static void main(String[] args) throws Exception {
        SparkSession spark = SparkSession.builder().getOrCreate();
        System.out.println(spark.range(5).count());
        Thread keeper = new Thread(() -> sleep(), "pool-1-thread-1");
        keeper.start();
        spark.stop();
        if (args[0].equals("throws")) {
            throw new IllegalStateException("after the stop");
        }
    }

    static void sleep() {
        try {
            Thread.sleep(Long.MAX_VALUE);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }
}
