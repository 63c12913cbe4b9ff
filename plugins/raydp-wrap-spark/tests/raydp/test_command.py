from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raydp_wrap.errors import UsageError

from raydp_wrap_spark.options import Options
from raydp_wrap_spark.raydp import raydp_submit

MAIN = "org.apache.spark.deploy.SparkSubmit"


def java_part(launch):
    return list(launch.argv[: launch.argv.index(MAIN)])


def spark_part(launch):
    return list(launch.argv[launch.argv.index(MAIN) + 1 :])


@pytest.fixture
def file(tmp_path):
    """A properties file with TEXT; its option."""

    def make(text):
        (tmp_path / "properties").write_text(text)
        return ["--properties-file", str(tmp_path / "properties")]

    return make


@pytest.mark.requirement("raydp-submit-command")
def test_the_whole_command(ray_env, site, java_home, tmp_path):
    (tmp_path / "ray.conf").touch()
    launch = raydp_submit(["--ray-conf", f"{tmp_path}/ray.conf", "--name", "x", "app.py", "a"], ray_env)
    java = java_part(launch)
    agent = f"{site}/raydp/jars/raydp-agent-1.6.5.jar"
    assert java[0] == launch.executable == str(java_home / "bin" / "java")
    assert java[1:8] == [
        "-cp",
        f"{site}/raydp/jars/*:{site}/pyspark/conf:{site}/pyspark/jars/*:{site}/ray/jars/*",
        f"-Dray.config-file={tmp_path}/ray.conf",
        f"-javaagent:{agent}",
        "-Dspark.ray.log4j.factory.class=log4j2",
        "-Dlog4j2.configurationFile=log4j2-default.properties",
        f"-Dspark.javaagent={agent}",
    ]
    assert all(word.startswith(("-XX:", "--add-")) for word in java[8:])
    assert not any(word.startswith("-Xm") for word in java)
    assert spark_part(launch) == [
        "--master",
        "ray",
        "--conf",
        "spark.ray.log4j.config.file.name=log4j2.xml",
        "--conf",
        "spark.driver.host=192.0.2.7",
        "--conf",
        "spark.driver.bindAddress=192.0.2.7",
        "--name",
        "x",
        "app.py",
        "a",
    ]


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@pytest.mark.requirement("raydp-submit-arguments")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    options=st.lists(st.sampled_from([["--name", "x"], ["--conf", "a=b"], ["--verbose"], ["--conf=c=d"]]), max_size=3),
    arguments=st.lists(st.one_of(WORDS, st.sampled_from(["--conf", "--master", "--name", "-v"])), max_size=5),
)
def test_the_applications_arguments_stay_its_own(ray_env, site, options, arguments):
    argv = [*itertools.chain(*options), "app.py", *arguments]
    got = spark_part(
        raydp_submit(
            argv, {**ray_env, "RAYDP_HOME": f"{site}/raydp", "RAY_HOME": f"{site}/ray", "SPARK_HOME": f"{site}/pyspark"}
        )
    )
    assert got[-len(argv) :] == argv
    assert Options(got).arguments == tuple(arguments)
    assert Options(got).confs["spark.driver.host"] == "192.0.2.7"


@pytest.mark.requirement("raydp-submit-confs")
@pytest.mark.parametrize("given_by", ["option", "file", "defaults"])
@pytest.mark.parametrize("name", ["spark.ray.log4j.config.file.name", "spark.driver.host", "spark.driver.bindAddress"])
def test_the_users_conf_wins(ray_env, site, file, given_by, name):
    argv = {"option": ["--conf", f"{name}=mine"], "file": file(f"{name} mine\n"), "defaults": []}[given_by]
    if given_by == "defaults":
        (site / "pyspark" / "conf").mkdir()
        (site / "pyspark" / "conf" / "spark-defaults.conf").write_text(f"{name} mine\n")
    got = Options(spark_part(raydp_submit([*argv, "app.py"], ray_env))).confs
    assert got.get(name) == ("mine" if given_by == "option" else None)
    assert len(got) == (3 if given_by == "option" else 2)


