from ._folder import (
    RUNNING as RUNNING,
    RunFolder as RunFolder,
    free_name as free_name,
    is_alive as is_alive,
    own_process as own_process,
)
from ._model_testbed import ModelTestbed as ModelTestbed, open_testbed as open_testbed
from ._outcome import Choice as Choice, Outcome as Outcome, pace_sentence as pace_sentence
from ._picture import pareto_figure as pareto_figure
from ._problem import Problem as Problem
from ._testbed import Testbed as Testbed
from ._trials import SAMPLERS as SAMPLERS
from .budget import Budget as Budget
from .candidates import Candidates as Candidates, read_candidates as read_candidates
from .config import SearchConfig as SearchConfig
from .design import Design as Design, measure_design as measure_design
from .run import new_run as new_run, resume_run as resume_run, stored_outcome as stored_outcome
from .sampler import AnyfitSampler as AnyfitSampler
from .scorer import (
    Predictor as Predictor,
    Scorer as Scorer,
    load_scorer as load_scorer,
    predictor_errors as predictor_errors,
)
