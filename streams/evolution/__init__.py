"""Evolution: old summary and new evidence to a prompt, an answer to a text that may be kept."""
