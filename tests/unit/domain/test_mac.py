"""What the standard library says of a whole message is said of its beginning and its end."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.mac import Mac


@given(st.binary(max_size=64), st.binary(max_size=200), st.lists(st.binary(max_size=200), max_size=3))
def test_it_is_hmac_sha_256(key: bytes, beginning: bytes, ends: list[bytes]) -> None:
    mac = Mac(key, beginning)
    for end in ends:
        assert mac.hexdigest(end) == hmac.digest(key, beginning + end, "sha256").hex()


def test_a_key_that_would_have_to_be_hashed_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        Mac(b"k" * 65)
