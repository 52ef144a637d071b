import java.math.BigDecimal;
import java.sql.*;
import java.util.*;

/**
 * What BI tools do through JDBC: list schemas, tables, columns and keys, read and write rows of every type, batches,
 * rows in turns, cancel. Arguments: URL, property=value… It prints a line for each step that went as it should.
 */
public final class Drivers {
  private static Connection c;

  private interface Step {
    Object run() throws Exception;
  }

  private static void expect(String name, Object want, Step step) throws Exception {
    Object got = step.run();
    if (!String.valueOf(got).equals(String.valueOf(want))) {
      throw new AssertionError(name + ": got " + got + ", want " + want);
    }
    System.out.println("ok " + name);
  }

  /** The values of one column of a result, joined by commas. */
  private static String column(ResultSet rs, String name) throws SQLException {
    List<String> out = new ArrayList<>();
    while (rs.next()) {
      out.add(rs.getString(name));
    }
    rs.close();
    return String.join(",", out);
  }

  private static void run(String... statements) throws SQLException {
    try (Statement s = c.createStatement()) {
      for (String sql : statements) {
        s.execute(sql);
      }
    }
  }

  private static String code(Step step) throws Exception {
    try {
      step.run();
      return "none";
    } catch (SQLException e) {
      return e.getSQLState();
    }
  }

  public static void main(String[] args) throws Exception {
    Properties p = new Properties();
    for (String arg : Arrays.asList(args).subList(1, args.length)) {
      String[] pair = arg.split("=", 2);
      p.setProperty(pair[0], pair[1]);
    }
    c = DriverManager.getConnection(args[0], p);
    run("DROP TABLE IF EXISTS public.child", "DROP TABLE IF EXISTS public.parent",
        "CREATE TABLE public.parent (a INT, b VARCHAR(10), n NUMERIC(18,2), PRIMARY KEY (a, b), UNIQUE (a))",
        "CREATE TABLE public.child (x INT, a INT REFERENCES parent (a))");
    catalogue(c.getMetaData());
    types();
    writes();
    turns();
    c.close();
  }

