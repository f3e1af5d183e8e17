"""SIGKILL while a model is saved: what is there is a whole model, the old one or a new one."""

import io
import os
import signal
import tempfile
from pathlib import Path

from campaigns.children import after_a_while
from campaigns.files import whole_files
from campaigns.judgement import demand


def trial(random):
    files = whole_files()
    cls, old = files[random.integers(len(files))]
    contents = [content for kind, content in files if kind is cls]
    models = [cls.load(io.BytesIO(content)) for content in contents]
    is_new, by_link = random.random() < 0.2, random.random() < 0.2
    has_no_names = random.random() < 0.5  # for files, as on other systems
    with tempfile.TemporaryDirectory() as folder:
        path, name = Path(folder, "model.npz"), Path(folder, "model.npz")
        if not is_new:
            path.write_bytes(old)
        if by_link:
            name = Path(folder, "link")
            name.symlink_to(path.name)

        def act(ready):
            if has_no_names and hasattr(os, "O_TMPFILE"):
                del os.O_TMPFILE
            ready()
            while True:
                for model in models:
                    model.save(name)

        demand(after_a_while(random, act, signal.SIGKILL, 0.05) is None, "it ended by itself")
        if path.exists() or not is_new:
            left = path.read_bytes()
            demand(left in [old, *map(_saved, models)], f"a file of {len(left)} bytes is no model")
        demand(name.is_symlink() == by_link, "the link is gone")
        rest = {each.name for each in Path(folder).iterdir()} - {path.name, name.name}
        demand(all(each.startswith(".fastbp-") for each in rest) and len(rest) < 2, f"left: {rest}")
        models[0].save(name)
        demand(path.read_bytes() == _saved(models[0]), "it can't be saved any more")
    return f"{'named' if has_no_names else 'unnamed'}: whole{', a hidden file left' * len(rest)}"


def _saved(model):
    stream = io.BytesIO()
    model.save(stream)
    return stream.getvalue()
