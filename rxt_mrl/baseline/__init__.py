"""The stateless peer: a causal language model of the same size that reads the whole history, trained with TRL."""
