"""TinyStories: stories as plain texts, and dialogues about them made by rules."""

from __future__ import annotations

from .dialogues import TinyStoriesOptions, continuation, dialogue_records, shorten, story_pairs, story_records

__all__ = ["TinyStoriesOptions", "continuation", "dialogue_records", "shorten", "story_pairs", "story_records"]
