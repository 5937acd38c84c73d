from .verbs.adoption import Adoption as Adoption
from .verbs.adopting import (
    adopt_model as adopt_model,
    adopt_module as adopt_module,
    adopt_network as adopt_network,
)
from .verbs.calibrating import (
    Calibrated as Calibrated,
    CalibrationComparison as CalibrationComparison,
    calibrate_model as calibrate_model,
    compare_model_calibrations as compare_model_calibrations,
)
from .comparison import Comparison as Comparison, compare as compare
from .verbs.compression import (
    Quantization as Quantization,
    quantize_model as quantize_model,
)
from .data import opened as opened
from .describing import Description as Description, describe as describe
from .diagnosis import Check as Check, diagnose as diagnose
from .verbs.exporting import (
    evaluate_artifact as evaluate_artifact,
    export_target as export_target,
    judge as judge,
)
from .figures import (
    Figures as Figures,
    artifact_figures as artifact_figures,
    load_supernet as load_supernet,
    predicted_latency as predicted_latency,
)
from .verbs.importing import import_checkpoint as import_checkpoint
from .listing import Listing as Listing, list_all as list_all
from .verbs.measuring import Measurements as Measurements, measure_model as measure_model
from .loading import load as load
from .model import Model as Model
from .ownership import check_ownership as check_ownership
from .verbs.profiles import (
    import_profile as import_profile,
    measure_drift as measure_drift,
    profile_model as profile_model,
    profile_place as profile_place,
)
from .verbs.pruning import Pruning as Pruning, prune_model as prune_model
from .results import (
    Evaluation as Evaluation,
    Exported as Exported,
    Result as Result,
    SearchAnswer as SearchAnswer,
    SearchResult as SearchResult,
)
from .verbs.searching import resume_search as resume_search, search_model as search_model
from .tables import (
    Table as Table,
    latency_origin as latency_origin,
    latency_words as latency_words,
    parity_table as parity_table,
)
from .targets import find_target as find_target
from .verbs.training import (
    TrainingResult as TrainingResult,
    adopted_start as adopted_start,
    read_training as read_training,
    train_model as train_model,
)
from .verbs.zoo import search_zoo as search_zoo
