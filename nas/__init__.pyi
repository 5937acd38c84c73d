from .progress import Progress as Progress
from .api import (
    Comparison as Comparison,
    Evaluation as Evaluation,
    Exported as Exported,
    Measurements as Measurements,
    Model as Model,
    Pruning as Pruning,
    Quantization as Quantization,
    SearchAnswer as SearchAnswer,
    SearchResult as SearchResult,
    TrainingResult as TrainingResult,
    compare as compare,
    load as load,
    search_zoo as search_zoo,
)

__version__: str
__all__: list[str]
