"""Programs that measure: tables for people, and one JSON object on the last line for scripts."""
