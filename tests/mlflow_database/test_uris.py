"""URIs of databases: what a client library makes of them, and what of them may be seen."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg2.extensions import parse_dsn

from mlflow_archive.errors import ServerError
from mlflow_archive.mlflow_database.uris import parse_database_uri
from mlflow_archive.sources.locate import locate_source

PASSWORDS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1)


@given(PASSWORDS)
def test_the_library_reads_any_password_as_it_is(password: str) -> None:
    uri = f"postgresql+psycopg2://me:{quote(password, safe='')}@[::1]:5/my%20base?sslmode=require"
    parts = {"user": "me", "password": password, "host": "::1", "port": "5", "sslmode": "require"}
    assert parse_dsn(parse_database_uri(uri).libpq).items() >= parts.items()


@pytest.mark.parametrize(
    "password", ["s3cret with spaces", "s3cret'", "s3cret\\", "s3cret%20", "s3cret@/?#", "%s3cret"]
)
def test_no_error_shows_a_password(password: str) -> None:
    """Of a URI with a space in it the library says: unexpected spaces found in "…"."""
    source = locate_source(f"postgresql://me:{quote(password, safe='')}@127.0.0.1:1/x")
    with pytest.raises(ServerError, match="cannot be reached") as caught:
        source.facts()
    assert "s3cret" not in str(caught.value)
