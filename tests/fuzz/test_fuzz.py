"""Whatever comes from outside gives rows, reason codes or an error that says what is wrong."""

import contextlib
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.errors import InputError
from recsys.index.edge import EdgeCollection
from recsys.index.filters import parse
from recsys.search.candidates import check_filter
from recsys.workspace.product import PAYLOAD_COLUMNS, TEXT_COLUMNS
from tests.fuzz import inputs

TARGETS = inputs.targets()
QUICK = settings(derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes()
    | st.sampled_from(["9" * 400, "<b>Sale</b> <![ 50 % off", "1e999", "٣", "\ud800", "<a =\"" * 200])
)  # fmt: skip
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
_COLUMNS = st.sampled_from(
    sorted({"id", "image_link", "additional_image_link", "currency", *TEXT_COLUMNS, *PAYLOAD_COLUMNS})
)


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_input(name: str) -> None:
    data, read = TARGETS[name]
    read(data)
    for seed in range(40):
        read(inputs.mutate(data, random.Random(seed)))


ESCAPED = sorted(path for path in inputs.CORPUS.glob("*~*") if path.name.partition("~")[0] in TARGETS)


@pytest.mark.parametrize("path", ESCAPED, ids=lambda path: path.name)
def test_what_escaped_once(path: Any) -> None:
    TARGETS[path.name.partition("~")[0]][1](path.read_bytes())


@QUICK
@given(st.dictionaries(_COLUMNS | st.text(), _VALUES, max_size=12), st.text(min_size=1))
def test_a_record_of_any_values(values: dict[str, Any], id: str) -> None:
    inputs.record(values)
    inputs.record({**values, "id": id})


@QUICK
@given(_VALUES)
def test_a_filter_of_any_values(value: Any) -> None:
    for column in ("price", "brand", "id", "not", "has_image"):
        with contextlib.suppress(InputError):
            conditions = parse({column: value})
            check_filter(inputs.COLLECTION, conditions)
            EdgeCollection.translator.filter(conditions)
