from .digest import weights_digest as weights_digest
from .module import (
    by_place as by_place,
    tensor_of as tensor_of,
    checked as checked,
    chosen_output as chosen_output,
    copied as copied,
    named as named,
)
from .network import (
    RANDOM as RANDOM,
    NetworkSource as NetworkSource,
    Request as Request,
    SourceNetwork as SourceNetwork,
)
from .opening import (
    network_of as network_of,
    network_source as network_source,
    open_network as open_network,
    remember as remember,
    template as template,
)
from .weights import load_weights as load_weights, weights_file as weights_file
