"""Writes the false match rates that come with meanface, from the results of `verify`.

python -m benchmarks.false_matches lfw/results
"""

import argparse
from pathlib import Path

from meanface.files.json_files import read_json, write_json
from meanface.results import false_matches
from meanface.results.false_matches import FalseMatches


def main() -> None:
    """Write false_matches.json beside its module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    results = parser.parse_args().results
    summary = read_json(results / "verification.json")
    rates = FalseMatches.read(results / "verification.csv", results / "verification.json")
    content = {
        "source": f"{summary['photos']:,} photos of {summary['persons']:,} people of Labeled Faces"
        " in the Wild",
        "pairs": rates.pairs,
        "step": float(rates.threshold[0]),
        "false_matches": rates.count.tolist(),
    }
    write_json(Path(false_matches.__file__).with_suffix(".json"), content)


if __name__ == "__main__":
    main()
