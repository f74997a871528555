"""The command line around `run`: a misspelling names its near miss, a failure says what to do.

Hydra reports a wrong override without saying what was meant, and a failed job of a sweep only when
the last one is over.
"""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.errors import InputError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

BAD_INPUT, INTERRUPTED, CLOSED = 2, 130, 141


class JobFailed(Exception):
    """A job of a sweep failed and has been reported; the other jobs go on."""

    def __init__(self, status: int) -> None:
        super().__init__(f"exit status {status}")
        self.status = status


def start(main: Callable[[], Any], config_module: str = "hydra_conf") -> None:
    """Checks the command line, runs Hydra's `main`, and exits with a status.

    0: done; 1: a fault of the program, with its traceback; 2: bad input, one line without; 130:
    interrupted; 141: nobody reads what is printed any more.
    """
    from hydra.errors import HydraException

    # Without it Hydra prints a cut traceback and exits by itself.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        sys.argv[1:] = checked(sys.argv[1:], config_module)
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffer would fail once more when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(CLOSED)
    except JobFailed as failure:
        sys.exit(failure.status)
    except (InputError, HydraException) as error:
        complain(str(error))
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


@contextmanager
def reported(run_dir: Path) -> Iterator[None]:
    """Reports a job's failure when it happens: a sweep would keep it until its last job is over."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from experiments.run_folder import remove_empty_run

    sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    where = f"{run_dir}: " if sweep else ""
    try:
        yield
    except InputError as error:
        complain(where + str(error))
        status = BAD_INPUT
        if not (sweep or _was_there()):
            remove_empty_run(run_dir)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        again = f"python -m experiments.run resume={_quoted(run_dir)}"
        if not (run_dir / "config.yaml").exists():
            again = "the same command: nothing had been trained yet"
        print(f"\ninterrupted; go on with: {again}", file=sys.stderr, flush=True)
        raise SystemExit(INTERRUPTED) from None
    except Exception:
        traceback.print_exc()
        status = 1
    else:
        return
    if sweep:
        raise JobFailed(status)
    raise SystemExit(status)


def _was_there() -> bool:
    """Whether the folder may be older than the run: it is resumed, or the user has named it."""
    from hydra.core.hydra_config import HydraConfig

    return any(text.startswith("hydra.run.") for text in HydraConfig.get().overrides.hydra)


def complain(message: str) -> None:
    sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr, flush=True)


# ---------------------------------------------------------------------- before the first job
def checked(argv: Sequence[str], config_module: str = "hydra_conf") -> list[str]:
    """Composes every job of the command without running any, and returns the arguments for Hydra.

    They are those given, except that `resume=RUN_DIR` brings back the overrides of that run and
    writes into its folder.

    Raises:
        InputError: naming the wrong key, option, value or folder, and the near miss.
    """
    from hydra import initialize_config_module
    from hydra._internal.utils import get_args_parser
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    from experiments.overrides import check_job

    args = get_args_parser().parse_args(list(argv))
    elsewhere = args.config_name or args.config_path or args.config_dir or args.experimental_rerun
    if args.help or args.hydra_help or args.info or args.shell_completion or elsewhere:
        return list(argv)
    if args.multirun and args.cfg:
        raise InputError("--cfg shows one job; leave out -m")
    given = list(args.overrides)
    flags = [a for a in argv if a not in given]
    if any(o.startswith("resume=") for o in given):
        if args.multirun:
            raise InputError("resume= goes on with one run; leave out -m")
        given = _resumed(given)
    with initialize_config_module(config_module, version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        try:
            overrides = OverridesParser.create(loader).parse_overrides(given)
            unnamed = [str(o.input_line) for o in overrides if not o.key_or_group]
            if unnamed:
                raise OverrideParseException(unnamed[0], "no key")
        except OverrideParseException as error:
            raise InputError(
                f"{error.override!r} cannot be read; write KEY=VALUE, and quote a value with "
                "spaces or special characters: 'KEY=\"VALUE\"'"
            ) from error
        try:
            jobs = [check_job(job, loader) for job in _jobs(overrides, args.multirun)]
        except (HydraException, OmegaConfBaseException) as error:
            raise InputError(str(error).strip()) from error
        if jobs and not args.cfg:
            _check_folder(jobs[0], args.multirun)
        if args.multirun:
            groups = loader.list_groups("")
            given = [
                str(o.input_line) if o.key_or_group in groups else _for_jobs_only(o)
                for o in overrides
            ]
    return [*flags, *given]


def _for_jobs_only(override: Override) -> str:
    """`key=value` as `key=choice(value)`: Hydra applies what is not swept to the configuration
    without the swept recipes, too, which lacks the keys that only a recipe brings."""
    line = str(override.input_line)
    plain = not (
        override.is_delete() or override.is_sweep_override() or override.is_hydra_override()
    )
    key, _, value = line.partition("=")
    # Hydra has no choice of null.
    return f"{key}=choice({value})" if plain and value and override.value() is not None else line


def _resumed(given: list[str]) -> list[str]:
    """What Hydra is told for `resume=RUN_DIR`: that folder, and nothing else.

    The settings are those that the run saved; others would mix two experiments in one folder.
    """
    text = next(o for o in given if o.startswith("resume=")).removeprefix("resume=").strip("'\"")
    if text in ("", "null"):
        return given
    others = [o for o in given if not o.startswith(("resume=", "hydra."))]
    if others:
        raise InputError(
            f"resume= goes on with the settings that the run was begun with; leave out "
            f"{' '.join(others)}, or start a new run with it"
        )
    folder = Path(text).absolute()
    if not (folder / "config.yaml").is_file():
        names = [p.name for p in folder.parent.glob("*") if p.is_dir() and p != folder]
        near = difflib.get_close_matches(folder.name, names, n=1)
        raise InputError(
            f"resume={text}: no run folder there (config.yaml is missing)"
            + (f"; did you mean {folder.parent / near[0]}?" if near else "")
        )
    if (folder / "report.html").is_file():
        raise InputError(
            f"resume={text}: that run is finished, see {folder / 'report.html'}; "
            "python -m experiments.reproduce runs it again and compares"
        )
    # Hydra's own records in the folder stay those of the run that was begun.
    return [
        f"resume={_quoted(folder)}",
        f"hydra.run.dir={_quoted(folder)}",
        "hydra.output_subdir=null",
    ]


def saved_config(folder: str | Path) -> DictConfig:
    """The resolved configuration that a run saved in its folder.

    Raises:
        InputError: if it cannot be read.
    """
    from omegaconf import DictConfig as Config
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    path = Path(folder) / "config.yaml"
    try:
        cfg = OmegaConf.load(path)
    except (OSError, YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {first_problem(error)}") from None
    if not isinstance(cfg, Config) or not cfg:
        raise InputError(f"{path} is not the configuration of a run; start a new run")
    OmegaConf.set_struct(cfg, True)
    return cfg


def first_problem(error: Exception) -> str:
    """What is wrong with a file of YAML, in one line, with its number where the parser knows it."""
    mark = getattr(error, "problem_mark", None)
    where = "" if mark is None else f" in line {mark.line + 1}"
    lines = str(getattr(error, "problem", None) or error).splitlines()
    return f"{lines[0] if lines else type(error).__name__}{where}"


def _quoted(path: Path) -> str:
    """The path as Hydra's grammar wants it where it holds more than letters, digits and `/._-`."""
    text = str(path)
    plain = all(c.isalnum() or c in "/._-" for c in text)
    return text if plain else "'" + text.replace("'", "\\'") + "'"


def _jobs(overrides: Sequence[Override], sweep: bool) -> list[list[str]]:
    """The override lists of all jobs, as Hydra's own sweeper makes them."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    if sweep:
        return BasicSweeper.split_arguments(list(overrides), max_batch_size=None)[0]
    for override in overrides:
        if override.is_sweep_override():
            line = override.input_line
            raise InputError(f"{line} names several values; add -m to run one after the other")
    return [[str(override.input_line) for override in overrides]]


def _check_folder(cfg: DictConfig, sweep: bool) -> None:
    """Hydra makes the folder before the run starts, and would fail there with a traceback."""
    from experiments.run_folder import open_run_folder

    folder = Path(cfg.hydra.sweep.dir if sweep else cfg.hydra.run.dir).absolute()
    open_run_folder(next(p for p in (folder, *folder.parents) if p.exists()))