@pytest.mark.requirement("raydp-submit-confs")
def test_the_class_path_and_log_files_the_user_prefers(ray_env, site, tmp_path):
    env = {**ray_env, "SPARK_LOG4J_CONFIG_FILE_NAME": "e.properties", "RAY_LOG4J_CONFIG_FILE_NAME": "e.xml"}
    launch = raydp_submit(["app.py"], env)
    assert "-Dlog4j2.configurationFile=e.properties" in launch.argv
    assert "spark.ray.log4j.config.file.name=e.xml" in launch.argv
    confs = ["spark.preferClassPath=/a:/b", "spark.log4j.config.file.name=c.properties"]
    argv = [word for conf in confs for word in ("--conf", conf)]
    launch = raydp_submit([*argv, "--driver-class-path", "/c", "app.py"], {**env, "SPARK_CONF_DIR": str(tmp_path)})
    assert "-Dlog4j2.configurationFile=c.properties" in launch.argv
    path = launch.argv[2].split(":")
    assert path == [
        "/a",
        "/b",
        "/c",
        f"{site}/raydp/jars/*",
        str(tmp_path),
        f"{site}/pyspark/jars/*",
        f"{site}/ray/jars/*",
    ]


def test_an_old_spark_has_log4j_1(make_raydp, tmp_path, java_home):
    make_raydp(spark="3.2.4")
    launch = raydp_submit(["app.py"], {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "JAVA_HOME": str(java_home)})
    assert "-Dspark.ray.log4j.factory.class=log4j" in launch.argv
    assert "-Dlog4j.configurationFile=log4j-default.properties" in launch.argv


@pytest.mark.requirement("raydp-submit-memory")
@pytest.mark.parametrize(
    ("argv", "text", "variables", "memory"),
    [
        (["--driver-memory", "2g", "--conf", "spark.driver.memory=3g"], "spark.driver.memory 4g", {}, "2g"),
        (["--conf", "spark.driver.memory=3g"], "spark.driver.memory 4g", {"SPARK_DRIVER_MEMORY": "5g"}, "3g"),
        ([], "spark.driver.memory 4g", {"SPARK_DRIVER_MEMORY": "5g"}, "4g"),
        ([], "", {"SPARK_DRIVER_MEMORY": "5g"}, "5g"),
    ],
)
def test_the_drivers_memory(ray_env, file, argv, text, variables, memory):
    launch = raydp_submit([*argv, *file(text), "app.py"], {**ray_env, **variables})
    assert [word for word in java_part(launch) if word.startswith("-Xmx")] == [f"-Xmx{memory}"]


@pytest.mark.requirement("raydp-submit-memory")
def test_the_drivers_java_options_and_libraries(ray_env):
    argv = ["--conf", "spark.driver.defaultJavaOptions=-Dd", "--driver-java-options", '-De="a b"', "app.py"]
    env = {**ray_env, "SPARK_SUBMIT_OPTS": "-Ds -Dt", "LD_LIBRARY_PATH": "/old"}
    launch = raydp_submit(["--driver-library-path", "/new", *argv], env)
    assert java_part(launch)[-4:] == ["-Ds", "-Dt", "-Dd", "-De=a b"]
    assert launch.env["LD_LIBRARY_PATH"] == "/old:/new"
    with pytest.raises(UsageError, match="quotation") as caught:
        raydp_submit(["--driver-java-options", '-Dpassword="secret', "app.py"], ray_env)
    assert "secret" not in str(caught.value)


@pytest.mark.requirement("raydp-submit-mode")
@pytest.mark.parametrize(
    ("argv", "text", "variables"),
    [
        (["--deploy-mode", "cluster"], "", {}),
        (["--conf", "spark.submit.deployMode=cluster"], "", {}),
        ([], "spark.submit.deployMode cluster", {}),
        ([], "", {"DEPLOY_MODE": "cluster"}),
    ],
)
def test_cluster_mode_is_refused(ray_env, file, argv, text, variables):
    with pytest.raises(UsageError, match="--deploy-mode client"):
        raydp_submit([*argv, *file(text), "app.py"], {**ray_env, **variables})
    assert raydp_submit(["--deploy-mode", "client", *file(text), "app.py"], {**ray_env, **variables})


def test_our_own_settings_are_not_lost(ray_env):
    assert raydp_submit(["--conf", "spark.raydp.wrap.sinks=file:/x", "app.py"], ray_env).settings == {
        "sinks": "file:/x"
    }


@pytest.mark.requirement("raydp-submit-output")
def test_nothing_is_printed(ray_env, capfd):
    raydp_submit(["--conf", "spark.password=secret", "app.py"], ray_env)
    assert capfd.readouterr() == ("", "")
