"""The progress of a run: photos done, photos per second, time left, failures."""

from dataclasses import dataclass

from tqdm import tqdm


@dataclass
class Progress:
    """The photos to encode in one run, and those done so far."""

    photos: int
    done: int = 0
    failed: int = 0

    def text(self, seconds: float) -> str:
        """Give one line for people, `seconds` after the first encode job started."""
        rate = self.done / seconds if seconds > 0 else 0.0
        parts = [f"{self.done:,} of {self.photos:,} photos"]
        if rate > 0:
            left = tqdm.format_interval((self.photos - self.done) / rate)
            parts += [f"{rate:,.1f}/s", f"{left} left"]
        return ", ".join([*parts, f"{self.failed:,} failed"])
