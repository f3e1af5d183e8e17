"""Files of tables: opened, as text, as records; and whether a file can be written."""

import codecs
import csv
import io
import re
import sys
import tempfile
from pathlib import Path

from fastbp import paths
from fastbp.tabular.cells import TableError

#: More than so much of standard input is kept on disk.
MOST_IN_MEMORY = 2**26

#: The line by which a table tells spreadsheets how its fields are separated.
SAYS_DELIMITER = re.compile("sep=(.)", re.IGNORECASE)


def given(name):
    """What a name on the command line stands for: standard input, if it is -, or else a path."""
    if name != "-":
        return name
    if sys.stdin is None:
        raise TableError("There is no standard input to read.")
    return StandardInput(sys.stdin.buffer)


def opened(path):
    """A file to read bytes from: a file as such, since pipes and devices may never end."""
    file = Path(path) if isinstance(path, str) else path
    if isinstance(file, Path):
        paths.check_is_file(file, TableError)
    return file.open("rb")


class StandardInput:
    """A table on standard input, which can be opened as often as a file: it is kept."""

    def __init__(self, stream):
        self.stream = stream
        self.kept = tempfile.SpooledTemporaryFile(MOST_IN_MEMORY)  # noqa: SIM115

    def __str__(self):
        return "standard input"

    def __del__(self):
        self.kept.close()

    def open(self, mode):
        return io.BufferedReader(_FromTheBeginning(self))


class _FromTheBeginning(io.RawIOBase):
    """What has been read of standard input so far, and then the rest of it."""

    def __init__(self, source):
        self.source, self.at = source, 0

    def readable(self):
        return True

    def readinto(self, buffer):
        kept = self.source.kept
        kept.seek(self.at)
        content = kept.read(len(buffer))
        if not content:
            content = self.source.stream.read1(len(buffer))
            kept.write(content)
        buffer[: len(content)] = content
        self.at += len(content)
        return len(content)


class Text:
    """A file as text, for pandas: what is no UTF-8 ends it with a TableError."""

    def __init__(self, file, path):
        self.file, self.path, self.held = file, path, ""
        self.has_quotes = False
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()

    def read(self, size=2**18):
        if self.held:
            text, self.held = self.held[:size], self.held[size:]
            return text
        text = ""
        while not text:
            content = self.file.read(size)
            try:
                text = self.decoder.decode(content, final=not content)
            except UnicodeDecodeError:
                text = "\0"
            if "\0" in text:
                raise TableError(f"{self.path} is not a CSV file in UTF-8.")
            if not content:
                break
        self.has_quotes = self.has_quotes or '"' in text
        return text

    def give_back(self, text):
        self.held = text

    def __iter__(self):  # pandas takes what has it for a file
        return iter(self.read, "")


def can_separate(mark):
    """Whether fields may be separated by that."""
    return len(mark) == 1 and mark.isascii() and not mark.isalnum() and mark not in '"\r\n.+-\0'


def said_delimiter(line):
    """What a line such as ``sep=;`` says that separates fields, or None."""
    said = SAYS_DELIMITER.fullmatch(line.strip('"'))
    return said[1] if said and can_separate(said[1]) else None


def records_of(lines, delimiter, path):
    """Each record with the line it ends on: no blank lines, nor one ahead of all that says what
    separates fields."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    is_first = True
    try:
        for row in reader:
            if len(row) < 2 and not "".join(row).strip():
                continue
            if not (is_first and said_delimiter(delimiter.join(row))):
                yield reader.line_num, row
            is_first = False
    except csv.Error as error:
        raise TableError(f"{path}, line {reader.line_num} is not CSV: {error}.") from None


def records(path, delimiter):
    """Those of a table, the header first."""
    with opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as lines:
        yield from records_of(lines, delimiter, path)


def check_writable(path, keep=None, what="the table"):
    """Raise unless a file can be written, before there is work to lose.

    Parameters
    ----------
    path : Path
    keep : path-like, default=None
        A file that must not be overwritten: what the work reads.
    what : str
        What that is.
    """
    if keep not in (None, "-") and path.exists() and path.samefile(keep):
        raise ValueError(f"{path} is {what} itself: it will not be overwritten.")
    paths.check_writable(path)
