"""Open the model of a run: here, or its replicas on a cluster. The one place that decides."""

from pytest_llmbench.errors import ModelFault
from pytest_llmbench.models.base import Model, OpenSettings
from pytest_llmbench.models.catalog import ModelSpec
from pytest_llmbench.models.entries import ClusterKeys


def cluster_of(spec: ModelSpec) -> ClusterKeys | None:
    """Give the cluster that a model's replicas are on; None for a model that is opened here."""
    keys = getattr(spec.entry, "cluster", None)
    return keys if isinstance(keys, ClusterKeys) else None


def check_openable(spec: ModelSpec) -> None:
    """Check what opening needs beside the provider.

    Raises:
        UsageFault: it is on a cluster, and Ray is not installed.
    """
    if cluster_of(spec) is not None:
        from pytest_llmbench.models.cluster.connection import require_ray

        require_ray(spec.name)


def open_model(spec: ModelSpec, settings: OpenSettings) -> Model:
    """Open a model.

    Raises:
        ModelFault: it cannot be opened.
    """
    keys = cluster_of(spec)
    if keys is None:
        return spec.provider.open(spec.entry, settings)
    from pytest_llmbench.models.cluster.connection import Connection
    from pytest_llmbench.models.cluster.crew import Crew, wanted_replicas
    from pytest_llmbench.models.cluster.model import ClusterModel
    from pytest_llmbench.models.cluster.ray_actors import RayActors

    actors = RayActors(Connection.to(keys), keys, spec.provider, spec.entry, settings)
    crew = Crew(actors, keys, spec.name)
    try:
        crew.open_all(wanted_replicas(actors, keys, spec.name))
    except ModelFault:
        crew.close()
        actors.close()
        raise
    return ClusterModel(actors, crew)
