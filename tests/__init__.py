"""Tests: folders and stems as in lib."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"  # real data, which may not be redistributed
