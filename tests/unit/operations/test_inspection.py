"""What a server answers where it could not look at a picture."""

import pytest

from service.domain.errors import Unavailable
from service.machine.memory import MIB, Limit
from service.operations.inspection import Inspector, _body_memory, _needed_limit, _room
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


@pytest.mark.parametrize("weight", [1, 23, 40, 41, 100, 192, 260, 1_000])
@pytest.mark.parametrize("settings", [Settings(), Settings(body_memory=8 * MIB), Settings(max_image_bytes=MIB)])
def test_the_memory_that_is_asked_for_has_room_for_the_picture_and_less_has_none(
    settings: Settings, weight: int
) -> None:
    def room(size: int) -> int:
        limit = Limit(size, "a test")
        return _room(settings, limit, _body_memory(settings, limit))

    needed = _needed_limit(settings, weight * MIB)
    assert room(needed) >= weight * MIB
    less = needed - MIB
    assert room(less) < weight * MIB or less // 8 >= weight * MIB  # small pictures are taken wherever it is
