"""A program that trains, kills itself at random moments, and checks what it left: python killed.py RECIPE SEED KILLS.

Everything is imported once. Every attempt is a fork that is killed with -9, whatever it is doing, once it has used a random amount of
processor time; so kills are spread over the whole run on a busy machine, too. Prints one line of JSON per kill: its number and, by
stage, the step that the next attempt will go on from.
"""

import json
import math
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

import torch
import torch._dynamo  # optimizers import it at their first step: seconds that every fork would spend again

from minitron import cli
from minitron.recipe import schema
from minitron.recipe.load import load_recipe
from minitron.stages import data, pretrain, sft, tokenizer  # noqa: F401
from minitron.train import checkpoint  # noqa: F401 (imported before the forks)


def used_seconds(child: int) -> float:
    """The processor time in seconds that a process has used (proc(5), schedstat); infinite once it has ended."""
    if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        return math.inf
    return int(Path(f"/proc/{child}/schedstat").read_text().split()[0]) / 1e9


def attempt(recipe: str, seconds: float | None) -> bool:
    """Runs the recipe up to sft in a fork, killed after `seconds` of processor time (None: never). Returns whether it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            cli.main(["run", recipe, "--to", "sft"])
        except SystemExit as left:
            os._exit(left.code or 0)
        os._exit(0)
    if seconds is not None:
        while used_seconds(child) < seconds:
            time.sleep(0.0005)
        os.kill(child, signal.SIGKILL)  # works even if it has ended by itself: nobody has waited for it yet
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status == 0


def examine(config: schema.Config) -> dict:
    """Checks that all checkpoints with a final name, and those that `best` and `latest` name, are whole; raises MinitronError if not.
    Returns the newest step of each stage."""
    found = {}
    for stage in ("pretrain", "sft"):
        folder = config.layout.stage(stage)
        for pointer in ("best", "latest"):
            if named := checkpoint.pointed(folder, pointer):
                checkpoint.check(named)
        for whole in (folder / "checkpoints").glob("step-*"):
            checkpoint.check(whole)
        if newest := checkpoint.newest_whole(folder):
            checkpoint.load_trainer(newest)
            found[stage] = checkpoint.check(newest)["step"]
    return found


if __name__ == "__main__":
    recipe, seed, kills = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)  # a pool of threads would not survive the fork
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # nor would more cores help such small operations
    config, chance = load_recipe(recipe), random.Random(seed)
    assert attempt(recipe, None)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    whole_seconds = used.ru_utime + used.ru_stime
    os.rename(config.layout.run, config.layout.run.with_name("whole"))
    done, since, ended = 0, 0, False
    while done < kills:
        if ended:  # again from the start: no kill is spent on a run that is over
            os.rename(config.layout.run, config.layout.run.with_name(f"ended-{done}"))
        # An attempt gets a fraction of the whole run's time, so that most end in the middle of it; a larger one after each kill, since
        # beside other programs the same work takes more of the processor's time than it took when the whole run was measured.
        ended = attempt(recipe, chance.uniform(0.0, 0.5 + since / 10) * whole_seconds)
        since = 0 if ended else since + 1
        if not ended:
            done += 1
            print(json.dumps({"kill": done, "steps": examine(config)}), flush=True)
    if not ended:
        assert attempt(recipe, None)
