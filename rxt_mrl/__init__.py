"""The engine of Memory Reinforcement Learning for Reactive Transformers, with its contracts and its command line."""
