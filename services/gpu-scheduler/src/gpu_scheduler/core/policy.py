"""The policy of a household, used where `inference/scheduling.yaml` says nothing else."""

from __future__ import annotations

from gpu_scheduler.core.model import ClassPolicy, Policy, ServiceClass


def household() -> Policy:
    """Voice within 4 s, a person within 15 s, an agent within 60 s, and the rest in its own time."""
    return Policy(
        classes={
            ServiceClass.VOICE: ClassPolicy(
                priority=120.0,
                slo_s=4.0,
                queue_max=50,
                wait_max_s=120.0,
                patience_s=0.0,
                drain_after_s=60.0,
                protect_s=60.0,
                weight=8.0,
                dwell_factor=0.1,
                preempt_after_s=0.1,
            ),
            ServiceClass.INTERACTIVE: ClassPolicy(
                priority=25.0,
                slo_s=15.0,
                queue_max=300,
                wait_max_s=600.0,
                patience_s=11.0,
                drain_after_s=240.0,
                weight=4.0,
                dwell_factor=0.25,
            ),
            ServiceClass.AGENT: ClassPolicy(
                priority=5.0,
                slo_s=60.0,
                queue_max=500,
                wait_max_s=1800.0,
                preemptible=True,
                patience_s=45.0,
                drain_after_s=300.0,
                weight=1.0,
                dwell_factor=0.5,
            ),
            ServiceClass.BATCH: ClassPolicy(
                priority=0.0,
                slo_s=600.0,
                queue_max=1000,
                wait_max_s=7200.0,
                preemptible=True,
                patience_s=1.0,
                drain_after_s=600.0,
                weight=0.25,
                dwell_factor=0.5,
            ),
        }
    )
