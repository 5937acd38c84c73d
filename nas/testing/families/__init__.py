"""What every family must do, and the core takes for granted.

Subclass `RegisteredFamilySuite` in a test module, under a name that begins with `Test`, and give it a `case`:

    class TestMine(RegisteredFamilySuite):
        case = FamilyCase(lambda: get_family("mine", classes=3))

`FamilySuite` is for a family without an entry point. The tests find that a subnet of the supernet, its extracted
network and its ONNX file compute the same; that counts are those of the extracted network; that gradients and
statistics reach the slices that ran and nothing else; that sorting and calibration change what they should; that
subnets of all kinds stay in the space and are written and read back.
"""

from nas.testing.families._calibration import CalibrationTests
from nas.testing.families._case import FamilyCase, Supernets, randomise, some_subnets
from nas.testing.families._counts import Counting
from nas.testing.families._gradients import Gradients
from nas.testing.families._outputs import Outputs
from nas.testing.families._parts import Parts
from nas.testing.families._programs import ProgramsTests
from nas.testing.families._registered import Registered
from nas.testing.families._sorting import Sorting
from nas.testing.families._space import Spaces
from nas.testing.families._state import StateTests

__all__ = ["FamilyCase", "FamilySuite", "RegisteredFamilySuite", "randomise", "some_subnets"]


class FamilySuite(
    Outputs,
    Counting,
    Gradients,
    Parts,
    ProgramsTests,
    Sorting,
    CalibrationTests,
    Spaces,
    StateTests,
    Supernets,
):
    """Tests of one family; `case` says which."""


class RegisteredFamilySuite(Registered, FamilySuite):
    """The same for a family with a name: an entry point in the group "anyfit.families"."""
