"""Recorded with driver.pyi."""
