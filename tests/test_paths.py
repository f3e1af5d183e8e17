"""Files that are written: each takes its place as a whole, whatever it holds."""

import errno
import os
import stat
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from founding import founding

from fastbp import paths, plotting
from fastbp.__main__ import main
from fastbp.explain import explain_step
from fastbp.lessons import picture

YS = np.array([1.0, 2.0]), np.array([1.5, 2.0])


@pytest.fixture
def saved(tmp_path):
    """A fitted model and the path where it is saved."""
    X = np.random.default_rng(0).random((20, 2))
    model = founding(max_iter=2, n_iter_no_change=np.inf, random_state=0).fit(X, X[:, 0])
    path = tmp_path / "model.npz"
    model.save(path)
    return model, path


@contextmanager
def full_disk(monkeypatch):
    """All that is written to the disk is too much for it."""

    def full(number):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        yield


#: All that writes a file, by what it is told a path.
WRITERS = {
    "a model": lambda model, path: model.save(path),
    "C": lambda model, path: model.to_c(path),
    "ONNX": lambda model, path: model.to_onnx(path),
    "a page": lambda model, path: explain_step(model, [1.0, 2.0], 1.0).to_page(path),
    "a picture": lambda model, path: plotting.save_picture(path, model, *YS, "", "y"),
    "a step": lambda model, path: picture.save(explain_step(model, [1.0, 2.0], 1.0).step, path),
    "predictions": lambda model, path: predict("model.npz", "table.csv", "--out", path),
    "from the shell": lambda model, path: shell("export", "model.npz", "--to", "c", "--out", path),
}  # fmt: skip


def shell(*arguments):
    """A command, whose error is one of the system's."""
    if main(list(map(str, arguments))) != 0:
        raise OSError


def predict(*arguments):
    Path("table.csv").write_text("a,b\n" + "1.5,2\n" * 99)
    shell("predict", *arguments)


NEEDS = {"ONNX": "onnx", "a picture": "matplotlib", "a step": "matplotlib", "predictions": "pandas"}


@pytest.mark.parametrize("what", WRITERS)
def test_whatever_is_written_takes_its_place_whole(what, saved, monkeypatch):
    """Pictures, sources and tables as much as models, and to what a link leads to."""
    pytest.importorskip(NEEDS.get(what, "numpy"))
    writes = WRITERS[what]
    model, path = saved
    monkeypatch.chdir(path.parent)
    out, link = path.with_name("out.png"), path.with_name("link.png")
    out.write_bytes(b"old")
    out.chmod(0o604)
    link.symlink_to(out.name)
    with full_disk(monkeypatch), pytest.raises(OSError):
        writes(model, link)
    assert out.read_bytes() == b"old"
    writes(model, link)
    assert link.is_symlink() and len(out.read_bytes()) > 100
    assert stat.S_IMODE(out.stat().st_mode) == 0o604
    assert {p.name for p in path.parent.iterdir()} <= {
        path.name, out.name, link.name, "table.csv",
    }  # fmt: skip


def test_an_error_in_the_midst_of_writing_names_the_path(tmp_path, monkeypatch):
    with full_disk(monkeypatch):
        with pytest.raises(OSError, match=r"full: .*out.txt"):
            paths.write(tmp_path / "out.txt", "text")
        with (
            pytest.raises(OSError, match="full"),
            paths.replacing_text(tmp_path / "out.txt") as file,
        ):
            file.write("text")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="names of what is open")
def test_an_open_pipe_goes_by_its_name():
    read, write = os.pipe()
    paths.write(f"/dev/fd/{write}", "text")
    os.close(write)
    with open(read) as file:
        assert file.read() == "text"


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="names of what is open")
def test_behind_what_was_written_to_an_open_file_more_is_written(tmp_path):
    path = tmp_path / "all"
    with open(path, "wb", buffering=0) as file:
        for name in (f"/dev/fd/{file.fileno()}", f"/proc/self/fd/{file.fileno()}"):
            file.write(b"before, ")
            paths.write(name, "in between, ")
        file.write(b"after")
    assert path.read_text() == "before, in between, " * 2 + "after"
    assert list(tmp_path.iterdir()) == [path]


def test_before_there_is_work_to_lose_a_folder_is_asked_whether_it_takes_files(
    tmp_path, monkeypatch
):
    """Even of a file that can be written to: another is to take its place."""
    path = tmp_path / "model.npz"
    path.write_bytes(b"old")

    def closed(name, *rest):
        raise PermissionError(errno.EACCES, "Permission denied", name)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", closed)
        for way in (paths.check_writable, lambda path: paths.write(path, "new")):
            with pytest.raises(PermissionError, match=r"write to another folder\): '.*model.npz'"):
                way(path)
            with pytest.raises(PermissionError, match=r"denied: '.*new.npz'"):
                way(path.with_name("new.npz"))
    paths.check_writable(path)
    paths.check_writable(path.with_name("new.npz"))
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
