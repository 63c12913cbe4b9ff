"""Thread dumps and histograms, as Java 17 and Java 25 write them."""

from __future__ import annotations

import pytest

from raydp_wrap_spark.jvm_threads import Main, Thread, kept_alive, named, printed_exception, read_threads, still_exiting

DAEMON_17 = '"Signal Dispatcher" #4 daemon prio=9 os_prio=0 cpu=0.33ms elapsed=2.47s tid=0x00007f48 nid=0x5d1a runnable'
DAEMON_25 = '"Signal Dispatcher" #11 [4711] daemon prio=9 os_prio=0 cpu=0.13ms tid=0x00007f48 nid=4711 waiting'
OF_THE_JVM = '"VM Thread" os_prio=0 cpu=0.34ms elapsed=2.48s tid=0x00007f48300f4400 nid=0x5d18 runnable'


def thread(name, number=12, *frames, daemon=False, java=17, state="", elapsed=2.5):
    nid = "[23832] " if java == 25 else ""
    native = "23832" if java == 25 else "0x5d18"
    head = (
        f'"{name}" #{number} {nid}{"daemon " if daemon else ""}prio=5 os_prio=0 cpu=250.00ms elapsed={elapsed:.2f}s'
        f" tid=0x00007f48 nid={native} waiting on condition  [0x00007f48300f4400]"
    )
    lines = [f"   java.lang.Thread.State: {state}"] if state else []
    return "\n".join([head, *lines, *(f"\tat {frame}" for frame in frames)])


def named_keepers(threads):
    return tuple(each.name for each in threads.keepers)


@pytest.mark.requirement("hang-2")
@pytest.mark.parametrize("java", [17, 25])
@pytest.mark.parametrize(
    ("threads", "main", "keepers"),
    [
        ([("main", 1), ("pool-1-thread-1", 12)], Main.RUNNING, ("main", "pool-1-thread-1")),
        ([("pool-1-thread-1", 12), ("DestroyJavaVM", 13)], Main.ENDED, ("pool-1-thread-1",)),
        ([("DestroyJavaVM", 13)], Main.ENDED, ()),
        # Names are the application's to choose.
        ([("renamed", 1), ("DestroyJavaVM", 13)], Main.RUNNING, ("renamed",)),
        ([("main", 3), ("DestroyJavaVM", 13, "app.Pool.run(Pool.java:5)")], Main.RUNNING, ("main", "DestroyJavaVM")),
        ([('a "b" #1 daemon prio=', 12), ("DestroyJavaVM", 13)], Main.ENDED, ('a "b" #1 daemon prio=',)),
        ([("x" * 100, 12), ("DestroyJavaVM", 13)], Main.ENDED, ("x" * 59 + "…",)),
        ([("a\x1b[31m", 12), ("DestroyJavaVM", 13)], Main.ENDED, ("a?[31m",)),
        ([], Main.RUNNING, ()),
    ],
)
def test_main_and_what_keeps_the_jvm(java, threads, main, keepers):
    daemon = DAEMON_17 if java == 17 else DAEMON_25
    lines = ["Full thread dump:", "", daemon, *(thread(*each, java=java) for each in threads), OF_THE_JVM]
    found = read_threads("\n".join(lines))
    assert (found.main, named_keepers(found)) == (main, keepers)


@pytest.mark.parametrize("java", [17, 25])
def test_a_thread(java):
    frames = ["java.lang.Thread.sleep(java.base@17.0.15/Native Method)", "app//my.App.run(App.java:5)"]
    dump = thread("a", 12, *frames, java=java, state="TIMED_WAITING")
    (found,) = read_threads(dump.replace("\tat app", "\t- locked <0x01> (a b)\n\tat app") + "\n\n" + OF_THE_JVM).all
    assert found == Thread(
        number=12,
        name="a",
        native=23832,
        cpu=0.25,
        elapsed=2.5,
        state="TIMED_WAITING",
        frames=("java.lang.Thread.sleep(java.base@17.0.15/Native Method)", "my.App.run(App.java:5)"),
    )


EXIT = ("java.lang.Shutdown.runHooks(java.base@17.0.15/Shutdown.java:130)", "java.lang.Shutdown.exit(Shutdown.java:1)")
END = (EXIT[0], "java.lang.Shutdown.shutdown(java.base@17.0.15/Shutdown.java:190)")


@pytest.mark.requirement("hang-2", "hang-4")
def test_a_system_exit_that_does_not_end():
    assert read_threads(thread("main", 1, *EXIT, "app.App.main(App.java:3)")).main is Main.EXITING
    # A JVM that has come to its own end runs its hooks, too.
    assert read_threads(thread("DestroyJavaVM", 13, *END)).main is Main.ENDED
    # Called by another thread, after main's end: the exit code is that thread's to choose.
    both = [thread("DestroyJavaVM", 13), thread("pool-1-thread-1", 12, *EXIT, "app.App.run(App.java:3)")]
    assert read_threads("\n".join(both)).main is Main.EXITING


