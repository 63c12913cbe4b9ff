from __future__ import annotations

import pytest
from raydp_wrap.model import Launch

from raydp_wrap_spark.cluster import describe
from raydp_wrap_spark.cluster.hadoop import properties
from raydp_wrap_spark.names import MAIN_CLASS

RM = "yarn.resourcemanager"


def write(directory, name="yarn-site.xml", **found):
    directory.mkdir(exist_ok=True)
    text = "".join(
        f"<property><name> {name.replace('__', '.').replace('_', '-')} </name><value> {value} </value></property>"
        for name, value in found.items()
    )
    (directory / name).write_text(f"<?xml version='1.0'?><configuration>{text}</configuration>")
    return str(directory)


def described(env, *words, master="yarn"):
    argv = ("java", "-cp", "x", MAIN_CLASS, "--master", master, *words, "app.py")
    return describe(Launch(argv, env={"HADOOP_USER_NAME": "ann", **env}))


HOSTS = {"yarn__resourcemanager__hostname": "rm.example"}
HA = {
    "yarn__resourcemanager__ha__enabled": "true",
    "yarn__resourcemanager__ha__rm_ids": "rm1, rm2",
    "yarn__resourcemanager__hostname__rm1": "one",
    "yarn__resourcemanager__webapp__address__rm2": "two:1234",
}


@pytest.mark.requirement("cluster-yarn-config")
@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, ["http://127.0.0.1:8088"]),
        (HOSTS, ["http://rm.example:8088"]),
        ({**HOSTS, "yarn__http__policy": "HTTPS_ONLY"}, ["https://rm.example:8090"]),
        ({"yarn__resourcemanager__webapp__address": "web:99"}, ["http://web:99"]),
        ({"yarn__resourcemanager__webapp__address": "web"}, ["http://web:8088"]),
        ({"yarn__resourcemanager__webapp__address": "[::1]:99"}, ["http://[::1]:99"]),
        ({**HOSTS, "yarn__resourcemanager__webapp__address": f"${{{RM}.hostname}}:77"}, ["http://rm.example:77"]),
        ({"yarn__resourcemanager__hostname": "${env.RM_HOST:-other}"}, ["http://from.env:8088"]),
        ({"yarn__resourcemanager__hostname": "${env.NOT_SET:-other}"}, ["http://other:8088"]),
        ({"yarn__resourcemanager__hostname": "${a}", "a": "${b}", "b": "deep"}, ["http://deep:8088"]),
        (HA, ["http://one:8088", "http://two:1234"]),
        ({**HA, "yarn__resourcemanager__ha__enabled": "false"}, ["http://127.0.0.1:8088"]),
    ],
)
def test_where_the_resource_manager_is(tmp_path, found, expected):
    conf = write(tmp_path / "conf", **found)
    assert described({"HADOOP_CONF_DIR": conf, "RM_HOST": "from.env"})["rm"] == expected


def test_a_reference_to_itself_ends(tmp_path):
    conf = write(tmp_path / "conf", a="${b}x", b="${a}${a}")
    assert len(properties({"YARN_CONF_DIR": conf}, {})["a"]) < 20_000


@pytest.mark.requirement("cluster-yarn-config")
def test_the_first_directory_with_the_file_counts_and_a_conf_goes_before_it(tmp_path):
    hadoop, yarn = (tmp_path / name for name in ("hadoop", "yarn"))
    write(hadoop, "core-site.xml", hadoop__security__authentication="kerberos")
    write(yarn, "core-site.xml", hadoop__security__authentication="simple")
    write(yarn, yarn__resourcemanager__hostname="second")
    env = {"HADOOP_CONF_DIR": str(hadoop), "YARN_CONF_DIR": str(yarn)}
    got = described(env)
    assert (got["kerberos"], got["rm"]) == (True, ["http://second:8088"])
    got = described(env, "--conf", f"spark.hadoop.{RM}.hostname=third")
    assert got["rm"] == ["http://third:8088"]


@pytest.mark.parametrize("text", ["", "<configuration>", "\0", "<a/>", "<configuration><property/></configuration>"])
def test_a_file_that_says_nothing(tmp_path, text):
    (tmp_path / "yarn-site.xml").write_text(text)
    assert described({"YARN_CONF_DIR": str(tmp_path)})["rm"] == ["http://127.0.0.1:8088"]


def test_all_that_is_kept():
    got = described({"RAYDP_WRAP_CLUSTER_TIMEOUT": "7s"}, "--deploy-mode", "cluster", "--proxy-user", "bob")
    assert got == {
        "manager": "yarn",
        "mode": "cluster",
        "timeout": 7.0,
        "rm": ["http://127.0.0.1:8088"],
        "user": "bob",
        "kerberos": False,
    }
    assert described({})["user"] == "ann"


@pytest.mark.parametrize("master", ["local", "spark://a:1", "k8s://https://a", "ray"])
def test_other_masters_are_described_by_nothing(master):
    assert described({}, master=master) is None
