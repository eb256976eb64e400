"""An engine that carries pieces out here, as untidily as a cluster may: in any order, some twice, all from pickles."""

import pickle
import random


class Untidy:
    """An `Engine`; `fails_after` ends it with an error once so many pieces are finished."""

    def __init__(self, seed=0, *, window=5, twice=0.3, fails_after=None):
        self._random = random.Random(seed)
        self._window, self._twice, self._fails_after = window, twice, fails_after
        self.names = []

    def finished(self, next_piece, folder, *, should_stop=lambda: False):
        handed_out = []
        while True:
            while len(handed_out) < self._window and not should_stop() and (piece := next_piece()) is not None:
                handed_out.append(piece)
            if not handed_out or should_stop():
                return
            piece = handed_out.pop(self._random.randrange(len(handed_out)))
            assert folder.is_dir()
            for _ in range(2 if self._random.random() < self._twice else 1):
                result = _sent(piece).carry_out(should_stop)
            if len(self.names) == self._fails_after:
                raise ConnectionError("the cluster is gone")
            self.names.append(piece.name)
            yield piece, _sent(result)


def _sent(value):
    return pickle.loads(pickle.dumps(value))  # noqa: S301
