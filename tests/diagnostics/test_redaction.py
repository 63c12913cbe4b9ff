"""Secrets' values are hidden, and a traceback stays one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap.diagnostics import redact

pytestmark = pytest.mark.requirement("outcome-1.4")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=hunter2", "password=***"),
        ("login user=bob password=hunter2 host=db", "login user=bob password=*** host=db"),
        ("PGPASSWORD='correct horse' psql", "PGPASSWORD='***' psql"),
        ("export AWS_SECRET_ACCESS_KEY=ab/cd+ef=; next", "export AWS_SECRET_ACCESS_KEY=***; next"),
        ("db_pass=x DB_PASS=y pass: z", "db_pass=*** DB_PASS=*** pass: ***"),
        ("passphrase = 'a b' pwd=c", "passphrase = '***' pwd=***"),
        ("password='it''s' x", "password='***' x"),
        (r"password='it\'s' x", "password='***' x"),
        ("password='never closed x=1", "password='***"),
        ("password=a,b;c&d x", "password=*** x"),
        ("password=a,user=b;token=c&d=e", "password=***,user=b;token=***&d=e"),
        ("tokens=[a, b] x=1", "tokens=*** x=1"),
        ("api_key=x apiKey=y apikey=z", "api_key=*** apiKey=*** apikey=***"),
        ("private-key=x privateKey=y", "private-key=*** privateKey=***"),
        ("key=1 partition.key=2 key2=3 APIKey=4", "key=*** partition.key=*** key2=*** APIKey=***"),
        # options
        ("--password hunter2 --verbose", "--password *** --verbose"),
        ("--password=hunter2", "--password=***"),
        ("'--password=correct horse' next", "'--password=***' next"),
        ("['--password', 'hunter2', '--x']", "['--password', '***', '--x']"),
        ('["--api-token", "a b"]', '["--api-token", "***"]'),
        ("-Djavax.net.ssl.keyStorePassword=changeit -Dx=y", "-Djavax.net.ssl.keyStorePassword=*** -Dx=y"),
        ("--show-password --verbose", "--show-password --verbose"),
        # Spark's settings
        ("spark.some.secret.key=abc", "spark.some.secret.key=***"),
        ("--conf spark.ssl.keyPassword=abc", "--conf spark.ssl.keyPassword=***"),
        ("--conf 'spark.ssl.keyPassword=a b c'", "--conf 'spark.ssl.keyPassword=***'"),
        ("Map(fs.s3a.secret.key -> abc, a -> b)", "Map(fs.s3a.secret.key -> ***, a -> b)"),
        ("fs.s3a.secret.key->abc", "fs.s3a.secret.key->***"),
        ("(spark.hadoop.fs.s3a.secret.key,abc)", "(spark.hadoop.fs.s3a.secret.key,***)"),
        ("fs.azure.account.key.me.blob.core.windows.net=x==", "fs.azure.account.key.me.blob.core.windows.net=***"),
        ("javax.jdo.option.ConnectionPassword: x", "javax.jdo.option.ConnectionPassword: ***"),
        ("spark.hadoop.fs.s3a.secret.key abc", "spark.hadoop.fs.s3a.secret.key ***"),
        ("spark.hadoop.fs.s3a.secret.key\t \tabc", "spark.hadoop.fs.s3a.secret.key\t \t***"),
        ("  spark.ssl.keyPassword   correct horse", "  spark.ssl.keyPassword   ***"),
        ("read spark.ssl.keyPassword abc from x", "read spark.ssl.keyPassword *** from x"),
        ("fs.s3a.secret.key 'a b'", "fs.s3a.secret.key '***'"),
        ("fs.s3a.secret.key not-a-word", "fs.s3a.secret.key ***"),
        ("fs.s3a.secret.key -abc", "fs.s3a.secret.key ***"),
        # Hadoop's XML
        ("<name>fs.s3a.secret.key</name><value>a b</value>", "<name>fs.s3a.secret.key</name><value>***</value>"),
        ("<name>x.password</name> <value>a", "<name>x.password</name> <value>***"),
        (
            "<property><name>x.secret</name><value>a</value></property><property><name>y</name><value>b</value>",
            "<property><name>x.secret</name><value>***</value></property><property><name>y</name><value>b</value>",
        ),
        (
            "<property>\n  <name>fs.s3a.secret.key</name>\n  <value>a</value>\n</property>\n<value>b</value>",
            "<property>\n  <name>fs.s3a.secret.key</name>\n  <value>***</value>\n</property>\n<value>b</value>",
        ),
        (
            "<name>x.token</name>\n<final>true</final>\n\t<value>a</value><name>y.token</name>\n<value>b</value>",
            "<name>x.token</name>\n<final>true</final>\n\t<value>***</value><name>y.token</name>\n<value>***</value>",
        ),
        # JSON, YAML, Python
        ('{"token": "a\\"b", "user": "bob"}', '{"token": "***", "user": "bob"}'),
        ('{"password":1234,"user":"bob"}', '{"password":***,"user":"bob"}'),
        (json.dumps(json.dumps({"token": 'a"b', "user": "bob"})), '"{\\"token\\": \\"***\\", \\"user\\": \\"bob\\"}"'),
        ("token: abc", "token: ***"),
        ("  - password: correct horse battery", "  - password: ***"),
        ("{'password': 'abc', 'x': 1}", "{'password': '***', 'x': 1}"),
        ("{'password': b'abc', 'x': 1}", "{'password': b'***', 'x': 1}"),
        ("Login(user='bob', password='abc')", "Login(user='bob', password='***')"),
        ("Login(user=bob, password=abc)", "Login(user=bob, password=***)"),
        ('conf.set("spark.x.password", "a b")', 'conf.set("spark.x.password", "***")'),
        ('os.environ["TOKEN"] = "abc"', 'os.environ["TOKEN"] = "***"'),
        ('def f(token: str = "abc", n=1):', 'def f(token: *** = "***", n=1):'),
        ('if token == "abc":', 'if token == "***":'),
        # headers and addresses
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("curl -H 'Authorization: Basic Zm9v' http://h", "curl -H 'Authorization: ***' http://h"),
        ("{'Authorization': 'Bearer abc'}", "{'Authorization': '***'}"),
        ("sent bearer abcdefgh.ijkl to h", "sent bearer *** to h"),
        ("Set-Cookie: sid=abc; Path=/", "Set-Cookie: ***"),
        ("https://user:pass@host/x", "https://user:***@host/x"),
        ("https://user:p@ss:w@host/x", "https://user:***@host/x"),
        ("jdbc:db://h:1/db?user=a&password=b&ssl=true", "jdbc:db://h:1/db?user=a&password=***&ssl=true"),
        ("GET /x?access_token=abc&n=1", "GET /x?access_token=***&n=1"),
        ("https://b.blob/x?sv=1&sig=ab%2Bcd&se=2", "https://b.blob/x?sv=1&sig=***&se=2"),
        ("username/password: foo", "username/password: ***"),
        ("password/token: foo", "password/token: ***"),
        ("://token:a/b,x=@", "://token:***@"),
    ],
)
def test_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(f"before\n{text}\nafter") == f"before\n{shown}\nafter"


@pytest.mark.parametrize(
    "text",
    [
        "KeyError: 'x'",
        "monkey=1 keyboard=2 turkeys: 3 passed=4 passengers=5 tokenizer=6",
        '  File "/x/Token.py", line 3, in get_token',
        "  File \"/x/secrets.py\", line 3\n    f(token)\nKeyError: 'password'",
        "\tat org.apache.hadoop.security.token.Token.decode(Token.java:33)",
        "/x/token.py:7: UserWarning: old",
        "/var/run/secrets/token: permission denied",
        "cat: run/x/token: permission denied",
        "cat: ./token: permission denied",
        "FileNotFoundError: [Errno 2] No such file or directory: '/run/secrets/key'",
        "java.security.InvalidKeyException: Illegal key size",
        "org.apache.hadoop.security.token.SecretManager$InvalidToken: token gone",
        "botocore.exceptions.NoCredentialsError: Unable to locate credentials",
        "the token has expired; get a new password",
        "password=\ntoken:\n--secret\nkey",
        "token=None, password=null",
        "password=\"\" token=''",
        "https://host:8080/x user@host s3://bucket@endpoint/x",
        "secrets::token",
        "Bearer token",
        "columns ['key', 'value']",
        "spark.authenticate.secret must be set",
        "spark.authenticate.secret is",
        "set spark.authenticate.secret. Then go on",
        "spark.secret abc",
        "the secret.key abc",
        "24/01/01 INFO org.apache.hadoop.security.token.Token - it is there",
        "INFO org.apache.hadoop.security.token.Token [main] it is there",
        "\tat org.apache.hadoop.security.token.Token.decode (Token.java:33)",
        "java.security.InvalidKeyException thrown; a.b.SecretException here",
        "cat: /a/b.c.key permission",
        "<name>spark.master</name><value>local</value>",
        "<name>x.secret</name></property>\n<value>a</value>",
        "<name>x.secret</name>\n<name>x</name>\n<value>a</value>",
        "<name>x.secret</name><value></value>",
    ],
)
def test_not_hidden(text: str) -> None:
    assert redact(text) == text


def test_a_private_key_is_hidden_line_by_line() -> None:
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7\nab=="
    pem = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{}\n-----END RSA PRIVATE KEY-----\nand on"
    assert redact(pem.format(body)) == pem.format("***\n***\n***")
    one_line = r"x -----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY----- y"
    assert redact(one_line) == "x -----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY----- y"
    assert redact("-----BEGIN PRIVATE KEY-----\nnot a key at all\nabc") == (
        "-----BEGIN PRIVATE KEY-----\nnot a key at all\nabc"
    )


WORDS = "password key Key token Authorization cookie spark.x. a b1 Error .py 33 None bearer abcdefghi é"
SIGNS = "-- - = : -> => :: , & ; ( ) [ ] { } ' \" ` \\ / :// @ * *** . $ < ?sig= -----END --x"
PIECES = [*WORDS.split(" "), *SIGNS.split(" "), "-----BEGIN PRIVATE KEY-----", " ", "\n", "\t", "\r"]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join))
def test_redacted_text_stays_as_it_is(text: str) -> None:
    once = redact(text)
    assert redact(once) == once
    assert once.count("\n") == text.count("\n")
    assert len(once) <= 2 * len(text) + 8


NAMES = (
    "password",
    "spark.my.secret",
    "API_TOKEN",
    "fs.s3a.access.key",
    "keyPassword",
    "client-secret",
    "aws.credential",
)
SHAPES = (
    "{name}={value}",
    "x {name}={value} y",
    "{name}: {value}",
    "x {name} -> {value}, y",
    "--{name} {value} -y",
    "-D{name}={value}",
    "{{'{name}': '{value}', 'y': 1}}",
    '{{"{name}":"{value}","y":1}}',
    '["--{name}", "{value}"]',
    "f({name}={value}, y=1)",
    "http://h/?{name}={value}&y=1",
    "http://{name}:{value}@h/",
)


@given(
    st.sampled_from(NAMES),
    st.sampled_from(SHAPES),
    st.text("abcXYZ019!#%+.*_~^", min_size=6, max_size=40),
    st.sampled_from(["", "log 12:00 ERROR ", "key=a ", "'", '"', "\t", "{", "token "]),
)
def test_no_value_is_left(name: str, shape: str, value: str, before: str) -> None:
    assert f"Q{value}Q" not in redact(before + shape.format(name=name, value=f"Q{value}Q"))


@pytest.mark.requirement("fault-39")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", ["a", "password", "key=", "=", "'", '"', "\\", "(", "+", "\n"])
def test_a_mebibyte_of_nasty_text_takes_linear_time(unit: str) -> None:
    text = (unit * (1 << 20))[: 1 << 20]
    assert "hunter2" not in redact(text + "!\npassword=hunter2")


CLOSE = ["key='a ", "'key=", "\\'key=", "key=a,", "key:a ", "/key:", "key=a =", "token=(", "--key ", "key=\n"]
FAR = ["a.", "://", "://a:", "bearer ", "-----BEGIN PRIVATE KEY-----"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", [*CLOSE, *FAR])
def test_many_names_take_linear_time(unit: str) -> None:
    text = (unit * (1 << 18))[: 1 << 18]
    assert "hunter2" not in redact(text + "!\npassword=hunter2")
