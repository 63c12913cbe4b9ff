import java.nio.file.Files;
import java.nio.file.Path;

/** A driver for a cluster: exits with a code, throws, or says its pid in a file and goes on until it is ended. */
public class ClusterDriver {
    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "exit" -> System.exit(Integer.parseInt(arguments[1]));
            case "throw" -> throw new IllegalStateException("broken on purpose");
            case "forever" -> {
                Path part = Path.of(arguments[1] + ".part");
                Files.writeString(part, Long.toString(ProcessHandle.current().pid()));
                Files.move(part, Path.of(arguments[1]));
                Thread.sleep(Long.MAX_VALUE);
            }
            default -> { }
        }
    }
}
