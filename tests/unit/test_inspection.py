"""What a server answers where it could not look at a picture."""

import pytest

from service.errors import Unavailable
from service.inspection import Inspector
from service.settings import Settings
from tests.pictures import picture


async def test_short_memory_is_told_as_the_servers_and_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: object, **__: object) -> None:
        raise MemoryError

    inspector = Inspector(Settings())
    monkeypatch.setattr("service.media.develop", short)
    with pytest.raises(Unavailable, match="memory") as refusal:
        await inspector.inspected(picture())
    assert refusal.value.headers["Retry-After"]
    assert inspector.budgets["decodes"].lent == 0
    monkeypatch.undo()
    assert (await inspector.inspected(picture())).variants
