"""`Worker`: a thread that is handed one call at a time, for calls of a tenth of a millisecond."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Worker:
    """Runs calls beside the caller's own work.

    An executor spends some forty microseconds on futures, queues and conditions to hand over a
    call; two locks take a few. Nothing is kept between calls, so the owner of a worker can be
    collected.

        worker.start(function, 1, 2)
        ...                             # work of one's own
        result = worker.wait()
    """

    def __init__(self) -> None:
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self._call: tuple[Callable[..., Any], tuple[Any, ...]] | None = None
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=_serve, args=(self,), daemon=True)
        self._thread.start()

    def start(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Begins `function(*arguments)`; each start needs its `wait`."""
        self._call = function, arguments
        self._go.release()

    def wait(self) -> Any:
        """The result of the call that was started; what it raised is raised here."""
        self._done.acquire()
        result, error = self._result, self._error
        self._result = self._error = None
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """Ends the thread; may be called twice."""
        if self._thread.is_alive() and self._call is None:
            self._go.release()


def _serve(worker: Worker) -> None:
    while True:
        worker._go.acquire()
        if worker._call is None:
            return
        function, arguments = worker._call
        try:
            worker._result = function(*arguments)
        except BaseException as error:
            worker._error = error
        del function, arguments
        worker._call = None
        worker._done.release()
