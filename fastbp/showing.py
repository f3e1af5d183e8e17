"""Tables of parameters in a notebook, with what each means."""

import re

#: What makes a name a link to documentation, where there is none.
LINK = re.compile(r'\s*rel="noreferrer" target="_blank" href="#[^"]*"')


class Described:
    """scikit-learn describes the parameters and attributes in its tables of an estimator only where
    they are links to a page; here without one."""

    def _get_params_html(self, deep=True, doc_link=""):
        return _described(super()._get_params_html(deep, doc_link))

    def _get_fitted_attr_html(self, doc_link=""):
        return _described(super()._get_fitted_attr_html(doc_link))


def _described(table):
    if not table.doc_link:
        render, table.doc_link = type(table)._html_repr, "#"
        table._html_repr = lambda: LINK.sub("", render(table))
    return table
