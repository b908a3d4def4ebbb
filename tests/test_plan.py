"""What a scale would cost: counts against numbers by hand and the engine's own rule, hours from given rates."""

import dataclasses
import re

import pytest
import torch

from checkout import ROOT
from gipo.figures import of_study
from gipo.plan import (
    Cost,
    Line,
    counted_sentences,
    imagination_cost,
    measured_sentences,
    node_sentences,
    predict,
    refreshed_transitions,
    run_cost,
    show,
    size_sentences,
)
from gipo.rates import (
    CPU,
    GridworldRate,
    LearnerRate,
    ModelRate,
    Rates,
    TaskRate,
    learner_rate,
    made_up_learner,
    random_index,
)
from gipo.replay import Pace
from gipo.runs.spec import RunSpec
from gipo.scale import Scale
from gipo.study import Study

SCALES = {path.stem: Scale.load(path) for path in (ROOT / "workflow" / "config").glob("*.yaml")}
METAWORLD = [name for name, scale in SCALES.items() if not scale.is_composed and scale.parts[name].suite == "metaworld"]


def load(scale: str) -> Study:
    return SCALES[scale].parts[scale]


def predicted(scale: str, rates: Rates) -> list[Line]:
    """The plan of a scale with one study that is measured."""
    return predict(SCALES[scale], {scale: rates})


def rates_of(study: Study, gpu: bool = False, **seconds: float) -> Rates:
    """Rates that are 0 but for those named."""

    def make(kind: type) -> object:
        return kind(**{field.name: seconds.get(field.name, 0.0) for field in dataclasses.fields(kind)})

    learners = dict.fromkeys((run.learner for run in study.all_runs()), make(LearnerRate))
    return Rates(
        start=seconds.get("start", 0.0),
        tasks=dict.fromkeys({run.task for run in study.all_runs()}, make(TaskRate)),
        collecting=seconds.get("collecting", 0.0),
        evaluating=seconds.get("evaluating", 0.0),
        cpu=learners,
        gpu=learners if gpu else {},
        models={run.imagination.hidden: make(ModelRate) for run in study.all_runs() if run.imagination},
        gridworld=make(GridworldRate),
    )


def by_rule(lines: list[Line]) -> dict[str, Line]:
    return {line.rule: line for line in lines}


def test_the_counts_of_the_paper_scale():
    study = load("paper")
    lines = by_rule(predicted("paper", rates_of(study)))
    # Of 16 environments, episodes of 500 steps in 8 rounds of 64, the last one of 52. Collected are 2,048 + 3.2 M / L
    # x 100,000 steps up to the next round, and one round more; 51 x 10 x 500 steps are evaluated.
    fresh = 4_678 * 8_000 + (5 + 1) * 1_024 + 255_000  # 37,428,948
    stale = 457 * 8_000 + 8_000 + 1_024 + 255_000  # 3,663,375
    lag = 1_462 * 8_000 + (6 + 1) * 1_024 + 255_000  # 2,048 + 117 x 100,000
    assert {rule: line.jobs for rule, line in lines.items()} == {
        **{"train: main grid": 8 * 2 * 10 * 5, "train: sweep ranking": 0, "train: sweep sigma": 0},
        **{"train: sweep vtrace": 8 * 4 * 5, "train: sweep lag": 6 * 4 * 5},
        **{"baseline": 8, "gridworld": 1, "weights": 1, "tables": 5, "claims": 1, "store": 1, "track": 1},
        "figure": len(of_study("metaworld", study.sweeps)),
        "videos": 1,
        "report": 1,
    }
    counted = {rule: (line.cost.env_steps, line.cost.updates) for rule, line in lines.items() if line.cost}
    assert counted == {
        "train: main grid": (400 * fresh + 400 * stale, 80_000_000),
        "train: sweep ranking": (0, 0),
        "train: sweep sigma": (0, 0),
        "train: sweep vtrace": (160 * stale, 16_000_000),
        "train: sweep lag": (120 * lag, 12_000_000),
        "baseline": (8 * 2 * 20 * 500, 0),
        "gridworld": (0, 0),
    }


