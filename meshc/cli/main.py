"""``meshc``: the group of commands. Each is loaded when it is called, so that ``meshc --help`` stays fast.

Exit status: 0 done, 1 a diagnostic, 2 usage, 3 ``--max-cycles`` exceeded, 4 ``--expect`` differs, 130 Ctrl-C.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

import click
from click.shell_completion import shell_complete

from meshrt import exit_status
from meshrt.terminal import exit_status_of

#: Every command in the order of its use, with the line that ``meshc --help`` shows for it.
COMMANDS = {
    "trace": "Make a model.pt2 from a Hugging Face folder, a GGUF file or a Python function.",
    "coverage": "Say which ops a model uses and how far each one gets.",
    "compile": "Compile a model to a build: programs, weights and manifest.",
    "run": "Run a build on the emulated wafer and report what happened.",
    "check": "Check a build against its target without running it.",
    "opt": "Run passes over an IR text.",
    "passes": "List the passes and their options.",
    "kernels": "List the kernels: distributed algorithms the compiler chooses from.",
    "bench": "Time kernels side by side, beside predictions and lower bounds.",
    "targets": "List the targets, or show one with its sources.",
    "explain": "Explain a diagnostic code.",
}

#: Set by the shell's completion script: ``eval "$(_MESHC_COMPLETE=bash_source meshc)"``.
_COMPLETE = "_MESHC_COMPLETE"

_EPILOG = """\b
Start here:
  meshc trace path/to/hf-model -o model.pt2
  meshc compile model.pt2 -o build --seq 64
  meshc run build --prompt "Gravity is"
"""


class LazyGroup(click.Group):
    """A group that knows its commands by the table above and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; None for a name that is no command."""
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"meshc.cli.{cmd_name}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but a mistyped command gets a suggestion."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, from the table and not from their modules."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        import importlib.metadata  # a tenth of a second that no other option needs

        click.echo(f"meshc {importlib.metadata.version('meshc')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=_EPILOG,
    no_args_is_help=False,
    invoke_without_command=True,
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Say the version.")
@click.pass_context
def group(ctx: click.Context) -> None:
    """Compile a PyTorch language model for a wafer-scale mesh, and run it on an emulated wafer."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def status_of_line(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit status; never raises for what a user can cause."""

    def work() -> int | None:
        # Not group.main(): that ends the process itself where the reader of a pipe has left.
        try:
            with group.make_context("meshc", list(sys.argv[1:] if arguments is None else arguments)) as context:
                result = group.invoke(context)
        except click.exceptions.Exit as end:
            return end.exit_code
        except click.Abort:
            raise KeyboardInterrupt from None
        except click.ClickException as error:
            error.show()
            return exit_status.USAGE
        return result if isinstance(result, int) else exit_status.DONE

    return exit_status_of(work)


def main() -> None:
    """The console script."""
    if shell := os.environ.get(_COMPLETE):
        sys.exit(shell_complete(group, {}, "meshc", _COMPLETE, shell))
    sys.exit(status_of_line())
