"""However many memories leave or come, the process holds a batch of them and their ids."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import pytest

pytestmark = pytest.mark.integration
# LARES_TEST_ROWS=100000 measures what the README says; the bound is the same.
ROWS = int(os.environ.get("LARES_TEST_ROWS", "4000"))
GROWTH_MIB_MAX = 22
SEED = """
INSERT INTO convenience.memory (id, subject_id, text, source_kind, created_at, updated_at, accessed_at)
SELECT gen_random_uuid(), $1, 'On day ' || number || ' I walked to the harbour and saw the boat ' || md5(number::text),
       'seed', moment, moment, moment
FROM generate_series($2::int, $3::int) AS number,
     LATERAL (SELECT '2000-01-01T00:00:00Z'::timestamptz + number * interval '2 hours') AS at (moment)
"""


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["markdown", "jsonl"])
async def test_an_export_and_its_import_grow_the_process_by_a_batch_only(
    api: Any, memory_service: Any, caller_factory: Any, pg: Any, kind: str
) -> None:
    ada, ben = caller_factory(), caller_factory()
    connection = await pg.connect()
    await connection.execute(
        "SELECT set_config('lares.subject', $1, false)", str(ada.caller.subject)
    )
    await connection.execute("SET lares.client = 'person'")
    for start in range(1, ROWS + 1, 5000):
        await connection.execute(SEED, ada.caller.subject, start, min(start + 4999, ROWS))
    await connection.execute("TRUNCATE memory.pending_extraction")
    await api.get("/v1/export", params={"format": kind, "namespaces": "none"}, headers=ada.headers)
    before, most = memory_service.pss_mib(), 0.0
    with tempfile.TemporaryFile() as file:
        params = {"format": kind}
        async with api.stream("GET", "/v1/export", params=params, headers=ada.headers) as answer:
            assert answer.status_code == 200
            number = 0
            async for chunk in answer.aiter_bytes():
                file.write(chunk)
                number += 1
                if number % 40 == 0:
                    most = max(most, memory_service.pss_mib())
        most = max(most, memory_service.pss_mib())
        size = file.tell()
        file.seek(0)
        body = file.read()
    print(f"{kind}: {ROWS} rows, {size} bytes, {before:.1f} MiB before, {most:.1f} at most")
    type_ = "application/zip" if kind == "markdown" else "application/x-ndjson"
    headers = {**ben.headers, "content-type": type_}
    dry = await api.post("/v1/import", content=body, headers=headers, timeout=600)
    assert dry.json()["inserted"] == ROWS, dry.text
    after = memory_service.pss_mib()
    print(f"import, counted: {after:.1f} MiB")
    await connection.close()
    assert max(most, after) - before < GROWTH_MIB_MAX
