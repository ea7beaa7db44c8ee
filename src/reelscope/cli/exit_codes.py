"""What the commands answer to the shell; 0 is success."""

NOTHING_SUCCEEDED = 1
USAGE = 2
INTERRUPTED = 130
"""128 + SIGINT, as shells count (https://www.gnu.org/software/bash/manual, Exit Status)."""
