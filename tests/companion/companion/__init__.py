"""An environment, a reward and a curriculum, installed beside rxt-mrl."""
