"""Parquet tables: columns declared once, written whole, checked on every read.

Here are the tables that training and the baselines write. What is made of them is declared in `gipo.analysis.collect`:
a change of those tables does not concern training.

Columns are named in the order in which they are written. Floats may be NaN, strings may be null, and so
may `git_dirty`, where git does not know. Nothing else may.
"""

import io
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gipo.errors import GipoError, lacks_memory, shortened
from gipo.files import atomic_path

Schema = dict[str, str]

_STEP = {"update": "int64", "env_steps": "int64"}
_EPISODE = {"episode": "int64", "return": "float64", "success_any": "bool", "success_last": "bool"}

STATISTICS = (
    *("loss_policy", "loss_value", "entropy", "kl", "grad_norm_policy", "grad_norm_value", "learning_rate"),
    *("explained_variance", "gap_mean", "gap_q05", "gap_q50", "gap_q95", "old_frac", "d95"),
    *("rho_q05", "rho_q50", "rho_q95", "outside_clip"),
    *("dead", "suppressed", "near_zero", "near_zero_old", "old_share", "ess_eff_old"),
    *("near_zero_code", "near_zero_old_code", "suppressed_code"),
)
"""Columns of metrics.parquet that the learner logs of an update; docs/metrics.md has their formulas."""

RUN_METRICS: Schema = _STEP | dict.fromkeys(("train_return", "train_success", *STATISTICS), "float64")
RUN_EVALUATION: Schema = _STEP | _EPISODE
RUN_IMAGINATION: Schema = (
    _STEP
    | dict.fromkeys(("fits", "fit_steps"), "int64")
    | dict.fromkeys(("held_out", "kept"), "float64")
    | dict.fromkeys(("branch", "start", "horizon"), "int64")
    | dict.fromkeys(("error", "still", "disagreement"), "float64")
    | dict.fromkeys(("reward_imagined", "reward_real", "success_imagined"), "float64")
    | {"success_real": "bool"}
)
"""Columns of imagination.parquet: what `gipo.imagination.checks.check` gives, and of the model by then the fits, the
steps and held-out loss of the latest one, and the mean length of the branches in store."""
BASELINES: Schema = {"task": "string", "policy": "string"} | _EPISODE

PROVENANCE: Schema = {
    **dict.fromkeys(("finished_at", "git_commit"), "string"),
    "git_dirty": "bool",
    **dict.fromkeys(("code_digest", "lock_digest", "host", "cpu"), "string"),
    "cores": "int64",
    **dict.fromkeys(("python", "libraries", "device"), "string"),
    "wall_seconds": "float64",
    **dict.fromkeys(("env_steps", "updates"), "int64"),
    **dict.fromkeys(("env_steps_per_second", "updates_per_second"), "float64"),
    "interruptions": "int64",
    "numeric_classes": "string",
}
"""How a run was made: `gipo.runs.provenance.Provenance`, the machine of its last attempt (`gipo.runs.manifest.Attempt`;
``libraries`` is a JSON object), and the numeric classes of all attempts, a JSON list."""


def write_table(path: Path, frame: pd.DataFrame, schema: Schema) -> None:
    """Write `frame` as parquet, atomically; equal frames give equal bytes.

    Raises:
        ValueError: The columns of `frame` are not those of the schema, or hold other types.
    """
    content = table_bytes(frame, schema)
    with atomic_path(path) as tmp:
        tmp.write_bytes(content)


def table_bytes(frame: pd.DataFrame, schema: Schema) -> bytes:
    """The same as the content of a file."""
    if difference := sorted(set(frame.columns) ^ set(schema)):
        raise ValueError(f"columns {difference} are in only one of the table and its schema")
    try:
        table = pa.Table.from_pandas(frame, schema=_arrow(schema), preserve_index=False)
    except pa.ArrowException as error:
        if lacks_memory(error):
            raise
        raise ValueError(str(error)) from error
    file = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), file, write_page_checksum=True)
    return file.getvalue()


def read_table(path: Path, schema: Schema) -> pd.DataFrame:
    """Read the declared columns of a parquet file, in declared order.

    Raises:
        GipoError: The file is missing, truncated or corrupt, or a column is missing or has another type; the message
            names the file and the column.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GipoError(f"cannot read {path}: {error.strerror}") from error
    return parse_table(content, path, schema)


def parse_table(content: bytes, path: Path, schema: Schema) -> pd.DataFrame:
    """The same, of content that was read from `path` and checked by whoever has its manifest."""
    expected = _arrow(schema)
    try:
        with pq.ParquetFile(io.BytesIO(content), page_checksum_verification=True) as file:
            _check_columns(path, file.schema_arrow, expected)
            table = file.read(expected.names)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        if lacks_memory(error):
            raise
        raise GipoError(f"{path} is truncated or corrupt, expected parquet: {shortened(str(error))}") from error
    table = table.select(expected.names)
    for field in expected:
        if not field.nullable and table[field.name].null_count:
            raise GipoError(f"{path}: column {field.name!r} has missing values")
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _arrow(schema: Schema) -> pa.Schema:
    return pa.schema([pa.field(c, pa.type_for_alias(t), nullable=_nullable(c, t)) for c, t in schema.items()])


def _nullable(column: str, kind: str) -> bool:
    return kind in {"float64", "string"} or column == "git_dirty"


def _check_columns(path: Path, found: pa.Schema, expected: pa.Schema) -> None:
    for field in expected:
        if field.name not in found.names:
            raise GipoError(f"{path}: column {field.name!r} is missing")
        if (kind := found.field(field.name).type) != field.type:
            raise GipoError(f"{path}: column {field.name!r} is {kind}, expected {field.type}")
