"""The scorecard of the paper's claims, and the page that holds it all."""

REPORT_FILES = ["page/*", "*.yaml", "details/*.yaml"]


rule claims:
    input:
        lambda wildcards: all_tables(wildcards.scale),
        rules.weights.output,
        rules.gridworld.output,
    output:
        bound("{scale}", "scorecard", "scorecard.csv"),
    wildcard_constraints:
        scale=any_of(PARTS),
    container:
        image("report")
    resources:
        runtime=analysis_minutes,
    params:
        code=code_digest(
            "gipo.analysis.claims",
            *CATALOGUE,
            data=[
                PACKAGE / "analysis" / "claims.yaml",
                PACKAGE / "analysis" / "rules.yaml",
                PACKAGE / "paper.yaml",
            ],
        ),
        resamples=resamples_of,
        verdicts=lambda wildcards: (
            "--verdicts" if PARTS[wildcards.scale].verdicts else "--no-verdicts"
        ),
    shell:
        "gipo scorecard results/{wildcards.scale} --resamples {params.resamples} {params.verdicts}"


rule join_scorecards:
    input:
        [bound(part, "scorecard", "scorecard.csv") for part in PARTS],
    output:
        bound("{scale}", "scorecard", "scorecard.csv"),
    wildcard_constraints:
        scale=any_of({SCALE} - set(PARTS)),
    container:
        image("report")
    params:
        code=code_digest("gipo.analysis.joined", *CATALOGUE),
    shell:
        "gipo join-scorecards {CONFIG:q} results/{wildcards.scale}"


rule videos:
    input:
        tables_of("{scale}", "tables"),
    output:
        bound("{scale}", "videos", "videos/videos.json"),
    wildcard_constraints:
        scale=any_of(FILMED),
    container:
        image("metaworld")
    resources:
        runtime=lambda wildcards, attempt: attempt
        * (10 + len(PARTS[wildcards.scale].runs()) // 2),
    params:
        code=code_digest(
            "gipo.videos",
            *(
                f"gipo.{place}"
                for name in suites.names()
                if suites.get(name).films
                for place in (f"envs.{name}_camera", f"engines.suites.{name}")
            ),
            *CATALOGUE,
        ),
    shell:
        "gipo videos results results/{wildcards.scale}"


rule report:
    input:
        [bound(part, "videos", "videos/videos.json") for part in FILMED],
        [bound(part, "scorecard", "scorecard.csv") for part in PARTS],
        [all_tables(part) for part in PARTS],
        [
            figure_of(folder, figure)
            for folder, figures in FIGURES.items()
            for figure in figures
        ],
    output:
        report(
            "results/{scale}/report.html",
            caption="../report/page.rst",
            category="Answer",
            labels={"page": "{scale}"},
        ),
        "results/{scale}/manifests/report.json",
    wildcard_constraints:
        scale=re.escape(SCALE),
    container:
        image("report")
    resources:
        runtime=analysis_minutes,
    params:
        code=code_digest(
            "gipo.report",
            *CATALOGUE,
            data=[
                PACKAGE / "paper.yaml",
                *(
                    path
                    for pattern in REPORT_FILES
                    for path in (PACKAGE / "report").glob(pattern)
                ),
            ],
        ),
        titles=[STUDIES.title, *(study.title for study in PARTS.values())],
    shell:
        "gipo report {CONFIG:q} results/{wildcards.scale}"
        " && rm -f results/{wildcards.scale}/report-partial.html"
