from .checks import check_module as check_module
from .derivation import Derivation as Derivation, derive as derive
from .networks.family import DerivedFamily as DerivedFamily
from .proof import prove as prove
from .report import (
    DerivedDimension as DerivedDimension,
    FixedAxis as FixedAxis,
    Proof as Proof,
    Report as Report,
)
