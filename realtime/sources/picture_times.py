"""The times of pictures in the order in which they are shown."""

from typing import Final

_ENOUGH: Final = 10  # pictures with impossible times; if they are more than half of all, no time is believed


class PictureTimes:
    """Chooses between a container's times of presentation and of decoding, and fills in what is not there.

    Pictures come in the order in which they are shown, so their times increase. Of presentation and decoding
    times that is taken which has departed from this less often (as libavcodec's `guess_correct_pts` does). A
    picture without a time is one interval after the one before. If most times are impossible, pictures are
    counted.

    Args:
        interval: ns between two pictures by the file's rate.

    Attributes:
        counting: whether times are counted, not read.
    """

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._last: int | None = None
        self._seen = 0
        self._wrong = {"shown": 0, "decoded": 0}
        self._newest: dict[str, int] = {}
        self.counting = False

    def next(self, shown: int | None, decoded: int | None, lasts: int) -> int:
        """The time of the next picture, ns.

        Args:
            shown, decoded: ns; when it is to be shown and decoded, None if unknown.
            lasts: ns; 0 if unknown.
        """
        self._seen += 1
        for which, time in (("shown", shown), ("decoded", decoded)):
            if time is not None:
                self._wrong[which] += time <= self._newest.get(which, time - 1)
                self._newest[which] = time
        wrong = self._wrong
        time = shown
        if time is None or (decoded is not None and wrong["shown"] > wrong["decoded"]):
            time = decoded
        least = min(wrong.values()) if len(self._newest) == 2 else max(wrong.values())
        self.counting = least >= _ENOUGH and 2 * least > self._seen
        if self._last is not None and (time is None or self.counting):
            time = self._last + (lasts or self._interval)
        self._last = 0 if time is None else time
        return self._last
