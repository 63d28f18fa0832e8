"""What gpu-scheduler is for, in one sentence."""
