"""The promotion gate: contests, rules, verdicts, approval and the change of champion."""
