from .drift import Drift as Drift, measure_drift as measure_drift
from .fingerprint import (
    cached_profiles as cached_profiles,
    machine_fingerprint as machine_fingerprint,
    profile_path as profile_path,
)
from .measure import Measurement as Measurement
from .profile import (
    SAMPLES as SAMPLES,
    Profile as Profile,
    cached_profile as cached_profile,
    load_profile as load_profile,
)
from .profiling import better_profile as better_profile, build_profile as build_profile
from .runtimes import (
    Runtime as Runtime,
    chosen_runtime as chosen_runtime,
    default_runtime as default_runtime,
    get_runtime as get_runtime,
    runtime_names as runtime_names,
)
from .units import format_bytes as format_bytes, format_count as format_count, format_ms as format_ms
from .workload import (
    Workload as Workload,
    available_cores as available_cores,
    default_threads as default_threads,
)
