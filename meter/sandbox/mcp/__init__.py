"""The provider's thirteen tools over MCP: other names and another envelope around the same routes."""
