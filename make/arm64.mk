# Proof for the Raspberry Pi on a machine that is none.

.PHONY: arm64

arm64: ## build every image for arm64 and start each until healthy, emulated (slow; root)
	@nice -n 10 setup/arm64.sh
