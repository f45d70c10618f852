"""Rewards: one small file each, written against ``rxt_mrl.contracts`` exactly as a user would write theirs."""
