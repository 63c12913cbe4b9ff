import java.io.FileOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** Tells what it was started with, as one line of JSON to the file named first, and ends as told: the Java twin of observe.py. */
public final class Observe {
    private static final List<ByteBuffer> kept = new ArrayList<>();

    public static void main(String[] arguments) throws Exception {
        String end = arguments[1];
        String input = end.equals("stdin") ? new String(System.in.readAllBytes(), StandardCharsets.UTF_8) : "";
        String file = end.startsWith("read:") ? Files.readString(Path.of(end.substring(5))) : "";
        List<String> tty = new ArrayList<>();
        for (int fd = 0; fd < 3; fd++) {
            tty.add(target(fd).startsWith("/dev/pts/") ? "true" : "false");
        }
        String told = "{\"argv\":" + strings(List.of(arguments).subList(2, arguments.length))
            + ",\"env\":" + System.getenv().entrySet().stream().map(Observe::entry).collect(Collectors.joining(",", "{", "}"))
            + ",\"tty\":" + tty
            + ",\"size\":" + string(terminalSize())
            + ",\"stdin\":" + string(input + file)
            + ",\"cwd\":" + string(System.getProperty("user.dir"))
            + ",\"limits\":" + string(Files.readString(Path.of("/proc/self/limits")))
            + ",\"status\":" + string(Files.readString(Path.of("/proc/self/status")))
            + ",\"pid\":" + ProcessHandle.current().pid() + "}\n";
        System.out.println("to stdout");
        System.err.println("to stderr");
        System.out.flush();
        try (FileOutputStream out = new FileOutputStream(arguments[0])) {
            out.write(told.getBytes(StandardCharsets.UTF_8));
        }
        end(end);
    }

    private static void end(String end) throws Exception {
        String[] how = end.split(":", 2);
        switch (how[0]) {
            case "exit" -> System.exit(Integer.parseInt(how[1]));
            case "halt" -> Runtime.getRuntime().halt(Integer.parseInt(how[1]));
            case "raise" -> throw new IllegalStateException("as told");
            case "oom" -> throw new OutOfMemoryError("as told");
            case "memory" -> {
                while (true) {
                    ByteBuffer block = ByteBuffer.allocateDirect(16 << 20);
                    while (block.hasRemaining()) {
                        block.put((byte) 1);
                    }
                    kept.add(block);
                }
            }
            case "wait" -> new java.util.concurrent.CountDownLatch(1).await();
            default -> { }
        }
    }

    private static String target(int fd) {
        try {
            return Files.readSymbolicLink(Path.of("/proc/self/fd/" + fd)).toString();
        } catch (java.io.IOException error) {
            return "";
        }
    }

    private static String terminalSize() throws Exception {
        Process stty = new ProcessBuilder("stty", "size").redirectInput(ProcessBuilder.Redirect.INHERIT)
            .redirectError(ProcessBuilder.Redirect.DISCARD).start();
        return new String(stty.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
    }

    private static String entry(Map.Entry<String, String> entry) {
        return string(entry.getKey()) + ":" + string(entry.getValue());
    }

    private static String strings(List<String> values) {
        return values.stream().map(Observe::string).collect(Collectors.joining(",", "[", "]"));
    }

    private static String string(String value) {
        StringBuilder text = new StringBuilder("\"");
        for (char c : value.toCharArray()) {
            text.append(c < ' ' || c == '"' || c == '\\' || c > '~' ? String.format("\\u%04x", (int) c) : String.valueOf(c));
        }
        return text.append('"').toString();
    }
}
