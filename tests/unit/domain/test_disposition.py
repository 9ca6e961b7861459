"""Content-Disposition: any file name comes back, and breaks out of nothing."""

import re
from urllib.parse import unquote

from hypothesis import example, given
from hypothesis import strategies as st

from service.domain.disposition import content_disposition

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT)
@example('"; filename=evil.exe; x="')
@example("a\r\nSet-Cookie: b=c")
@example("\\")
@example("%41")
@example("写真 🏳️‍🌈.jpg")
def test_a_filename_comes_back_exactly_and_breaks_out_of_nothing(filename: str) -> None:
    value = content_disposition("inline", filename)
    match = re.fullmatch(r'inline; filename="([ -~]*)"; filename\*=UTF-8\'\'([A-Za-z0-9._~%-]*)', value)
    assert match
    assert not set('"\\%') & set(match[1])
    assert unquote(match[2]) == filename


@given(st.text(st.sampled_from([chr(n) for n in range(32, 127) if chr(n) not in '"\\%']), min_size=1))
def test_a_plain_filename_is_the_same_for_old_readers(filename: str) -> None:
    assert f'; filename="{filename}"; ' in content_disposition("attachment", filename)
