"""Puts the chat program's sources into the wheel, as minitron/program/go_serve: then `minitron binary` works from any folder.

All else is in pyproject.toml.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
# What building needs: no tests, and none of what they read.
LEFT_OUT = shutil.ignore_patterns("*_test.go", "testdata", "fuzz.sh", "*.wasm")


class WithProgram(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # there the sources are where they are
            target = Path(self.build_lib) / "minitron" / "program" / "go_serve"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / "go_serve", target, ignore=LEFT_OUT)


setup(cmdclass={"build_py": WithProgram})
