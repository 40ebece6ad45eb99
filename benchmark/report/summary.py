"""The answer and the leaderboard of runs as Markdown and as CSV: what stands beside the page."""

from __future__ import annotations

import pandas as pd

from benchmark.findings import Findings
from benchmark.findings.answer import shown, signed
from benchmark.report.choices import choices_note
from benchmark.report.markdown import code, escape
from benchmark.report.markdown import table as markdown
from benchmark.report.sections import title_of
from benchmark.report.text import chance_note, number
from benchmark.statistics import MARGIN

_HEADING = "# Which method should you believe?"

FIRST_LINES = {".md": f"{_HEADING}\n", ".csv": "model,method,targets,rank,rmse,"}
"""Suffix → what the file of a report begins with, and others do not."""

_HEAD = ["method", "model", "targets", "rank", "RMSE ↓", "interval", "skill ↑", "RBO ↑", "RBO corr. ↑"]
_HEAD += ["chance RBO", "on oracle", "scenarios", "calls", "seconds", "failed", "skipped"]


def summary_markdown(findings: Findings) -> str:
    """Return the answer, what it rests on, and the leaderboard of every model."""
    parts = [_HEADING]
    parts += [f"**Beware:** {escape(line)}" for line in findings.warnings]
    agreement = findings.agreement
    parts += [escape(agreement.sentence)] if agreement.sentence else []
    for answer in findings.answer:
        parts.append(escape(answer.headline))
        if answer.details:
            parts.append("\n".join(f"- {escape(line)}" for line in answer.details))
    boards = findings.boards
    for model in boards.models:
        rows = [_row(row) for row in boards.board(model=model).to_dict(orient="records")]
        parts += [f"## Leaderboard on {escape(model)}", markdown(_HEAD, rows)]
    if len(findings.scores):
        parts.append(
            f"Intervals: 95 %, over {boards.over}. Without a rank: not scored on as many results as others. "
            + chance_note(findings.scores)
        )
    choices = choices_note(findings.targets)
    parts += [escape(choices)] if choices else []
    for model, contest in findings.contests.items():
        main, others = contest.standings(contest.main_pairs), contest.standings(contest.scenario_pairs)
        if main:
            rows = [
                [
                    escape(name),
                    signed(it.difference),
                    f"{signed(it.low)} to {signed(it.high)}",
                    it.words,
                    others[name].words if name in others else "–",
                ]
                for name, it in main.items()
            ]
            head = ["method", f"RMSE minus that of {escape(contest.methods[0])}", "95 % interval"]
            head += [f"over {contest.over}", "over scenarios"]
            cut = len(head) - (contest.over == "scenarios")
            parts += [
                f"## Differences on {escape(model)}",
                markdown(head[:cut], [row[:cut] for row in rows]),
            ]
    if any(contest.standings(contest.main_pairs) for contest in findings.contests.values()):
        parts.append(
            f"Worse: a test finds that the method errs more. Within {MARGIN:g} of the best: two one-sided t "
            "tests show that the difference is below that. Not decided: neither is shown. Corrected for the "
            "comparisons with the best (Hsu 1984), level 0.05; intervals are of a pair alone."
        )
    if len(agreement.errors):
        means = agreement.ranks.mean(axis=1)
        rows = [
            [escape(str(method)), f"{means[method]:.1f}", *map(shown, values)]
            for method, values in agreement.errors.iterrows()
        ]
        head = ["method", "mean rank", *(escape(name) for name in agreement.errors)]
        parts += ["## The same scenarios on every network: RMSE", markdown(head, rows)]
    if agreement.left_out:
        out = ", ".join(f"{escape(name)} ({has})" for name, has in agreement.left_out.items())
        parts.append(f"Not compared between networks, with the results that they have: {out}.")
    made = [f"- {escape(title_of(run))}: {code(run.command)}" for run in findings.runs if run.command]
    parts += ["## Made by", "\n".join(made)] if made else []
    return "\n\n".join(parts) + "\n"


def _row(row: dict[str, object]) -> list[str]:
    values = {name: float(value) for name, value in row.items() if isinstance(value, (int, float))}
    low, high = values["low"], values["high"]
    return [
        *(escape(str(row[name])) for name in ("method", "model", "targets")),
        number(values["rank"], 0),
        shown(values["rmse"]),
        "–" if pd.isna(low) else f"{shown(low)} to {shown(high)}",
        *(number(values[name]) for name in ("skill", "rbo", "rbo_corrected", "rbo_chance")),
        shown(values["rmse_oracle"]),
        f"{values['n_scenarios']:.0f}",
        "–" if pd.isna(values["model_calls"]) else f"{values['model_calls']:,.0f}",
        number(values["seconds"], 2),
        *(f"{values[name]:.0f}" for name in ("n_failed", "n_skipped")),
    ]


def board_csv(findings: Findings) -> str:
    """Return the leaderboard of every model as CSV: each method against the truth that it targets."""
    boards = findings.boards
    frames = [boards.board(model=name) for name in boards.models]
    table = pd.concat(frames, ignore_index=True) if frames else boards.rows
    return table.drop(columns=["truth", "family", "images", "is_control"]).to_csv(index=False)
