"""The progress of a run: photos done, photos per second, time left, failures."""

from dataclasses import dataclass, field

from tqdm import tqdm

from meanface.wording import number_of


@dataclass
class Progress:
    """The photos to encode in one run, and those done so far. No number ever falls."""

    photos: int
    done: int = 0
    failed: int = 0
    _finished: tuple[int, int] = (0, 0)
    _running: dict[int, tuple[int, int]] = field(default_factory=dict)

    def runs(self, job: int, done: int, failed: int) -> None:
        """Note how many photos a running job has done, and how many of them have failed."""
        self._running[job] = done, failed
        self._sum_up()

    def finish(self, job: int, done: int, failed: int) -> None:
        """Note the photos of a finished job, and how many of them have failed."""
        self._running.pop(job, None)
        self._finished = self._finished[0] + done, self._finished[1] + failed
        self._sum_up()

    def _sum_up(self) -> None:
        # A job that is tried again begins anew.
        counts = [self._finished, *self._running.values()]
        self.done = max(self.done, sum(done for done, _ in counts))
        self.failed = max(self.failed, sum(failed for _, failed in counts))

    def text(self, seconds: float) -> str:
        """Give one line for people, `seconds` after the first encode job started."""
        rate = self.done / seconds if seconds > 0 else 0.0
        parts = [f"{self.done:,} of {number_of(self.photos, 'photo')}"]
        if rate > 0:
            left = tqdm.format_interval((self.photos - self.done) / rate)
            parts += [f"{rate:,.1f}/s", f"{left} left"]
        return ", ".join([*parts, f"{self.failed:,} failed"])
