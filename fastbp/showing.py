"""Tables of parameters in a notebook, with what each means."""

import re

#: What makes a name a link to documentation, where there is none.
LINK = re.compile(r'\s*rel="noreferrer" target="_blank" href="#[^"]*"')


class Described:
    """scikit-learn describes the parameters and attributes in its tables of an estimator only where
    they are links to a page; here without one."""

    def __dir__(self):
        told = _AsFarAsItGoes(self)  # scikit-learn's asks itself for each, of a broken model, too
        return [name for name in object.__dir__(self) if hasattr(told, name)]

    def _get_params_html(self, deep=True, doc_link=""):
        return _described(super()._get_params_html(deep, doc_link))

    def _get_fitted_attr_html(self, doc_link=""):
        of = super()._get_fitted_attr_html
        try:
            return _described(of(doc_link))
        except Exception:  # of a model with weights set by hand, which has to be looked at
            return _described(of.__func__(_AsFarAsItGoes(self), doc_link))


class _AsFarAsItGoes:
    """A model whose attributes that can't be told are the error that says why."""

    def __init__(self, model):
        object.__setattr__(self, "_model", model)

    def __dir__(self):
        return dir(object.__getattribute__(self, "_model"))

    def __getattribute__(self, name):
        model = object.__getattribute__(self, "_model")
        try:
            return getattr(model, name)
        except AttributeError:  # it isn't there
            raise
        except Exception as error:
            return error


def _described(table):
    if not table.doc_link:
        render, table.doc_link = type(table)._html_repr, "#"
        table._html_repr = lambda: LINK.sub("", render(table))
    return table
