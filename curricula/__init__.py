"""The catalogue of recipes: one commented YAML file each, named by an entry point of the group rxt_mrl.curricula."""
