"""marssep: say what you want to hear, and a live microphone, a file or a track gives you only that."""

from marssep_rt.errors import MarssepError, UsageError
from marssep_rt.query import embed_audio, embed_image, embed_text
from marssep_rt.separator import Separator

__all__ = ["MarssepError", "Separator", "UsageError", "embed_audio", "embed_image", "embed_text"]
__version__ = "0.1.0"
