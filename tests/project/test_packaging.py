"""What setup.cfg, tox.ini and .ci/run promise."""

from __future__ import annotations

import importlib
import importlib.metadata
import itertools
import os
import re

import pytest

from support.declared import ROOT, SETUP, TOX, lines, names


def entry_points():
    return [line.partition(" = ")[2] for group in SETUP["options.entry_points"].values() for line in lines(group)]


def declared_dependencies():
    """Each line that names a distribution, with the line above it."""
    values = [SETUP["options"]["install_requires"], *SETUP["options.extras_require"].values()]
    values += [section.get("deps", "") for section in TOX.values()]
    wanted = {line for value in values for line in lines(value)}
    for file in ("setup.cfg", "tox.ini"):
        written = [line.strip() for line in (ROOT / file).read_text().splitlines()]
        yield from ((line, above) for above, line in itertools.pairwise(written) if line in wanted)


def test_there_are_three_hard_dependencies():
    assert names(SETUP["options"]["install_requires"]) == {"itsdangerous", "webob", "msgspec"}


def test_every_group_of_dependencies_begins_with_its_reason():
    groups = [(line, above) for line, above in declared_dependencies() if not names(above)]
    unexplained = [line for line, above in groups if not above.startswith("# ")]
    assert groups
    assert unexplained == []


def test_the_tests_install_every_optional_part():
    optional = set(SETUP["options.extras_require"]) - {"test", "docs"}
    named = re.search(r"session_mw\[(.*)\]", SETUP["options.extras_require"]["test"]).group(1)
    assert set(named.split(",")) == optional


@pytest.mark.skipif(os.environ.get("SESSION_MW_REQUIRE_SERVICES") != "1", reason="services are not required here")
def test_nothing_optional_is_missing_where_services_are_required():
    extras = (names(value) for extra, value in SETUP["options.extras_require"].items() if extra != "docs")
    declared = set().union(*extras) - {"session_mw"}
    missing = [name for name in sorted(declared) if not importlib.metadata.version(name)]
    assert missing == []


@pytest.mark.parametrize("target", entry_points())
def test_an_entry_point_leads_to_something_callable(target):
    module, _, attribute = target.partition(":")
    assert callable(getattr(importlib.import_module(module), attribute))


def test_tox_runs_every_python_that_the_metadata_names():
    classifiers = re.findall(r"Python :: (3\.\d+)$", SETUP["metadata"]["classifiers"], re.MULTILINE)
    environments = re.findall(r"py3\d+", TOX["tox"]["env_list"])
    assert environments == ["py" + version.replace(".", "") for version in classifiers]


def test_ci_runs_the_command_of_the_readme():
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    assert "python -m pip install tox && tox" in run.read_text()
