"""Trials, options, questions and scores: what everything else is made of. Pure; imports no other room."""
