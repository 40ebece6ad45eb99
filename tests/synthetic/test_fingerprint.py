from __future__ import annotations

from synthetic import fingerprint
from synthetic.fingerprint import source_fingerprint


def test_the_fingerprint_follows_the_source(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "_ROOT", tmp_path)
    (tmp_path / "package").mkdir()
    file = tmp_path / "package" / "a.py"
    file.write_text("x = 1\n")
    first = source_fingerprint.__wrapped__("package")
    assert source_fingerprint.__wrapped__("package") == first
    file.write_text("x  =  1  # the same\n")
    assert source_fingerprint.__wrapped__("package") == first
    file.write_text("x = 2\n")
    assert source_fingerprint.__wrapped__("package") != first


def test_the_fingerprint_follows_the_versions_of_what_computes(monkeypatch):
    first = source_fingerprint.__wrapped__("synthetic/seeding.py")
    monkeypatch.setattr(fingerprint, "version", lambda _name: "other")
    assert source_fingerprint.__wrapped__("synthetic/seeding.py") != first
