"""The configurations that ship with the package, one YAML file each."""

from importlib import resources


def preset_names() -> list[str]:
    """Names of the presets, sorted."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """The YAML of a preset, comments included. Raises ValueError if there is none of this name."""
    if name not in preset_names():
        raise ValueError(f"no preset {name!r}; there are {', '.join(preset_names())}")
    return (resources.files(__name__) / f"{name}.yaml").read_text("utf-8")
