"""The house's memory for AI clients: MCP over streamable HTTP, under a personal access token."""
