"""The decision: plain data in, actions out. No I/O, no clock, no logging, nothing asynchronous."""

from gpu_scheduler.core.apply import apply
from gpu_scheduler.core.commit import commit
from gpu_scheduler.core.model import Policy, State
from gpu_scheduler.core.plan import plan
from gpu_scheduler.core.policy import household

__all__ = ["Policy", "State", "apply", "commit", "household", "plan"]
