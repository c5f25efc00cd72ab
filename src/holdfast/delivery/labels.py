"""Labels: how the objects of a system are told apart on a cluster, by Kubernetes's own names."""


def selector_of(system: str, component: str) -> dict[str, str]:
    """Return what selects the pods of a component; it may never change, for no Deployment's may."""
    return {"app.kubernetes.io/part-of": system, "app.kubernetes.io/component": component}


def labels_of(system: str, component: str) -> dict[str, str]:
    """Return the labels of everything of a component."""
    name = {"app.kubernetes.io/name": component, "app.kubernetes.io/managed-by": "holdfast"}
    return selector_of(system, component) | name
