"""Thread dumps and histograms, as Java 17 and Java 25 write them."""

from __future__ import annotations

import pytest

from raydp_wrap_spark.jvm_threads import Main, Threads, kept_alive, named, printed_exception, read_threads

DAEMON_17 = '"Signal Dispatcher" #4 daemon prio=9 os_prio=0 cpu=0.33ms elapsed=2.47s tid=0x00007f48 nid=0x5d1a runnable'
DAEMON_25 = '"Signal Dispatcher" #11 [4711] daemon prio=9 os_prio=0 cpu=0.13ms tid=0x00007f48 nid=4711 waiting'
OF_THE_JVM = '"VM Thread" os_prio=0 cpu=0.34ms elapsed=2.48s tid=0x00007f48300f4400 nid=0x5d18 runnable'


def thread(name, number=12, *, daemon=False, java=17):
    nid = "[4712] " if java == 25 else ""
    return (
        f'"{name}" #{number} {nid}{"daemon " if daemon else ""}prio=5 os_prio=0 cpu=28.40ms tid=0x00007f48 nid=0x5d18'
    )


@pytest.mark.requirement("hang-2")
@pytest.mark.parametrize("java", [17, 25])
@pytest.mark.parametrize(
    ("threads", "expected"),
    [
        ([("main", 1), ("pool-1-thread-1", 12)], Threads(Main.RUNNING, ("main", "pool-1-thread-1"))),
        ([("pool-1-thread-1", 12), ("DestroyJavaVM", 13)], Threads(Main.ENDED, ("pool-1-thread-1",))),
        ([("DestroyJavaVM", 13)], Threads(Main.ENDED, ())),
        # Names are the application's to choose.
        ([("renamed", 1), ("DestroyJavaVM", 13)], Threads(Main.RUNNING, ("renamed",))),
        ([('a "b" #1 daemon prio=', 12), ("DestroyJavaVM", 13)], Threads(Main.ENDED, ('a "b" #1 daemon prio=',))),
        ([("x" * 100, 12), ("DestroyJavaVM", 13)], Threads(Main.ENDED, ("x" * 59 + "…",))),
        ([("a\x1b[31m", 12), ("DestroyJavaVM", 13)], Threads(Main.ENDED, ("a?[31m",))),
        ([], Threads(Main.RUNNING, ())),
    ],
)
def test_main_and_what_keeps_the_jvm(java, threads, expected):
    daemon = DAEMON_17 if java == 17 else DAEMON_25
    lines = ["Full thread dump:", "", daemon, *(thread(*each, java=java) for each in threads), OF_THE_JVM]
    assert read_threads("\n".join(lines)) == expected


@pytest.mark.requirement("hang-2")
def test_a_system_exit_that_does_not_end():
    stack = "\tat java.lang.Shutdown.runHooks(java.base@17.0.15/Shutdown.java:130)"
    assert read_threads("\n".join([thread("main", 1), stack])).main is Main.EXITING
    # A JVM that has come to its own end runs its hooks, too.
    assert read_threads("\n".join([thread("DestroyJavaVM"), stack])).main is Main.ENDED


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
