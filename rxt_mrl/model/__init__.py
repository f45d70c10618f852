"""The model: the Reactive Transformer with its configurations, parts, memory as a value, and generation."""

from .cache import KVCache, MemoryKV, select_memory_kv
from .components import COMPONENTS
from .config import (
    AttentionConfig,
    DecoderConfig,
    EncoderConfig,
    FeedForwardConfig,
    GateConfig,
    InitialMemoryConfig,
    MemoryAttentionConfig,
    MoEConfig,
    RxTConfig,
)
from .decoder import Decoder, DecoderOutput
from .encoder import Encoder
from .generation import Generation, generate
from .heads import Critic, MLMHead
from .memory_attention import MemoryAttention
from .modes import eval_mode, inference
from .presets import PRESETS, preset
from .rxt import RxT
from .sampling import SamplingConfig, filtered_log_probs

__all__ = [
    "COMPONENTS",
    "PRESETS",
    "AttentionConfig",
    "Critic",
    "Decoder",
    "DecoderConfig",
    "DecoderOutput",
    "Encoder",
    "EncoderConfig",
    "FeedForwardConfig",
    "GateConfig",
    "Generation",
    "InitialMemoryConfig",
    "KVCache",
    "MLMHead",
    "MemoryAttention",
    "MemoryAttentionConfig",
    "MemoryKV",
    "MoEConfig",
    "RxT",
    "RxTConfig",
    "SamplingConfig",
    "eval_mode",
    "filtered_log_probs",
    "generate",
    "inference",
    "preset",
    "select_memory_kv",
]
