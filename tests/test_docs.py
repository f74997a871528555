"""The documentation points at things that exist, its commands compose and its examples run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from envs.data import file
from experiments import (
    audit,
    compare,
    coverage,
    cross_validate,
    known_answers,
    ledger,
    null_rates,
    predictors,
    reachability,
    reproduce,
    show,
)
from experiments.cli import checked
from experiments.evaluation.evidence import evaluate
from tests.trajectories import simulate

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
MODULE = re.compile(r"python -m ((?:envs|agents|networks|experiments|benchmarks)(?:\.\w+)*)")
TARGET = re.compile(r"^make (\w+)", re.MULTILINE)
PLACEHOLDER = "RUN_DIR"
# Programs that need nothing but their arguments.
SIMULATING = (coverage, null_rates, predictors, reachability)


def blocks(page, language):
    """The code blocks of a page in one language."""
    return [text for name, text in BLOCK.findall(page.read_text()) if name == language]


def commands():
    """`(page, arguments)` of every shell command of ours, comments left out."""
    found = []
    for page in PAGES:
        for block in blocks(page, "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:2] == ["python", "-m"] and words[2].startswith("experiments."):
                    found.append(pytest.param(words[2:], id=f"{page.name}: {' '.join(words[2:])}"))
    return found


def anchors(page):
    """The headings of a page as its readers link to them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page):
    text = page.read_text()
    for module in MODULE.findall(text):
        path = ROOT / Path(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
    makefile = (ROOT / "Makefile").read_text()
    for target in TARGET.findall("\n".join(FENCE.findall(text))):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name}: make {target}"


@pytest.mark.parametrize("words", commands())
def test_commands_compose(words, tmp_path, monkeypatch, capsys):
    """Each command is read as its program reads it; nothing is trained."""
    monkeypatch.chdir(tmp_path)
    module, arguments = words[0], words[1:]
    if module == "experiments.run":
        (tmp_path / PLACEHOLDER).mkdir()
        (tmp_path / PLACEHOLDER / "config.yaml").write_text("name: begun\n")
        checked(arguments)
    elif module in {p.__name__ for p in SIMULATING}:
        program = {p.__name__: p for p in SIMULATING}[module]
        program.command_line().parse_args(arguments)
    elif module == "experiments.known_answers":
        chosen = known_answers.command_line().parse_intermixed_args(arguments)
        names = {word for word in chosen.recipes if "=" not in word}
        assert names <= set(known_answers.recipes())
    elif module in ("experiments.audit", "experiments.cross_validate"):
        program = {p.__name__: p for p in (audit, cross_validate)}[module]
        audit.compose(program.command_line().parse_intermixed_args(arguments).overrides)
    else:
        program = {p.__name__: p for p in (compare, ledger, reproduce, show)}[module]
        # argparse would raise SystemExit; here only the folder is missing.
        assert program.main(arguments) == 2
        assert "no such f" in capsys.readouterr().err


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page, tmp_path, monkeypatch, capsys):
    """Python blocks run in their order, as one program; what README shows is what is printed."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        if PLACEHOLDER not in block:
            exec(compile(block, str(page), "exec"), names)
    printed = capsys.readouterr().out
    assert printed == "".join(blocks(page, "text")) or page.name != "README.md"


def test_the_example_of_a_file_is_read(tmp_path):
    (tmp_path / "prices.csv").write_text(blocks(ROOT / "README.md", "csv")[0])
    market = file(tmp_path / "prices.csv", benchmark="SPY")
    assert market.symbols == ("AAPL", "MSFT") and market.n_rows == 4
    assert market.close[0, 0] == 75.09 and market.benchmark is not None


def test_results_as_markdown():
    paths = {
        "ppo": [simulate("ppo", seed=seed, activity=0.5) for seed in (0, 1)],
        "equal_weight": [simulate("equal_weight")],
    }
    evidence = evaluate(paths, baselines=["equal_weight"], agents=["ppo"], n_bootstrap=50)
    facts = {
        "command": "python -m experiments.run +exp=ppo_portfolio",
        "started": "2026-11-21T09:10:35+00:00",
        "seconds": 61.4,
        "git": {"commit": "0123456789abcdef", "dirty": True},
        "machine": {"processor": "a processor", "cpu_count": 2},
    }
    text = show.markdown(evidence, facts, show.headline(evidence))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4 and len({row.count("|") for row in rows}) == 1
    growth = evidence.strategies["ppo"].metrics["cagr"].value
    assert rows[2].startswith(f"| PPO, 2 seeds | {growth * 100:.1f} % [".replace("-", "−"))
    verdict = evidence.difference("ppo", "equal_weight", "cagr").verdict
    assert rows[3].endswith(" unclear |" if verdict.startswith("not") else f" {verdict} |")
    assert "commit 0123456789 with local changes, 61 s on a processor, 2 cores" in text
