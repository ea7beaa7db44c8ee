"""Worker threads, a few per lane, and a way to go on when one of them hangs."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

GRACE_S = 5.0
"""A task that checks the time ends by itself at its limit; one that does not is given
up this much (or a quarter of the limit, if that is more) later."""


@dataclass(eq=False)
class Task:
    """Work for one worker, and what to do with its result on the runner's thread.

    Args:
        work: called on a worker thread. What it raises is raised on the runner's thread.
        then: called with the result on the thread that drives the run.
        late: called instead if the task was given up.
        limit_s: time after which it should have ended by itself.
    """

    work: Callable[[], Any]
    then: Callable[[Any], None]
    late: Callable[[], None]
    limit_s: float
    started: float = field(default=0.0, init=False)
    given_up: bool = field(default=False, init=False)
    workers: Workers | None = field(default=None, init=False)

    @property
    def overdue(self) -> bool:
        """Whether it ran so long that nobody waits for it any more."""
        if not self.started:
            return False
        patience = self.limit_s + max(GRACE_S, 0.25 * self.limit_s)
        return time.monotonic() - self.started > patience


@dataclass(frozen=True)
class Crash:
    """What a task raised that nobody expected."""

    error: Exception


class Workers:
    """At most `size` tasks at a time, on daemon threads that are started when needed."""

    def __init__(self, name: str, size: int, done: queue.SimpleQueue[tuple[Task, Any]]) -> None:
        self.name = name
        self.size = size
        self.running: set[Task] = set()
        self._todo: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._done = done
        self._threads = 0

    @property
    def free(self) -> int:
        """How many more tasks can start now."""
        return max(0, self.size - len(self.running))

    def submit(self, task: Task) -> None:
        """Start the task, on a further thread if all are busy."""
        self.running.add(task)
        task.workers = self
        task.started = time.monotonic()
        if self._threads < len(self.running):
            self._start_thread()
        self._todo.put(task)

    def give_up_overdue(self) -> list[Task]:
        """Stop waiting for tasks that hang; a new thread takes the hung one's place.

        A thread cannot be killed, so it stays until the process ends; its result, if it
        ever comes, is ignored.
        """
        overdue = [task for task in self.running if task.overdue]
        for task in overdue:
            task.given_up = True
            self.running.discard(task)
            self._start_thread()
        return overdue

    def close(self) -> None:
        """Let idle threads end."""
        for _ in range(self._threads):
            self._todo.put(None)

    def _start_thread(self) -> None:
        self._threads += 1
        name = f"{self.name}-{self._threads}"
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def _serve(self) -> None:
        while (task := self._todo.get()) is not None:
            try:
                result = task.work()
            except Exception as error:  # noqa: BLE001  (raised again on the runner's thread)
                result = Crash(error)
            self._done.put((task, result))
            if task.given_up:
                return  # another thread has taken this place
