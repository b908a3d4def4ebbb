"""From run directories to tidy tables, statistics and verdicts on claims; without torch and without a simulator."""
