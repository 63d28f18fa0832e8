"""Names that travel on every hop, without pydantic."""

CALLER_HEADER = "X-Lares-Caller"
SERVICE_HEADER = "X-Lares-Service"  # which service calls; the networks say who can
TIER_HEADER = "X-Lares-Max-Tier"  # the most private tier in a prompt
CLASS_HEADER = "X-Lares-Class"  # how urgent a model's answer is: voice, interactive, agent or batch
AGENT_HEADER = "X-Lares-Agent"  # which agent asks a model
FENCE_HEADER = "X-Lares-Fence"  # of a grant, on a request to a GPU node
REQUEST_HEADER = "X-Lares-Request"  # the request's id; each (fence, id) is taken once
