# GPU nodes: docs/runbooks/gpu-node.md. What runs on such a machine itself is gpu-node/.

.PHONY: gpu-node gpu-node-remove gpu-nodes

gpu-node: ## let a GPU node join: make gpu-node ADDRESS=192.168.1.20 NAME=forge [WAKE=aa:bb:cc:dd:ee:ff] (root)
	@setup/gpu-node.sh add "$(NAME)" "$(ADDRESS)" "$(WAKE)"

gpu-node-remove: ## a GPU node belongs to the house no longer: make gpu-node-remove NAME=forge (root)
	@setup/gpu-node.sh remove "$(NAME)"

gpu-nodes: ## list the GPU nodes of the house
	@setup/gpu-node.sh list
