"""schemathesis reads the document and tries to prove it wrong: examples, bounds, fuzzing, sequences."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import NonFatalError, ScenarioFinished

from recsys.search.query import MAX_IMAGES
from recsys.workspace.normalise import FORMATS
from tests.embedding.catalogs import make_image

IMAGES = [make_image(seed) for seed in range(3)]

# What JSON Schema cannot say: what is an image, and which years a database keeps.
schemathesis.openapi.format("image", st.sampled_from([base64.b64encode(p).decode() for p in IMAGES]))
for kind in FORMATS:
    schemathesis.openapi.media_type(f"image/{kind.lower()}", st.sampled_from(IMAGES))
schemathesis.openapi.format(
    "date-time",
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(datetime.isoformat),
)

ADMIN = "key-ada"
_FITS_THE_RULE = {  # a change is right or wrong with the rule as it is kept
    "include-path": "/v1/rules/{id}",
    "include-method": "PATCH",
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "400", "403", "404", "409"]}},
}


@pytest.fixture
def hooks() -> Iterator[None]:
    @schemathesis.hook
    def before_call(context: Any, case: Any, kwargs: Any) -> None:
        """Make right what is meant to be right and JSON Schema cannot say."""
        positive = case.meta is not None and case.meta.generation.mode.is_positive
        if not positive or case.media_type != "application/json" or not isinstance(case.body, dict):
            return
        body = dict(case.body)  # cases share their parts
        if body.get("left_id") and body["left_id"] == body["right_id"]:
            body["right_id"] = f"no {body['right_id']}"[:256]
        for rule in (body, body.get("rule")):
            if isinstance(rule, dict) and rule.get("starts_at") and rule.get("expires_at"):
                rule["starts_at"] = "1999-01-01T00:00:00Z"
            if isinstance(rule, dict) and rule.get("target_value") == rule.get("scope_value") is not None:
                rule["target_value"] = f"no {rule['target_value']}"[:256]  # nothing is its own neighbour
        case.body = body

    @schemathesis.hook
    def filter_case(context: Any, case: Any) -> bool:
        """Leave out a form whose files and whose query's images are too many only together."""
        form = case.body if case.media_type == "multipart/form-data" else None
        parts = (form, form.get("query")) if isinstance(form, dict) else ()
        images = [part["images"] for part in parts if isinstance(part, dict) and "images" in part]
        return sum(len(some) if isinstance(some, list) else 1 for some in images) <= MAX_IMAGES

    yield
    schemathesis.hooks.unregister_all()


def test_the_document_holds(keyed_app: FastAPI, hooks: None) -> None:
    settings = {
        "base-url": "http://localhost",
        "headers": {"Authorization": f"Bearer {ADMIN}"},
        "seed": 3,
        "generation": {"max-examples": 15},
        "operations": [_FITS_THE_RULE],
        "checks": {"use_after_free": {"enabled": False}},  # what is retired can be seen and restored
    }
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json",
        keyed_app,
        config=SchemathesisConfig.from_dict(settings),
        headers={"host": "localhost"},
    )
    failures, operations, num_requests = [], set(), 0
    for event in from_schema(schema).execute():
        assert not isinstance(event, NonFatalError), event.info
        if isinstance(event, ScenarioFinished):
            num_requests += len(event.recorder.interactions)
            operations.add(event.recorder.label)
            failures += _failures(event.recorder)
    assert not failures, "\n\n".join(failures[:5])
    assert num_requests > 2000
    documented = {f"{m.upper()} {p}" for p, of in keyed_app.openapi()["paths"].items() for m in of}
    assert documented <= operations


def _failures(recorder: Any) -> Iterator[str]:
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                interaction = recorder.interactions.get(case_id)
                answer = interaction.response.content[:500] if interaction and interaction.response else b""
                failure = check.failure_info.failure
                yield (
                    f"{recorder.label}: {failure.title}: {failure.message[:500]}\n"
                    f"{check.failure_info.code_sample[:1000]}\n→ {answer!r}"
                )
