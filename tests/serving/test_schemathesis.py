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

from recsys.workspace.normalise import FORMATS
from tests.embedding.catalogs import make_image

EXAMPLES = 15
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
        if (
            str((case.path_parameters or {}).get("id")) == "None"
        ):  # an audit entry names a rule or a judgement
            case.path_parameters = {**case.path_parameters, "id": 1}
            kwargs.pop("url", None)
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

    yield
    schemathesis.hooks.unregister_all()


@pytest.mark.xfail(
    strict=False,
    reason="images of a form's query and its files may be 8 together, which JSON Schema cannot say",
)
def test_the_document_holds(keyed_app: FastAPI, hooks: None) -> None:
    settings = {
        "base-url": "http://localhost",
        "headers": {"Authorization": f"Bearer {ADMIN}"},
        "seed": 3,
        "generation": {"max-examples": EXAMPLES},
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
    document = keyed_app.openapi()
    documented = {f"{m.upper()} {p}" for p, methods in document["paths"].items() for m in methods}
    assert documented <= operations


def _failures(recorder: Any) -> list[str]:
    found = []
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                interaction = recorder.interactions.get(case_id)
                answer = interaction.response.content[:500] if interaction and interaction.response else b""
                failure = check.failure_info.failure
                found.append(
                    f"{recorder.label}: {failure.title}: {failure.message[:500]}\n"
                    f"{check.failure_info.code_sample[:1000]}\n→ {answer!r}"
                )
    return found
