"""Subjects: what can be measured, an RxT, a stateless language model, and policies whose scores are known."""
