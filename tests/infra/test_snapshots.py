"""infra/snapshots belongs to the sources: by a digest, and by the compiler where there is the version that wrote it."""

import re
from pathlib import Path

import pytest

from local.settings import APP_DIR
from tests.infra.snapshots import (
    DEPLOYMENTS,
    build,
    digest,
    find_compiler,
    is_version_of_the_snapshots,
    parameter_file,
    run,
    validate_snapshot,
)
from tests.infra.template import SNAPSHOTS, parameters_file


@pytest.fixture(scope="module")
def bicep() -> str:
    compiler = find_compiler()
    if compiler is None or not is_version_of_the_snapshots(compiler):
        pytest.skip("the Bicep CLI that wrote the snapshots is not installed: the digest was checked")
    return compiler


def test_the_snapshots_belong_to_the_sources() -> None:
    assert digest() == (SNAPSHOTS / "digest.txt").read_text().strip(), "run `make infra` after a change in infra/"


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_parameter_file_has_what_azd_passes(name: str) -> None:
    assert (SNAPSHOTS / f"{name}.bicepparam").read_text() == parameter_file(DEPLOYMENTS[name])


def test_there_is_no_other_snapshot() -> None:
    assert {path.name.split(".")[0] for path in SNAPSHOTS.iterdir()} == DEPLOYMENTS.keys() | {"main", "digest"}


def test_every_setting_is_in_a_snapshot() -> None:
    values = {value for value, _ in parameters_file().values()}
    assert {name for environment in DEPLOYMENTS.values() for name in environment} == values


@pytest.mark.timeout(180)
def test_the_compiler_builds_the_template(bicep: str) -> None:
    assert build(bicep) == (SNAPSHOTS / "main.json").read_text()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_compiler_predicts_the_snapshot(name: str, bicep: str) -> None:
    validate_snapshot(bicep, name)


@pytest.mark.timeout(180)
def test_the_compiler_accepts_the_bicep_of_the_guide(bicep: str, tmp_path: Path) -> None:
    guide = (APP_DIR / "docs" / "api-management.md").read_text()
    (text,) = re.findall(r"^```bicep\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    path = tmp_path / "guide.bicep"
    path.write_text(text)
    run(bicep, "build", path, "--stdout")