def test_a_scale_without_sweeps_has_no_figures_of_sweeps():
    study = load("laptop")
    lines = by_rule(predicted("laptop", rates_of(study)))
    assert [rule for rule in lines if rule.startswith("train")] == ["train: main grid"]
    assert (lines["train: main grid"].jobs, lines["tables"].jobs, lines["figure"].jobs) == (
        24,
        1,
        len(of_study("metaworld", ())),
    )


def simulate(run: RunSpec) -> tuple[int, int]:
    """Env steps and refreshed transitions of a run, by going through the engine's rounds."""
    pace = Pace(run.replay.capacity, run.lifetime_updates, run.replay.warmup_steps)
    updates = env_steps = refreshed = rounds = 0
    every = run.learner.refresh_every
    while updates < run.learner.updates:
        if run.replay.rounds == "in-turn":
            env_steps += steps_of_round(run, rounds)
        due = min(pace.updates_due(env_steps), run.learner.updates)
        if every:
            times = len(range(-(-updates // every) * every, due, every))
            refreshed += times * min(env_steps, run.replay.capacity)
        if run.replay.rounds == "overlapped":
            env_steps += steps_of_round(run, rounds)
        updates, rounds = max(updates, due), rounds + 1
    return env_steps, refreshed


def steps_of_round(run: RunSpec, number: int) -> int:
    """Env steps of a round; per episode, the last one is what is left of it."""
    steps, limit = run.replay.segment_length, run.environment.episode_steps
    if run.replay.segments == "per-episode":
        steps = min(steps, limit - number % -(-limit // steps) * steps)
    return run.replay.environments * steps


@pytest.mark.parametrize("scale", METAWORLD)
def test_env_steps_and_refreshed_targets_are_those_of_the_engine(scale: str):
    study = load(scale)
    distinct = {(run.replay, run.learner): run for run in study.all_runs()}
    for run in distinct.values():
        evaluations = 1 + -(-run.learner.updates // run.evaluation.every)
        evaluated = evaluations * run.evaluation.episodes * run.environment.episode_steps
        if run.imagination:
            evaluated += imagination_cost(run, rates_of(study)).env_steps
        cost = run_cost(run, rates_of(study))
        assert (cost.env_steps - evaluated, refreshed_transitions(run)) == simulate(run)


@pytest.mark.parametrize(
    ("rate", "acting", "learning"),
    [
        ("start", 1, 0),
        ("first", 1, 0),
        ("make", 4 + 2 - 1, 0),
        ("reset", 4 + 768 // 50 + 5 * 2, 0),  # 12 rounds of 4 x 16 steps, episodes of 50; 5 evaluations of 2 episodes
        ("step", 768 + 5 * 2 * 50, 0),
        ("collecting", 12 * 16, 0),
        ("evaluating", 5 * 50, 0),
        ("update", 0, 200),
        ("metrics", 0, 20),
        ("target", 0, 768),
    ],
)
def test_the_seconds_of_a_run_are_counts_times_rates(rate: str, acting: int, learning: int):
    study = load("smoke")
    run = study.run("door-open-v3", "stale", "gipo-1-1", 0)
    assert run_cost(run, rates_of(study, **{rate: 0.5})) == Cost(1268, 200, 0.5 * acting, 0.5 * learning)
    on_gpu = run_cost(run, rates_of(study, gpu=True, **{rate: 0.5}))
    assert (on_gpu.acting, on_gpu.gpu_learning) == (0.5 * acting, 0.5 * learning)


def test_refreshing_costs_the_filled_replay_each_time():
    study = load("smoke")
    run = study.run("door-open-v3", "refreshed", "vtrace-gipo-1-1", 0)
    replay = [128, 128, 192, 256, 320, 384, 448, 512, 512, 512]  # at update 0, 20, ..., 180
    assert run_cost(run, rates_of(study, target=1.0)).learning == 768 + sum(replay)


def test_the_seconds_of_the_other_rules():
    study = load("smoke")
    lines = by_rule(predicted("smoke", rates_of(study, start=1000.0, first=100.0, reset=10.0, step=1.0)))
    assert lines["baseline"].cost == Cost(300, acting=1000 + 100 + 6 * 10 + 300)  # 2 policies x 3 episodes x 50 steps
    lines = by_rule(predicted("smoke", rates_of(study, start=1000.0, fixed=10.0, pair=0.5)))
    assert lines["gridworld"].cost == Cost(acting=1000 + 10 + 0.5 * 100)


LINES = [
    Line("train: main grid", 3, Cost(100, 10, acting=7200, learning=36_000, gpu_learning=14_400)),
    Line("gridworld", 1, Cost(acting=3600)),
    Line("report", 1),
]


def test_the_wall_time_is_that_of_full_cores():
    *_, paper, wall = measured_sentences(LINES, cores=2, gpus=0)
    assert "10 H200-hours a run [P], 30 for these 3" in paper
    assert "about 6.5 h on 2 cores without a GPU, perfectly packed" in wall  # (2 + 10 + 1) / 2


def test_with_a_gpu_the_scarcer_one_sets_the_wall_time():
    wall = measured_sentences(LINES, cores=2, gpus=1)[-1]
    assert "about 4 h on 2 cores and 1 GPU" in wall
    assert "6.5 h on the cores alone" in wall
    assert "about 3 h on 1 cores and 2 GPUs" in measured_sentences(LINES, cores=1, gpus=2)[-1]


def test_the_best_way_on_each_node_is_said():
    """Three runs that act for 2,400 s and learn for 12,000 s, or 4,800 s of a GPU, which takes longer than acting."""
    scale = SCALES["smoke"]
    small, large, with_gpus = node_sentences(LINES, scale, has_gpu=True)
    assert small == "On a node of 16 such cores: about 3.3 h, 3 runs at once, one env worker each."
    assert "96 such cores: about 3.3 h" in large
    assert "96 such cores and 8 such GPUs: about 1.3 h, 3 runs at once, 1 to a GPU" in with_gpus
    assert node_sentences(LINES, scale, has_gpu=False) == [small, large]


def test_the_table_says_where_there_is_no_gpu(capsys: pytest.CaptureFixture[str]):
    lines = [Line(line.rule, line.jobs, line.cost and dataclasses.replace(line.cost, gpu_learning=0)) for line in LINES]
    show(lines, SCALES["smoke"], has_gpu=False)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train:", "main", "grid", "3", "100", "10", "12", "–"] in rows
    assert ["report", "1", "minutes"] in rows
    assert ["total", "5", "100", "10", "13", "–"] in rows


def test_the_table_splits_the_hours_where_there_is_a_gpu(capsys: pytest.CaptureFixture[str]):
    show(LINES, SCALES["smoke"], has_gpu=True)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train:", "main", "grid", "3", "100", "10", "2", "4"] in rows


def test_the_table_of_the_paper_scale_fits_into_80_columns(capsys: pytest.CaptureFixture[str]):
    study = load("paper")
    show(predicted("paper", rates_of(study, step=1e-3)), SCALES["paper"], has_gpu=False)
    table = capsys.readouterr().out.partition("Env steps")[0]
    assert "…" not in table
    assert "18,704,411,200" in table


def test_the_libero_scale_costs_what_the_model_of_the_engine_says():
    lines = by_rule(predict(SCALES["libero"], {}))
    runs = 4 * 2 * 3 * 3
    assert {rule: line.jobs for rule, line in lines.items()} == {
        **{"pretrained": 4, "libero_assets": 1, "train_libero: main grid": runs, "gridworld": 1, "weights": 1},
        **{"tables": 1, "claims": 1, "figure": len(of_study("libero", ())), "store": 1, "track": 1, "report": 1},
    }
    cost = lines["train_libero: main grid"].cost
    assert cost.updates == runs * 30_000
    # No update is faster than its three passes of 14, and a run with fresh data plays 25 chunks of 8 steps for each.
    assert cost.gpu_learning > runs * 8 * 30_000 * 3 * 0.5
    assert cost.env_steps == pytest.approx(runs / 2 * 64_000 * 8 * (1 / 0.0855 + 1 / 0.874), rel=0.15)
    words = " ".join(counted_sentences(list(lines.values())))
    assert "8 H200 for about 48 h a run [P]" in words


def test_the_largest_job_of_each_rule_is_told():
    metaworld, libero = size_sentences(SCALES["full"])
    # The lag sweep's longest lifetime keeps 117 x 100,000 transitions: once on disk, five times read.
    disk, memory = 11.7e6 * 210 / 1e9, 1.5 + 5 * 11.7e6 * 210 / 1e9
    assert (
        metaworld
        == f"A job of train: up to {memory:.1f} GB of memory, and {disk:.1f} GB of files until it is finished."
    )
    # 64,000 frames, and 126 million weights with two moments each
    disk = (64_000 * (224 * 224 * 3 + 600) + 126e6 * 12) / 1e9
    assert f"A job of train_libero: up to 65.9 GB of memory, and {disk:.1f} GB of files" in libero


def test_a_tiny_model_has_no_gpu_hours(capsys: pytest.CaptureFixture[str]):
    show(predict(SCALES["libero-smoke"], {}), SCALES["libero-smoke"], has_gpu=False)
    out = capsys.readouterr().out
    assert "nothing was measured as a whole. A tiny model" in out
    assert "H200" not in out


def test_a_scale_of_two_suites_is_the_sum_of_both(capsys: pytest.CaptureFixture[str]):
    rates = rates_of(load("paper"), step=1e-3)
    paper, libero = by_rule(predicted("paper", rates)), by_rule(predict(SCALES["libero"], {}))
    full = by_rule(predict(SCALES["full"], {"paper": rates}))
    for rule in ("train: main grid", "train: sweep vtrace", "train: sweep lag", "baseline"):
        assert full[rule] == paper[rule]
    for rule in ("train_libero: main grid", "pretrained", "libero_assets"):
        assert full[rule] == libero[rule]
    assert (full["tables"].jobs, full["claims"].jobs, full["join_scorecards"].jobs, full["report"].jobs) == (6, 2, 1, 1)
    show(list(full.values()), SCALES["full"], has_gpu=False)
    out = capsys.readouterr().out
    table = out.partition("Env steps")[0]
    assert "…" not in table
    of_libero = libero["train_libero: main grid"].cost
    env_steps = f"{18_704_411_200 + of_libero.env_steps:,}"
    hours = f"{of_libero.gpu_learning / 3600:,.0f}"
    assert re.search(rf"^total +1,\d{{3}} +{env_steps} +110,160,000 .* {hours} *$", table, re.MULTILINE)
    assert "10,800 for these 1,080" in out
    assert "nothing was measured as a whole: a simulation of the engine" in out


def test_the_timed_learner_moves_its_policy():
    run = load("smoke").runs()[0]
    learner = made_up_learner(run, CPU)
    learner.updates += 1  # the first one has a learning rate of 0
    before = learner.policy.vector.detach().clone()
    learner.update(random_index(learner))
    learner.check()
    assert not torch.equal(learner.policy.vector, before)


def test_every_rate_of_a_learner_is_measured():
    rate = learner_rate(load("smoke").run("door-open-v3", "refreshed", "vtrace-gipo-1-1", 0), CPU)
    assert all(value > 0 for value in dataclasses.astuple(rate))


@pytest.mark.parametrize(
    ("named", "seconds"),
    [
        ({"fit": 1.0}, 8 * 600),  # 5,040 updates, a fit every 630
        ({"branch": 1.0}, 5 * 6144 / 0.05),  # all that is in store, twenty times
        ({"target": 1.0}, 5 * 6144 / 0.05),
        (
            {"alone": 1.0},
            8 * 32 * (42 + 16),
        ),  # 32 branches at each evaluation, from the 42nd step on average
        ({"step": 1.0}, 8 * 32 * (42 + 16)),
    ],
)
def test_a_world_model_costs_its_fits_its_branches_and_their_comparison(named: dict[str, float], seconds: float):
    study = load("imagination")
    run = study.run("handle-press-v3", "stale-imagined-5", "gipo-1-1", 0)
    assert imagination_cost(run, rates_of(study, **named)).learning == pytest.approx(seconds)
    plain = study.run("handle-press-v3", "stale", "gipo-1-1", 0)
    both = [run_cost(one, rates_of(study, **named)) for one in (run, plain)]
    assert both[0].learning - both[1].learning == pytest.approx(seconds)
