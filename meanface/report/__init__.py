"""Figures and the pixels they show."""
