"""What the service's HTTP interface promises, as an OpenAPI document."""
