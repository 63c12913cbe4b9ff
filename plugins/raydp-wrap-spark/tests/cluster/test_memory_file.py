from __future__ import annotations

import os

import pytest

from raydp_wrap_spark.cluster.memory_file import properties_file

SECRETS = {"spark.ssl.keyPassword": "s"}

pytestmark = pytest.mark.requirement("cluster-confs")


def text_of(words, env, secrets=SECRETS):
    with properties_file(words, secrets, env) as (new, fds):
        assert new == ["--properties-file", f"/proc/self/fd/{fds[0]}"]
        with open(new[1], encoding="utf-8") as file:
            text = file.read()
    assert not os.path.exists(new[1])
    return text.split()


def test_it_has_what_spark_would_read(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text("defaults")
    (tmp_path / "named").write_text("named")
    named = ["--properties-file", str(tmp_path / "named")]
    ours = "spark.ssl.keyPassword=s"
    for env in ({"SPARK_CONF_DIR": str(tmp_path / "conf")}, {"SPARK_HOME": str(tmp_path)}):
        assert text_of([], env) == ["defaults", ours]
        assert text_of(named, env) == ["named", ours]
        assert text_of([*named, "--load-spark-defaults"], env) == ["defaults", "named", ours]
    assert text_of([], {}) == [ours]
    assert text_of(["--properties-file", "/no/such"], {}) == [ours]


def test_what_means_something_there_means_nothing():
    assert text_of([], {}, {"a:b": " #é\n\\"}) == ["a\\u003ab=\\u0020\\u0023é\\u000a\\u005c"]


def test_without_secrets_there_is_none():
    with properties_file(["--load-spark-defaults"], {}, {}) as answer:
        assert answer == (["--load-spark-defaults"], [])
