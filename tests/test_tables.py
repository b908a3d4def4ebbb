"""Tables are written as declared and checked as declared."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factories import Study
from gipo.analysis.collect import SCHEMAS
from gipo.errors import GipoError
from gipo.tables import BASELINES, RUN_EVALUATION, RUN_METRICS, Schema, read_table, write_table


@pytest.mark.parametrize("schema", [RUN_METRICS, RUN_EVALUATION, BASELINES, *SCHEMAS.values()])
def test_a_missing_column_and_a_wrong_type_are_named(tmp_path: Path, schema: Schema):
    path = tmp_path / "table.parquet"
    value = {"string": "x", "int64": 1, "float64": 0.5, "bool": True}
    frame = pd.DataFrame({name: [value[kind]] for name, kind in schema.items()})
    write_table(path, frame, schema)
    assert list(read_table(path, schema)) == list(schema)
    name = list(schema)[-1]
    frame.drop(columns=name).to_parquet(path)
    with pytest.raises(GipoError, match=rf"table\.parquet: column '{name}' is missing"):
        read_table(path, schema)
    frame.assign(**{name: np.float32(1)}).to_parquet(path)
    with pytest.raises(GipoError, match=rf"table\.parquet: column '{name}' is float, expected"):
        read_table(path, schema)


def test_a_flipped_byte_is_found(small_study: Study):
    path = small_study.runs[0] / "evaluation.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(GipoError, match=r"evaluation\.parquet is truncated or corrupt"):
        read_table(path, RUN_EVALUATION)


def test_missing_values_only_where_they_may_be(small_study: Study):
    path = small_study.runs[0] / "evaluation.parquet"
    frame = pd.read_parquet(path).astype({"episode": "Int64"})
    frame.loc[3, ["episode", "return"]] = None
    frame.to_parquet(path)
    with pytest.raises(GipoError, match="column 'episode' has missing values"):
        read_table(path, RUN_EVALUATION)


def test_writing_a_table_that_is_not_as_declared(small_study: Study, tmp_path: Path):
    frame = pd.read_parquet(small_study.runs[0] / "evaluation.parquet")
    path = tmp_path / "table.parquet"
    for wrong in (frame.assign(new=1), frame.drop(columns="return"), frame.assign(update="x")):
        with pytest.raises(ValueError, match=r"columns|convert"):
            write_table(path, wrong, RUN_EVALUATION)
    assert not path.exists()


@pytest.mark.parametrize("step", ["write", "read"])
def test_little_memory_is_not_called_a_damaged_table(small_study: Study, tmp_path: Path, monkeypatch, step: str):
    def no_memory(*_, **__):
        raise pa.ArrowMemoryError("malloc of size 64 failed")

    path = small_study.runs[0] / "evaluation.parquet"
    frame = read_table(path, RUN_EVALUATION)
    steps = {
        "write": lambda: write_table(tmp_path / "table.parquet", frame, RUN_EVALUATION),
        "read": lambda: read_table(path, RUN_EVALUATION),
    }
    monkeypatch.setattr(pa, "Table", SimpleNamespace(from_pandas=no_memory))
    monkeypatch.setattr(pq, "ParquetFile", no_memory)
    with pytest.raises(MemoryError):
        steps[step]()