  private static void catalogue(DatabaseMetaData d) throws Exception {
    expect("schemas", true, () -> column(d.getSchemas(), "TABLE_SCHEM").contains("public"));
    expect("tables", "child,parent", () -> column(d.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME"));
    expect("columns", "a,b,n", () -> column(d.getColumns(null, "public", "parent", "%"), "COLUMN_NAME"));
    expect("sizes", "10,10,18", () -> column(d.getColumns(null, "public", "parent", "%"), "COLUMN_SIZE"));
    expect("primary keys", "a,b", () -> column(d.getPrimaryKeys(null, "public", "parent"), "COLUMN_NAME"));
    expect("imported keys", "parent", () -> column(d.getImportedKeys(null, "public", "child"), "PKTABLE_NAME"));
    expect("exported keys", "child", () -> column(d.getExportedKeys(null, "public", "parent"), "FKTABLE_NAME"));
    expect("types", true, () -> column(d.getTypeInfo(), "TYPE_NAME").contains("super"));
    expect("functions", "", () -> column(d.getFunctions(null, null, "%"), "FUNCTION_NAME"));
  }

  private static void types() throws Exception {
    run("CREATE TEMP TABLE every (b BOOLEAN, s SMALLINT, i INT, l BIGINT, r REAL, d FLOAT8, n NUMERIC(38,9), v VARCHAR(64), c CHAR(4), day DATE, at TIMESTAMP, tz TIMESTAMPTZ,"
        + " clock TIME, zoned TIMETZ, j SUPER, raw VARBYTE(16))",
        "INSERT INTO every SELECT true, 1, 2, 3000000000, 1.5, 2.25, 12.34, 'it''s', 'ab', '2026-11-21', '2026-11-21 06:15:02.113', '2026-11-21 06:15:02+00',"
        + " '10:11:12', '10:11:12+01', JSON_PARSE('{\"a\":[1]}'), NULL",
        "INSERT INTO every (i) VALUES (9)");
    for (int round = 0; round < 7; round++) { // from the fifth on, drivers prepare on the server and read binary
      try (PreparedStatement s = c.prepareStatement("SELECT * FROM every WHERE i = ?")) {
        s.setInt(1, 2);
        try (ResultSet rs = s.executeQuery()) {
          rs.next();
          String got = rs.getBoolean("b") + " " + rs.getShort("s") + " " + rs.getInt("i") + " " + rs.getLong("l") + " " + rs.getFloat("r") + " " + rs.getDouble("d") + " "
              + rs.getBigDecimal("n") + " " + rs.getString("v") + " " + rs.getString("c").trim() + " " + rs.getString("day") + " " + rs.getTimestamp("at") + " "
              + rs.getTimestamp("tz").toInstant() + " " + rs.getString("clock") + " " + rs.getString("j") + " " + rs.getString("raw");
          expect("row " + round, "true 1 2 3000000000 1.5 2.25 12.340000000 it's ab 2026-11-21 2026-11-21 06:15:02.113 2026-11-21T06:15:02Z 10:11:12 {\"a\":[1]} null", () -> got);
          expect("precision", "38 9", () -> rs.getMetaData().getPrecision(7) + " " + rs.getMetaData().getScale(7));
          rs.getObject("zoned");
        }
      }
    }
  }

  private static void writes() throws Exception {
    run("CREATE TEMP TABLE w (i INT, n NUMERIC(18,2), v VARCHAR(64), at TIMESTAMP)");
    c.setAutoCommit(false);
    try (PreparedStatement s = c.prepareStatement("INSERT INTO w VALUES (?, ?, ?, ?)")) {
      for (int i = 0; i < 300; i++) {
        s.setInt(1, i);
        s.setBigDecimal(2, new BigDecimal("12.34"));
        s.setString(3, i % 2 == 0 ? "it's \\ ok" : null);
        s.setTimestamp(4, Timestamp.valueOf("2026-11-21 06:15:02.113"));
        s.addBatch();
      }
      expect("batch", 300, () -> s.executeBatch().length);
    }
    c.commit();
    run("DELETE FROM w");
    expect("undefined column", "42703", () -> code(() -> c.createStatement().executeQuery("SELECT nope FROM w")));
    expect("aborted", "25P02", () -> code(() -> c.createStatement().executeQuery("SELECT 1")));
    c.rollback();
    expect("savepoint", "0A000", () -> code(c::setSavepoint));
    c.rollback();
    c.setAutoCommit(true);
    try (Statement s = c.createStatement(); ResultSet rs = s.executeQuery("SELECT count(*) || '|' || min(n) || '|' || count(v) || '|' || max(v) || '|' || max(at) FROM w")) {
      rs.next();
      expect("rows after rollback", "300|12.34|150|it's \\ ok|2026-11-21 06:15:02.113", () -> rs.getString(1));
    }
  }

  private static void turns() throws Exception {
    c.setAutoCommit(false);
    try (Statement s = c.createStatement()) {
      s.setFetchSize(50);
      ResultSet rs = s.executeQuery("SELECT i FROM w ORDER BY i");
      int n = 0;
      while (rs.next()) {
        if (n++ == 60) {
          run("UPDATE w SET v = 'between two turns'");
        }
      }
      int rows = n;
      expect("fetch size", 300, () -> rows);
    }
    c.commit();
    c.setAutoCommit(true);
    try (Statement s = c.createStatement()) {
      Thread t = new Thread(() -> {
        try {
          Thread.sleep(300);
          s.cancel();
        } catch (Exception e) {
          e.printStackTrace();
        }
      });
      t.start();
      expect("cancel", "57014", () -> code(() -> s.executeQuery("SELECT count(*) FROM w a, w b, w c, w d WHERE a.i * 7 + b.i * 5 = c.i * 3 + d.i + 100000")));
      t.join();
    }
    expect("after cancel", true, () -> c.isValid(5));
  }
}
