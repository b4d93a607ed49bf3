"""What an encode job reports reads back as it was written."""

from pathlib import Path

from meanface.files.json_files import read_json
from meanface.results.shard_report import read_report, write_report
from tests.unit.results.test_summary import NOW


def test_a_report_reads_back(tmp_path: Path) -> None:
    target = tmp_path / "0000.json"
    write_report(target, NOW)
    assert read_report(target) == NOW
    assert read_json(target)["failed"] == 1  # which a run's progress line reads