@pytest.mark.requirement("hang-2")
def test_the_hooks_that_do_not_end():
    run, spark = "app.App.run(App.java:3)", "org.apache.spark.util.SparkShutdownHookManager.runAll(A.scala:1)"
    dump = [
        thread("main", 1, *EXIT, run, elapsed=9),
        thread("pool-1-thread-1", 12, run, elapsed=9),
        thread("mine", 13, run, elapsed=3),
        thread("Spark's", 14, spark, run, elapsed=9, daemon=True),
        thread("process reaper", 15, run, elapsed=1, daemon=True),
        thread("DestroyJavaVM", 16, elapsed=1),
    ]
    assert [each.name for each in read_threads("\n".join(dump)).hooks(4.0)] == ["mine", "Spark's"]


@pytest.mark.requirement("hang-5")
@pytest.mark.parametrize(
    ("state", "frames", "works"),
    [
        ("RUNNABLE", ["app.App.run(App.java:5)"], True),
        ("RUNNABLE", [], False),
        ("WAITING", ["jdk.internal.misc.Unsafe.park(java.base@17/Native Method)"], False),
        ("RUNNABLE", ["sun.nio.ch.SocketDispatcher.read0(java.base@17/Native Method)"], True),
        ("RUNNABLE", ["java.io.FileInputStream.readBytes(java.base@17/Native Method)"], True),
        ("RUNNABLE", ["sun.nio.ch.Net.accept(java.base@17/Native Method)"], False),
        ("RUNNABLE", ["sun.nio.ch.EPoll.wait(java.base@17/Native Method)"], False),
        ("RUNNABLE", ["sun.nio.ch.EPollArrayWrapper.epollWait(Native Method)"], False),
        ("RUNNABLE", ["java.net.PlainSocketImpl.socketAccept(java.base@11/Native Method)"], False),
        ("RUNNABLE", ["io.netty.channel.epoll.Native.epollWait0(Native Method)"], False),
        ("RUNNABLE", ["my.shaded.io.netty.channel.epoll.Native.epollWait(Native Method)"], False),
        ("RUNNABLE", ["sun.nio.ch.Net.poll(Native Method)", "sun.nio.ch.NioSocketImpl.timedAccept(A.java:1)"], False),
        ("RUNNABLE", ["sun.nio.ch.Net.poll(Native Method)", "sun.nio.ch.NioSocketImpl.timedRead(A.java:1)"], True),
        ("WAITING", ["java.lang.Object.wait(Native Method)", "java.lang.ProcessImpl.waitFor(A.java:1)"], True),
    ],
)
def test_who_works(state, frames, works):
    (found,) = read_threads(thread("a", 12, *frames, state=state)).all
    assert found.works is works


@pytest.mark.requirement("hang-4")
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], False),
        ([("java.lang.Throwable$WrappedPrintStream", 1)], False),
        ([("java.lang.reflect.InvocationTargetException", 3)], False),
        ([("java.lang.Throwable$WrappedPrintStream", 1), ("java.lang.reflect.InvocationTargetException", 3)], True),
        ([("java.lang.Throwable$WrappedPrintStream", 0), ("java.lang.reflect.InvocationTargetException", 3)], False),
    ],
)
def test_the_marks_of_a_main_that_threw(rows, expected):
    head = " num     #instances         #bytes  class name (module)\n---------------------------------------\n"
    rows = [("[B", 9999), ("java.lang.Throwable", 2), *rows]
    text = "".join(
        f"{at:4}:{count:14}{16 * count:15}  {name} (java.base@17.0.15)\n" for at, (name, count) in enumerate(rows, 1)
    )
    assert printed_exception(f"{head}{text}Total          9999          99999\n") is expected


def test_names_in_a_sentence():
    assert named(["a"]) == "'a'"
    assert named(list("abcde")) == "'a', 'b', 'c', 'd', 'e'"
    assert named(list("abcdefg")) == "'a', 'b', 'c', 'd', 'e' and 2 more"


@pytest.mark.requirement("hang-2")
def test_a_clause_has_room_in_an_exit_record():
    assert kept_alive(["pool-1-thread-1"]) == "kept alive by 'pool-1-thread-1'"
    assert (
        kept_alive([f"pool-{number}-thread-1" for number in range(9)]) == "kept alive by 'pool-0-thread-1' and 8 more"
    )
    assert kept_alive(["x" * 59 + "…", "y"]) == "kept alive by 2 non-daemon threads"


@pytest.mark.requirement("hang-2")
def test_a_clause_about_hooks_has_room_in_an_exit_record():
    assert still_exiting(["hook-1"]) == "shutdown hooks do not end: 'hook-1'"
    assert still_exiting([]) == still_exiting(["x" * 60]) == "System.exit was called, and its JVM does not end"
