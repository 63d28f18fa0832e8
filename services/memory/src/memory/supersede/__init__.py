"""Which memory another one replaces, and which of them answers a question: by the time that it asks for."""
