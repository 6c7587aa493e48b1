"""Where the jobs configuration comes from: a variable, or a file that is looked at again and again.

The rim of this package: it alone reads the file. A reload that fails keeps what was in force and says what is wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from slimjobs.core.configuration.jobs import Configuration, ConfigurationReading, read_configuration
from slimjobs.core.configuration.problems import Problem
from slimjobs.core.configuration.relaxed_json import MAX_CHARACTERS
from slimjobs.core.configuration.settings import Settings

MAX_BYTES: Final = 4 * MAX_CHARACTERS  # UTF-8 takes up to four bytes a character


class ConfigurationSource:
    """The configuration in force and what is wrong with the newest text, if that is another one.

    Look once before the start, and stop if there is no configuration then. A file is looked at each second.
    """

    def __init__(self, text: str, file: Path | None = None) -> None:
        self.configuration: Configuration | None = None
        self.problems: tuple[Problem, ...] = ()
        self.file = file
        self._text = text
        self._seen: bytes | str | Problem | None = None

    @classmethod
    def of(cls, settings: Settings) -> ConfigurationSource:
        """The source that the settings name; they never name both."""
        return cls(settings.jobs_configuration, settings.jobs_configuration_file)

    def look(self) -> bool:
        """Read what is there now. True if it differs from what was there last time, readable or not.

        Blocks on the disk: a loop that must not wait calls it in a thread.
        """
        found = self._text if self.file is None else _content(self.file)
        if found == self._seen:
            return False
        self._seen = found
        reading = ConfigurationReading(None, (found,)) if isinstance(found, Problem) else read_configuration(found)
        self.problems = reading.problems
        if reading.configuration is not None:
            self.configuration = reading.configuration
        return True


def _content(file: Path) -> bytes | Problem:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        return Problem("$", 1, 1, f"the file {file} cannot be read: {error.strerror}")
    if len(content) > MAX_BYTES:
        return Problem("$", 1, 1, f"the file {file} has more than {MAX_BYTES} bytes")
    return content
