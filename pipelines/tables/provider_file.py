"""The provider registry from the file that ships with floodwatch, or from one's own."""

from importlib import resources
from pathlib import Path

from detector.errors import ProviderFileError
from detector.networks.providers import ProviderRegistry

__all__ = ["load_providers"]

_SHIPPED = "providers.toml"


def load_providers(path: Path | None = None) -> ProviderRegistry:
    """Read a provider file, the shipped one when no path is given.

    Raises:
        ProviderFileError: it cannot be read, or with everything that is wrong in it.
    """
    if path is None:
        text = resources.files("detector.networks").joinpath(_SHIPPED).read_text(encoding="utf-8")
        return ProviderRegistry.parse(text, _SHIPPED)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ProviderFileError(str(path), [" no such file: check the path"]) from None
    except IsADirectoryError:
        raise ProviderFileError(str(path), [" it is a directory: name the file in it"]) from None
    except PermissionError:
        raise ProviderFileError(str(path), [" may not be read: check its permissions"]) from None
    except UnicodeDecodeError as error:
        where = f" not UTF-8 at byte {error.start}: save it as UTF-8 text"
        raise ProviderFileError(str(path), [where]) from None
    except OSError as error:
        problem = f" cannot be read ({error.strerror}): check the disk"
        raise ProviderFileError(str(path), [problem]) from error
    return ProviderRegistry.parse(text, str(path))
