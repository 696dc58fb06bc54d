"""Secrets are masked, everything else is left alone, and a stored line stays JSON."""

from __future__ import annotations

import json
import os
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import redact as module
from harness.redact import (
    contains_secret,
    mask_fields,
    mask_pairs,
    mask_parameters,
    one_line,
    redact,
    register_secret,
    secret_fields,
)
from harness.secrets_table import MASK
from harness.types import Json

KEY = "sk-proj-Zx81kQ0aBcD4"


@pytest.fixture(autouse=True)
def only_known_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name != "PYTEST_CURRENT_TEST":
            monkeypatch.delenv(name)
    monkeypatch.setattr(module, "_registered", set())
    monkeypatch.setattr(module, "_values", None)


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY",
        "HF_TOKEN",
        "MYKEY",
        "Db_Password",
        "CLIENT_SECRET_2",
        "AWS_CREDENTIALS",
        "SECRETS",
        "GITHUB_PAT",
        "PAT",
        "DB_PASS",
        "DBPASS",
        "PASS2",
        "BASIC_AUTH",
        "OAUTH",
        "NPM_AUTH",
        "PGPASSWORD",
        "MYSQL_PWD",
        "DATABASE_URL",
        "SENTRY_DSN",
        "SLACK_WEBHOOK_URL",
        "AZURE_CONNECTION_STRING",
        "SIGNING_KEY",
        "SSH_PASSPHRASE",
        "SERVICE_CREDS",
        "JWT",
        "API_BEARER",
    ],
)
def test_values_of_variables_that_look_secret_are_masked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "correct horse battery")
    assert redact("it said correct horse battery!") == f"it said {MASK}!"
    assert contains_secret("correct horse battery")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOME", "/home/somebody"),
        ("TOKENIZERS_PARALLELISM", "falsehood"),
        ("MAX_TOKENS", "100000"),
        ("KEYBOARD", "qwerty-uk"),
        ("API_KEY", "short"),
        ("PWD", "/home/somebody"),
        ("BYPASS", "everything"),
        ("COMPASS", "north-west"),
        ("COMPATIBLE", "certainly"),
        ("PATH", "/usr/local/bin"),
        ("SSH_AUTH_SOCK", "/tmp/agent.sock"),
        ("XAUTHORITY", "/home/x/.Xauthority"),
        ("AUTH_TYPE", "browser"),
        ("TOKEN_URL", "https://example.org/token"),
        ("AUTHOR", "somebody"),
        ("OPENAI_API_KEY", "not-needed"),
    ],
)
def test_other_values_are_left_alone(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert redact(f"the value {value} is fine") == f"the value {value} is fine"


def test_a_key_that_is_set_or_changed_later_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert redact("first-secret second-secret") == "first-secret second-secret"
    monkeypatch.setenv("A_KEY", "first-secret")
    assert redact("first-secret") == MASK
    monkeypatch.setenv("A_KEY", "second-secret")
    assert redact("first-secret second-secret") == f"first-secret {MASK}"
    monkeypatch.delenv("A_KEY")
    monkeypatch.setenv("B_KEY", "first-secret")
    assert redact("first-secret second-secret") == f"{MASK} second-secret"


def test_a_secret_that_is_no_text_is_masked_and_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    value = os.fsdecode(b"\xff\xfe-binary-\x80")
    monkeypatch.setenv("SOME_TOKEN", value)
    assert redact(f"it said {value}!") == f"it said {MASK}!"
    assert redact("at /?k=%FF%FE-binary-%80") == f"at /?k={MASK}"
    assert redact("nothing to mask") == "nothing to mask"


def test_registered_values_are_masked() -> None:
    register_secret("hunter2-hunter2")
    register_secret("no")
    assert redact("say hunter2-hunter2, no more") == f"say {MASK}, no more"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"key {KEY}.", f"key {MASK}."),
        ("hf_abcdefghijABCDEFGHIJ0123", MASK),
        ("ghp_0123456789abcdefghij", MASK),
        ("AKIAIOSFODNN7EXAMPLE", MASK),
        ('{"Authorization": "Bearer abc123def456"}', f'{{"Authorization": "Bearer {MASK}"}}'),
        ("authorization: bearer abcdefghijklmnopqrstuvwxyz", f"authorization: bearer {MASK}"),
        ("Basic dXNlcjpwYXNzd29yZA==", f"Basic {MASK}"),
        ("http://user:pa55@host:1/v1", f"http://{MASK}@host:1/v1"),
        ("https://tok@example.org", f"https://{MASK}@example.org"),
        ("http://user:p@ss@host", f"http://{MASK}@host"),
        ("https://h/v1?api_key=abcdef123&x=1", f"https://h/v1?api_key={MASK}&x=1"),
        ("x-api-key: abc123def456", f"x-api-key: {MASK}"),
        ("X-API-Key:abc123def456", f"X-API-Key:{MASK}"),
        ('{"api_key": "abc123def456"}', f'{{"api_key": "{MASK}"}}'),
        (r"{\"apiKey\": \"abc123def456\"}", rf"{{\"apiKey\": \"{MASK}\"}}"),
        ("api_key = 'abc123def456'", f"api_key = '{MASK}'"),
        ("Authorization: abc123def456", f"Authorization: {MASK}"),
        ("Authorization: Token 9944b09199c62bcf9418", f"Authorization: Token {MASK}"),
        ("AUTHORIZATION: BEARER abc123def456", f"AUTHORIZATION: BEARER {MASK}"),
        ("https://h/v1?sig=abcdef123&x=1", f"https://h/v1?sig={MASK}&x=1"),
        ("https://h/v1?x=1&key=abcdef123", f"https://h/v1?x=1&key={MASK}"),
        ("https://h/v1?auth=abcdef123", f"https://h/v1?auth={MASK}"),
        ("https://h/v1?X-Amz-Signature=abcdef123", f"https://h/v1?X-Amz-Signature={MASK}"),
        ("r8_0123456789abcdefABCDEF0123456789abcde", MASK),
        ("pypi-AgEIcHlwaS5vcmcCJDAw", MASK),
        ("xai-0123456789abcdefghij", MASK),
        ("pplx-0123456789abcdefghij", MASK),
        ("ASIAIOSFODNN7EXAMPLE", MASK),
        ("ya29.a0AfH6SMBx0123456789", MASK),
        ("npm_0123456789abcdefghij", MASK),
        ("sk_live_0123456789abcdefghij", MASK),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n", f"-----BEGIN RSA PRIVATE KEY-----{MASK}"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2Q", MASK),
    ],
)
def test_shapes_of_tokens_are_masked(text: str, expected: str) -> None:
    assert redact(text) == expected
    assert contains_secret(text)
    assert redact(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "The bearer of bad news; Bearer certificates.",
        "a task-oriented, risk-averse sk-learn-compatible estimator",
        "x@y.org wrote to https://example.org/@user about 3 = 2 + 1",
        "Basic arithmetic: 2+2=4",
        "https://example.org/path?page=12&token=abc",
        r"\boxed{42}",
        'client = OpenAI(api_key="YOUR_API_KEY")',
        "api_key = os.environ['OPENAI_API_KEY']",
        "sorted(words, key=lambda word: word.lower())",
        "d.get(key, 0) and token = tokenizer.eos_token_id",
        "Authorization: required; the token is 12 characters long",
        "South Asia, ASIA-PACIFIC and xai-lab",
        "the token 1 of the first 2000",
        "https://example.org/?monkey=capuchin&design=letters",
    ],
)
def test_prose_and_mathematics_are_left_alone(text: str) -> None:
    assert redact(text) is text
    assert not contains_secret(text)


