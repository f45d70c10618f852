"""rxt-mrl: Memory Reinforcement Learning for Reactive Transformers."""
