"""Videos on the page: in it while they are few, from their folder where they are many, and why there are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from gipo import suites
from gipo.report import template, videos
from gipo.stages import VIDEO_INDEX, StudyFolder

METAWORLD = suites.get("metaworld")
ROW = {"regime": "stale", "seed": 3, "seeds": 5, "return": 1234.4, "success": True}


def study(folder: Path, size: int = 100, note: str = "") -> StudyFolder:
    """A study of two tasks and two methods, each with a video of that many bytes."""
    names = [(task, method) for task in ("push-v3", "door-open-v3") for method in ("gipo-1-1", "ppo-clip")]
    rows = [ROW | {"task": t, "method": m, "run_id": f"{t}{m}", "file": f"videos/{t}-{m}.webp"} for t, m in names]
    index = {"note": note, "films": [] if note else rows}
    files = {row["file"]: row["run_id"].encode().ljust(size) for row in index["films"]}
    made = StudyFolder(folder)
    made.write_stage("videos", files | {VIDEO_INDEX: json.dumps(index).encode()})
    return made


def section(found: dict[str, Any] | None) -> str:
    part = {"name": "small", "title": "Small", "suite": METAWORLD, "films": found}
    page = template("videos.html").render(parts=[part], several=False)
    return " ".join(page.split())


def test_few_videos_are_in_the_page_in_the_order_of_tasks_and_methods(tmp_path: Path):
    found = videos.films(study(tmp_path / "small"), METAWORLD, tmp_path / "small")
    assert found
    assert (found["note"], found["beside"]) == ("", "")
    assert [task for task, _ in found["tasks"]] == METAWORLD.order_tasks(["push-v3", "door-open-v3"])
    first, second = found["tasks"][0][1]
    assert (first["words"], second["words"]) == ("stale, PPO-Clip", "stale, GIPO (1, 1)")
    assert first["source"].startswith("data:image/webp;base64,")
    assert first["result"] == "solved, return 1,234"
    page = section(found)
    assert page.count("<img ") == page.count(' alt="') == 4
    assert "<summary>door-open-v3: 2 videos</summary>" in page
    assert "seed 3, median of 5" in page
    assert "from the folder" not in page


@pytest.mark.parametrize(("page", "folder"), [("small", "videos"), ("joined", "../small/videos")])
def test_many_videos_are_played_from_their_folder_beside_the_page(page: str, folder: str, tmp_path: Path):
    found = videos.films(study(tmp_path / "small", size=videos.MOST_EMBEDDED // 4 + 1), METAWORLD, tmp_path / page)
    assert found
    (tmp_path / page).mkdir(exist_ok=True)
    sources = [film["source"] for _, shown in found["tasks"] for film in shown]
    assert all((tmp_path / page / source).is_file() for source in sources)
    assert f"from the folder <code>{folder}</code> beside it" in section(found)
    assert "data:" not in section(found)


def test_where_there_are_none_the_page_says_why_in_a_line(tmp_path: Path):
    page = section(videos.films(study(tmp_path, note="nothing draws: no OpenGL & no more"), METAWORLD, tmp_path))
    assert "No videos: nothing draws: no OpenGL &amp; no more. Where something draws, delete the folder" in page
    assert "<details>" not in page


def test_a_study_that_was_not_filmed_has_no_section(tmp_path: Path):
    assert videos.films(StudyFolder(tmp_path), METAWORLD, tmp_path) is None
    assert section(None) == ""
