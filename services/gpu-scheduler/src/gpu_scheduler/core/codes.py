"""The codes with which a request is refused; errors.py says of each what its reader can do."""

NOT_OFFERED = "inference.not_offered"  # no node has a model of that name
BANNED = "inference.model_banned"
NEVER_FITS = "inference.never_fits"
QUEUE_FULL = "inference.gpu_queue_full"
TOO_LATE = "inference.deadline_passed"
WAITED = "inference.waited_too_long"
NODE_AWAY = "inference.node_away"
NODE_DRAINING = "inference.node_draining"
FAILING = "inference.model_failing"  # it crashes, or runs out of memory alone
LOST = "inference.instance_lost"  # its model ended under it
GONE = "inference.holder_gone"  # its gateway is gone, or came back too late
AGENT_GONE = "inference.agent_gone"  # nobody is there any more who would read the answer
