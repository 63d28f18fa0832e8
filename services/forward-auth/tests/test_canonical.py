"""One reading of a path, or none."""

import pytest
from forward_auth.canonical import Ambiguous, canonical
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/", "/"),
        ("/api/x?q=//..;%2f", "/api/x"),
        ("/%61pi/x", "/api/x"),
        ("/API/x", "/API/x"),
        ("/caf%C3%A9", "/café"),
        ("/a.b/c-d_e~f", "/a.b/c-d_e~f"),
        ("/a/", "/a/"),
        ("/...", "/..."),
    ],
)
def test_a_plain_path_is_decoded_once(uri: str, path: str):
    assert canonical(uri) == path


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "api/x",
        "//",
        "/a//b",
        "/a/../b",
        "/..",
        "/a/%2e%2E/b",
        "/a%2fb",
        "/a%5cb",
        "/a\\b",
        "/a;b",
        "/a%3Bb",
        "/a%00",
        "/a%0a",
        "/a\n",
        "/a%7f",
        "/a%252fb",
        "/a%",
        "/a%zz",
        "/a%ff",
        "/a b",
        "/a#b",
        "http://house/a",
        "/" + "a" * 9000,
    ],
)
def test_a_path_with_two_readings_has_none(uri: str):
    with pytest.raises(Ambiguous):
        canonical(uri)


@given(st.text(alphabet="/abAB.%;\\?2eEfF5cC0 \t\n#é", max_size=40))
def test_whatever_is_asked_the_reading_is_one_that_every_server_shares(uri: str):
    try:
        path = canonical("/" + uri)
    except Ambiguous:
        return
    assert path.startswith("/")
    assert not {".", ".."} & set(path.split("/"))
    assert "//" not in path
    assert not set(path) & set("%\\;\x00\n\t #")
    # What a careless server reads when it decodes once more is the same.
    assert canonical(path.replace("é", "%C3%A9")) == path
