"""How much is done for one file, whatever its bytes say."""

# Segments, directory entries, datasets, boxes, tags: at some 2 us each that takes 0.2 s, and it is ten times what
# the largest edit histories have.
_MOST_PARTS = 100_000


class Effort:
    """Counts the small parts of a file that are looked at. What comes when there are too many goes as a whole."""

    def __init__(self) -> None:
        self._left = _MOST_PARTS

    def allows(self, parts: int = 1) -> bool:
        """Return whether so many more parts may be looked at, which then have been."""
        self._left -= parts
        return self._left >= 0
