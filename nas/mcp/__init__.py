"""A Model Context Protocol server: an agent lists, searches, follows, compares and exports, thin over `nas.api`.

`nas mcp` runs it on stdin and stdout. What takes long is a job (`nas.jobs`) that outlives the client; errors of the
library arrive as the tool's error, in their one sentence.
"""
