"""The channel-configuration files that Anycost GAN published: subnets by name, as their channels and resolution."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gan_compress.stylegan2.family import StyleGAN2
from nas.elastic import Supernet
from nas.errors import NasError, UsageError
from nas.files import read_json, write_json
from nas.space import SpaceError, Subnet


def read_channel_configs(path: str | Path, family: StyleGAN2) -> dict[str, Subnet]:
    """Read a published file: the subnet of each name, {"channels": one for each layer, "res": resolution}.

    Raises `NasError` naming the entry that is not a subnet of `family`.
    """
    value = read_json(path)
    if not isinstance(value, dict) or not value:
        raise NasError(
            f'{path} holds no channel configurations; expected {{"name": {{"channels": …, "res": …}}}}'
        )
    found = {}
    for name, entry in value.items():
        try:
            channels, resolution = entry["channels"], entry.get("res", family.resolution)
            found[name] = family.subnet(channels, resolution)
        except (KeyError, TypeError, AttributeError) as error:
            raise NasError(f"{path}: {name!r} lacks its channels or res; give both") from error
        except (SpaceError, UsageError) as error:
            raise NasError(f"{path}: {name!r} is no subnet of this generator: {error}") from error
    return found


def write_channel_configs(
    path: str | Path,
    subnets: Mapping[str, Subnet],
    supernet: Supernet,
    distances: Mapping[str, float] | None = None,
) -> None:
    """Write `subnets` in the published form, with their MACs and, where given, their distance to the full network.

    The published form has channels for every layer of the largest network; layers that a lower resolution leaves out
    are written full.
    """
    family = supernet.family
    if not isinstance(family, StyleGAN2):
        raise UsageError(
            f"{family.name} is no Anycost GAN generator; its subnets have no channel configuration"
        )
    entries = {}
    for name, subnet in subnets.items():
        own = family.channels(subnet)
        entries[name] = {
            "channels": [*own, *family.full[len(own) :]],
            "res": family.resolution_of(subnet),
            "macs": supernet.count(subnet).macs,
        }
        if distances is not None:
            entries[name]["dist"] = distances[name]
    write_json(path, entries)
