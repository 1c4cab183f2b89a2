"""The cluster's token is found where Ray looks, and is never shown."""

from __future__ import annotations

import os

import pytest

from ray_jobs.ray_token import find_token, offer_token
from tests.expect import raises_code

SECRET = "s3cret-not-for-eyes"


@pytest.fixture(autouse=True)
def _bare(monkeypatch, tmp_path):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_there_is_no_token_on_a_bare_machine():
    assert find_token() is None
    assert offer_token() is None
    assert "RAY_AUTH_MODE" not in os.environ


def test_the_variable_comes_before_the_named_file_and_that_before_the_home(monkeypatch, tmp_path):
    home = tmp_path / ".ray" / "auth_token"
    home.parent.mkdir()
    home.write_text("home\n")
    assert find_token().value == "home"
    (tmp_path / "named").write_text("named")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "named"))
    assert find_token().value == "named"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "variable")
    assert find_token().value == "variable"


def test_a_token_is_sent_but_not_shown(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", SECRET)
    token = offer_token()
    assert token.headers == {"Authorization": f"Bearer {SECRET}"}
    assert SECRET not in f"{token} {token!r} {token.origin}"
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_a_mode_that_the_user_set_stays(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", SECRET)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert offer_token() is None
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


@pytest.mark.parametrize("content", [None, "", "  \n"])
def test_a_named_file_without_a_token_is_an_error(monkeypatch, tmp_path, content):
    if content is not None:
        (tmp_path / "token").write_text(content)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    with raises_code("cluster_token_missing", origin="$RAY_AUTH_TOKEN_PATH"):
        find_token()
