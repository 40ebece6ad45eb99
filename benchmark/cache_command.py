"""The ``plumbline cache`` commands: what is kept, whether it is sound, and how to be rid of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmark.terminal import terminal
from synthetic import cache_upkeep
from synthetic.cache import cache_folder
from synthetic.cache_upkeep import Fault
from synthetic.names import printable

app = typer.Typer(help="Look after the cache of features, networks and truths.", no_args_is_help=True)

EXIT_DAMAGED = 1


@app.command("info")
def info() -> None:
    """Say what the cache holds, how large it is and how large it may become."""
    found = cache_upkeep.info(cache_folder())
    console = terminal()
    console.print(f"Cache: {printable(str(found.folder))}", markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for head, justify in (("kind", "left"), ("entries", "right"), ("size", "right"), ("oldest use", "left")):
        table.add_column(head, justify=justify)  # pyright: ignore[reportArgumentType]
    table.add_column("newest use")
    for kind in found.kinds:
        table.add_row(
            kind.kind,
            f"{kind.n_entries:,}",
            size_text(kind.n_bytes),
            _when(kind.oldest_use),
            _when(kind.newest_use),
        )
    limits = {None: "no limit", 0: "off: nothing is read or kept"}
    limit = limits.get(found.limit, f"of {size_text(found.limit or 0)}")
    table.add_row("total", f"{found.n_entries:,}", size_text(found.n_bytes), limit, "(PLUMBLINE_CACHE_LIMIT)")
    console.print(table)
    if found.n_leftovers:
        console.print(
            f"{found.n_leftovers} temporary files of saves, {size_text(found.n_leftover_bytes)}: "
            "'plumbline cache clear' removes those older than a day."
        )
    _list(console, "Not the cache's own:", [Fault(path, "") for path in found.foreign])


@app.command("verify")
def verify() -> None:
    """Check every entry against its checksum; exit code 1 if one is damaged or cannot be read."""
    found = cache_upkeep.verify(cache_folder())
    console = terminal()
    console.print(f"{found.n_sound:,} entries are sound, {len(found.damaged)} damaged.")
    _list(console, "Damaged:", found.damaged)
    _list(console, "Not readable:", found.unreadable)
    _list(console, "Left over:", [Fault(path, "") for path in found.leftovers])
    _list(console, "Not the cache's own:", [Fault(path, "") for path in found.foreign])
    if found.damaged:
        console.print("'plumbline cache clear --damaged' removes it; it is computed anew when needed.")
    if found.damaged or found.unreadable:
        raise typer.Exit(EXIT_DAMAGED)


@app.command("clear")
def clear(
    kinds: Annotated[
        list[str] | None, typer.Argument(help="features, models or truths; all by default")
    ] = None,
    *,
    damaged: Annotated[bool, typer.Option("--damaged", help="damaged entries only")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Remove entries; what is needed again is computed anew."""
    folder = cache_folder()
    if not (yes or damaged):
        typer.confirm(f"Remove {', '.join(kinds) if kinds else 'everything'} from {folder}?", abort=True)
    found = cache_upkeep.clear(folder, kinds or None, damaged_only=damaged)
    console = terminal()
    console.print(f"Removed {found.n_files:,} files, {size_text(found.n_bytes)}.")
    _list(console, "Left:", found.left)


def size_text(n_bytes: float) -> str:
    """Return a number of bytes for people, in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"


def _when(time: datetime | None) -> str:
    return "–" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M")


def _list(console: Console, head: str, faults: list[Fault] | tuple[Fault, ...]) -> None:
    if not faults:
        return
    console.print(head)
    for fault in faults:
        reason = f": {fault.reason}" if fault.reason else ""
        console.print(printable(f"  {fault.path}{reason}"), markup=False, soft_wrap=True)
