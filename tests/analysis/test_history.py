"""rules.yaml: since when each claim has been judged as it is."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from checkout import ROOT
from gipo.analysis import claims, history
from gipo.config import read_yaml
from gipo.errors import GipoError

CLAIM = read_yaml(claims.CLAIMS)[0]


def git(folder: Path, *arguments: str, day: int = 1) -> str:
    date = f"2026-01-{day:02d}T12:00:00+00:00"
    command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e", *arguments]
    variables = os.environ | {"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=variables).stdout.strip()


class Repository:
    """A repository with one claims.yaml; each commit a day later."""

    def __init__(self, root: Path) -> None:
        self.claims, self.day = root / "claims.yaml", 0
        git(root, "init", "-q")

    def commit(self, *entries: dict) -> str:
        self.day += 1
        self.claims.write_text(yaml.safe_dump(list(entries)))
        git(self.claims.parent, "add", ".")
        git(self.claims.parent, "commit", "-q", "--no-verify", "--allow-empty", "-m", "change", day=self.day)
        return git(self.claims.parent, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def looser(claim: dict) -> dict:
    return claim | {"rule": claim["rule"] | {"reproduced": [{"low": {"above": -1}}]}}


def test_a_rule_is_fixed_by_the_commit_that_made_it_what_it_is(repository: Repository) -> None:
    first = repository.commit(CLAIM)
    second = repository.commit(looser(CLAIM), CLAIM | {"id": "other"})
    repository.commit(looser(CLAIM) | {"claim": "In other words."}, CLAIM | {"id": "other"})
    fixed = history.fixed_rules(repository.claims)
    assert {name: entry.commit for name, entry in fixed.items()} == {CLAIM["id"]: second, "other": second}
    assert fixed["other"].date == "2026-01-02 12:00"
    repository.commit(CLAIM)
    repository.commit(looser(CLAIM))
    assert history.fixed_rules(repository.claims)[CLAIM["id"]].date == "2026-01-05 12:00"  # not when it was so before
    assert first != second


def test_a_rule_that_is_not_committed_is_refused(repository: Repository) -> None:
    repository.commit(CLAIM)
    repository.claims.write_text(yaml.safe_dump([looser(CLAIM)]))
    with pytest.raises(GipoError, match=f"the rule of {CLAIM['id']} is not that of the last commit; commit it first"):
        history.fixed_rules(repository.claims)


def test_without_git_there_is_no_history(tmp_path: Path) -> None:
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([CLAIM]))
    with pytest.raises(GipoError, match=r"git log in .*not a git repository"):
        history.fixed_rules(tmp_path / "claims.yaml")


@pytest.mark.parametrize(
    ("change", "is_other"),
    [
        (looser(CLAIM), True),
        (CLAIM | {"needs": CLAIM["needs"] | {"policy_updates": 1}}, True),
        (CLAIM | {"measure": CLAIM["measure"] | {"minus": CLAIM["measure"]["of"]}}, True),
        (CLAIM | {"rule": CLAIM["rule"] | {"why": "for another reason"}}, False),
        (CLAIM | {"claim": "In other words.", "remarks": [], "figure": "fig1"}, False),
    ],
)
def test_a_claim_is_judged_otherwise_if_its_measure_needs_or_rule_changes(change: dict, is_other: bool) -> None:
    assert (history.digest(change) != history.digest(CLAIM)) == is_other


def test_a_claim_says_since_when_it_has_been_judged_so(repository: Repository) -> None:
    commit = repository.commit(CLAIM)
    [before] = claims.load(repository.claims)
    history.write(repository.claims, repository.claims.with_name("rules.yaml"))
    [after] = claims.load(repository.claims)
    repository.claims.write_text(yaml.safe_dump([looser(CLAIM)]))
    [changed] = claims.load(repository.claims)
    assert (before.fixed, changed.fixed) == ("not committed", "not committed")
    assert after.fixed == f"2026-01-01 12:00 UTC, commit {commit[:10]}"
    assert after.row()["fixed"] == after.fixed


@pytest.mark.parametrize("content", ["- a", "a: {rule_digest: 1}", "["])
def test_a_malformed_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(content)
    with pytest.raises(GipoError, match=r"rules\.yaml"):
        history.load(tmp_path / "rules.yaml")


class TestOfThisCheckout:
    KNOWN = history.load()

    def test_it_is_up_to_date(self) -> None:
        """After a change of rules: commit them, write rules.yaml by `gipo rules`, commit that."""
        today = history.digests(read_yaml(claims.CLAIMS))
        assert {name: entry.rule_digest for name, entry in self.KNOWN.items()} == today

    @pytest.mark.parametrize("commit", sorted({entry.commit for entry in KNOWN.values()}))
    def test_its_commits_had_these_rules(self, commit: str) -> None:
        if subprocess.run(["git", "-C", ROOT, "cat-file", "-e", commit], capture_output=True, check=False).returncode:
            pytest.skip("without the history of this checkout")
        then = history.digests(history.at_commit(claims.CLAIMS, commit))
        of_commit = {name: entry for name, entry in self.KNOWN.items() if entry.commit == commit}
        assert {name: then[name] for name in of_commit} == {n: entry.rule_digest for n, entry in of_commit.items()}
        stamp = int(git(ROOT, "show", "-s", "--format=%ct", commit))
        date = f"{datetime.fromtimestamp(stamp, UTC):%Y-%m-%d %H:%M}"
        assert {entry.date for entry in of_commit.values()} == {date}
