"""Functions of any origin work with two workers as with one: of a script, a notebook, a file, or nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
board = benchmark.evaluate(mine, scenarios=["paper-F4"], n_seeds=1, workers=2, out=Path("out"))
print("SCORED", float(board.set_index("method").loc[NAME, "rmse"]) < 0.05)
"""

TOP = """
import functools, importlib.util, sys, types
from pathlib import Path
import torch
import benchmark

NAME = "mine"
"""

BODY = """
def mine(model, samples, rng):
    features = model.encode(samples.inputs).requires_grad_()
    return torch.autograd.grad(model.classify(features).softmax(1)[:, 1].sum(), features)[0]
"""

SCRIPTS = {
    "a script without a guard": TOP + BODY + RUN,
    "a script with a guard": TOP + BODY + "if __name__ == '__main__':" + RUN.replace("\n", "\n    "),
    "a class of the script": TOP
    + BODY.replace("def mine(", "def call(self, ")
    .replace("\ndef", "\nclass Mine:\n    def")
    .replace("\n    ", "\n        ")
    .replace("class Mine:\n        def", "class Mine:\n    def __call__")
    .replace("__call__ call", "__call__")
    + "mine = Mine()\nNAME = 'Mine'\n"
    + RUN,
    "a closure": TOP + "def make(scale):\n    def mine(model, samples, rng):\n"
    "        features = model.encode(samples.inputs).requires_grad_()\n"
    "        logits = model.classify(features * scale)\n"
    "        return torch.autograd.grad(logits.softmax(1)[:, 1].sum(), features)[0]\n"
    "    return mine\nmine = make(1.0)\n" + RUN,
    "a lambda": TOP + "grad = torch.autograd.grad\n"
    "one = lambda model, it: grad(model.classify(it).softmax(1)[:, 1].sum(), it)[0]\n"
    "mine = lambda model, samples, rng: one(model, model.encode(samples.inputs).requires_grad_())\n"
    "mine.__name__ = NAME\n" + RUN,
    "a partial": TOP
    + BODY.replace("(model,", "(scale, model,")
    + "mine = functools.partial(mine, 1.0)\n"
    + RUN,
    "a file that no name leads to": TOP
    + "Path('elsewhere').mkdir()\n"
    + f"Path('elsewhere/helper.py').write_text('import torch' + {BODY!r})\n"
    + "spec = importlib.util.spec_from_file_location('helper', 'elsewhere/helper.py')\n"
    "helper = importlib.util.module_from_spec(spec); sys.modules['helper'] = helper\n"
    "spec.loader.exec_module(helper)\nmine = helper.mine\n" + RUN,
    "a module made on the spot": TOP + f"made = types.ModuleType('made')\nsys.modules['made'] = made\n"
    f"exec('import torch' + {BODY!r}, made.__dict__)\nmine = made.mine\n" + RUN,
    "a module of the folder": TOP + "from beside import mine\n" + RUN,
    "what a notebook runs": TOP
    + f"cell = {{'torch': torch, '__name__': '__main__'}}\nexec({BODY!r}, cell)\nmine = cell['mine']\n"
    + RUN,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_function_of_any_origin_goes_to_workers(name, tmp_path):
    (tmp_path / "beside.py").write_text("import torch\n" + BODY)
    (tmp_path / "script.py").write_text(SCRIPTS[name])
    done = _run(tmp_path)
    assert "SCORED True" in done.stdout, done.stdout[-2000:] + done.stderr[-3000:]


def test_a_script_needs_no_guard(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPTS["a script without a guard"])
    done = _run(tmp_path)
    assert "SCORED True" in done.stdout, done.stdout[-2000:] + done.stderr[-3000:]


def _run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