def test_one_line_redacts_before_it_cuts() -> None:
    line = one_line("first\n  second\tline " + "x" * 20 + " " + KEY, limit=50)
    assert line.startswith("first second line x")
    assert "sk-proj" not in line
    assert len(line) <= 50


SECRETS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="[]"), min_size=6, max_size=40
)


@given(secret=SECRETS, before=st.text(max_size=40), after=st.text(max_size=40))
def test_no_secret_survives_in_text_or_in_a_json_line(secret: str, before: str, after: str) -> None:
    """Whatever it is made of, and the redacted line is still JSON; masking again changes nothing."""
    with mock.patch.dict(os.environ, {"SOME_API_KEY": secret}, clear=True):
        if not module._can_mask(secret):
            return
        plain = redact(before + secret + after)
        assert secret not in plain
        for ascii_only in (True, False):
            line = redact(json.dumps({"text": f"{before} {secret} {after}"}, ensure_ascii=ascii_only))
            assert secret not in json.loads(line)["text"]
            assert redact(line) == line


@given(
    secret=st.sampled_from(["n123456", "u0041abc", "tabulate", "back\\slash", 'quo"te12']), text=st.text(max_size=30)
)
def test_values_that_look_like_escapes_leave_the_line_readable(secret: str, text: str) -> None:
    with mock.patch.dict(os.environ, {"SOME_API_KEY": secret}, clear=True):
        line = redact(json.dumps({"text": f"{text}\n123456 \tabulate A{secret}"}))
        assert secret not in json.loads(line)["text"]


