package org.apache.spark.launcher;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Reads command lines on stdin, and says on stdout how Spark's own launcher understands them: lists of strings. */
class OptionOracle {
  public static void main(String[] args) throws Exception {
    DataInputStream in = new DataInputStream(System.in);
    DataOutputStream out = new DataOutputStream(System.out);
    SparkSubmitOptionParser parser = new SparkSubmitOptionParser();
    tell(out, names(parser.opts));
    tell(out, names(parser.switches));
    while (true) {
      List<String> argv = new ArrayList<>();
      try {
        for (int left = in.readInt(); left > 0; left--) {
          argv.add(new String(in.readNBytes(in.readInt()), StandardCharsets.UTF_8));
        }
      } catch (EOFException end) {
        return;
      }
      tell(out, understood(argv));
    }
  }

  private static List<String> names(String[][] table) {
    List<String> names = new ArrayList<>();
    for (String[] option : table) {
      names.add(String.join(" ", option));
    }
    return names;
  }

  private static List<String> understood(List<String> argv) {
    List<String> said = new ArrayList<>();
    try {
      SparkSubmitCommandBuilder builder = new SparkSubmitCommandBuilder(argv);
      for (String name : List.of("appResource", "master", "deployMode", "propertiesFile")) {
        Object value = field(builder, name);
        said.add(value == null ? "null" : "=" + value);
      }
      Map<?, ?> conf = new TreeMap<Object, Object>((Map<?, ?>) field(builder, "conf"));
      said.add(Integer.toString(conf.size()));
      conf.forEach((name, value) -> said.addAll(List.of(name.toString(), value.toString())));
      for (Object argument : (List<?>) field(builder, "appArgs")) {
        said.add(argument.toString());
      }
    } catch (IllegalArgumentException refused) {
      return List.of();
    }
    return said;
  }

  private static Object field(Object of, String name) {
    try {
      Field field = AbstractCommandBuilder.class.getDeclaredField(name);
      field.setAccessible(true);
      return field.get(of);
    } catch (ReflectiveOperationException error) {
      throw new IllegalStateException(error);
    }
  }

  private static void tell(DataOutputStream out, List<String> words) throws IOException {
    out.writeInt(words.size());
    for (String word : words) {
      byte[] bytes = word.getBytes(StandardCharsets.UTF_8);
      out.writeInt(bytes.length);
      out.write(bytes);
    }
    out.flush();
  }
}
