"""The lines at the end of a run."""

from typing import Any

from meanface.workflow.summary import summary_text

SUMMARY: dict[str, Any] = {
    "photos": 1230,
    "encoded": 1228,
    "failed": 2,
    "faces": 1228,
    "duplicates": 3,
    "failed_by_reason": {"no_face": 2},
    "faces_by_detector": {"hog@0": 1200, "cnn@1": 28},
    "run": "now",
    "newly_encoded": 1000,
    "reused": 227,
    "cache_trouble": "it is full",
    "skipped": {"directory": 9, "ignored": 2},
    "photos_per_second": 31.27,
    "config": {"landmarks": 5, "encoder": "onnx", "precision": "float32", "faces_csv": True},
}


def test_the_lines_of_a_run() -> None:
    assert summary_text(SUMMARY, "/there/results", "now") == "\n".join(
        [
            "  photos  1,230 (2 other files skipped)",
            " encoded  1,228 (hog@0 1,200, cnn@1 28; @0: photo not enlarged, @1: doubled in size)",
            "  failed  2 (no_face 2)",
            "          why: /there/results/failures.csv",
            "     new  1,000, and 227 reused; identical photos count once",
            "   speed  31.3 photos per second and worker",
            " results  /there/results/ (mean.npy, embeddings.npy, faces.csv, failures.csv)",
            "   cache  it is full",
        ]
    )


def test_a_single_thing_is_no_plural() -> None:
    skipped = {"skipped": {"ignored": 1, "excluded": 1}, "sources": {"a": {"name": "a.tar"}}}
    text = summary_text(SUMMARY | skipped, "results", "now")
    assert "  photos  1,230 (1 other file skipped)\n" in text
    assert "excluded  1 photo (excluded.csv), which is still in a.tar itself\n" in text


def test_few_photos_have_no_speed() -> None:
    assert "speed" not in summary_text(SUMMARY | {"photos_per_second": None}, "results", "now")


def test_a_run_that_merged_nothing_tells_no_news() -> None:
    text = summary_text(SUMMARY, "results", "later")
    assert "  photos  1,230" in text
    for name in ("new", "speed", "cache"):
        assert f" {name}  " not in text


def test_where_nothing_failed_no_reason_is_shown() -> None:
    nothing = {"failed": 0, "failed_by_reason": {}, "faces_by_detector": {"stub": 1230}}
    text = summary_text(SUMMARY | nothing | {"duplicates": 0}, "results", "now")
    assert " encoded  1,228 (stub 1,230)\n  failed  0\n     new  1,000, and 227 reused\n" in text