HOSTILE = sorted({trigger for shape in module.SHAPES for trigger in shape.triggers})


@pytest.mark.parametrize("trigger", HOSTILE)
@pytest.mark.timeout(20)
def test_hostile_text_costs_linear_time(trigger: str) -> None:
    for text in (
        trigger * 20_000,
        f"?{trigger}" * 20_000,
        f"{trigger}{'a1-.' * 50_000}",
        f"{trigger.upper()} " * 20_000,
    ):
        redact(text)


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "apiKey",
        "x-api-key",
        "X-API-KEY",
        "API KEY",
        "token",
        "key",
        "hf_token",
        "hubToken",
        "use_auth_token",
        "access_token",
        "password",
        "db_password",
        "client_secret",
        "Authorization",
        "proxy-authorization",
        "secretKey",
        "apiKeys",
        "api-keys",
        "accessKeyId",
        "subscription-keys",
        "passwords",
        "jwt",
        "bearer",
        "creds",
    ],
)
def test_fields_that_hold_secrets_are_known_by_name(name: str) -> None:
    settings: dict[str, Json] = {"model": "m", "deep": [{name: "whatever it is"}]}
    assert mask_fields(settings) == {"model": "m", "deep": [{name: MASK}]}
    assert secret_fields(settings) == [name]
    if " " not in name:
        assert mask_pairs(f"pretrained=m,{name}=whatever,dtype=auto") == f"pretrained=m,{name}={MASK},dtype=auto"
        assert mask_pairs(f"--verbose --{name} whatever -n 1") == f"--verbose --{name} {MASK} -n 1"
        assert mask_pairs(f"--verbose {name}=whatever") == f"--verbose {name}={MASK}"
        assert mask_fields([f"{name}=whatever", "n=1"]) == [f"{name}={MASK}", "n=1"]
        assert mask_parameters(f"http://h/v1?a=b&{name}=whatever;c=d") == f"http://h/v1?a=b&{name}={MASK};c=d"


@pytest.mark.parametrize(
    "name",
    ["max_tokens", "eos_token", "pad_token_id", "sort_key", "cache_key", "tokenizer", "keywords", "n_tokens", "author"],
)
def test_other_fields_are_left_alone(name: str) -> None:
    assert mask_fields({name: "value", "n": 3}) == {name: "value", "n": 3}
    assert secret_fields({name: "value"}) == []
    assert mask_pairs(f"{name}=value") == f"{name}=value"
    assert mask_pairs(f"--{name} value") == f"--{name} value"
    assert mask_parameters(f"http://h/v1?{name}=value") == f"http://h/v1?{name}=value"


def test_a_field_is_secret_by_its_value_too() -> None:
    assert secret_fields({"extra": {"note": f"use {KEY}"}, "n": [1, None]}) == ["note"]
    assert mask_fields({"token": None, "password": "", "auth": True}) == {"token": None, "password": "", "auth": True}
