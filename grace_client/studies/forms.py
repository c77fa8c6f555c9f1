"""Further forms for a study file, from texts in which a person recognises an option."""

from __future__ import annotations

import json
from collections.abc import Iterable

from grace_client.core.options import Option
from grace_client.studies import format as formats
from grace_client.studies.declaration import Experiment

BUILT_IN = {
    "written": ("{{ say }}", " {{ say }}"),
    "spoken": ("{{ say }}", "{{ say | capitalize }}", " {{ say }}", " {{ say | capitalize }}"),
}
"""The templates for which the two words stand."""

_PERCENT = "%"


def pattern(text: str, option: Option) -> str | None:
    r"""The template of a form: it gives, for an option, a text or its beginning; None if there is none.

    Parameters
    ----------
    text : str
        A text that means the option.
    option : Option
        The option. Its first form, without a space in front, is what it says.

    Examples
    --------
    >>> pattern("**10%**", Option("10", ("10%", " 10%")))
    '**{{ say }}'
    >>> pattern("YES", Option("yes", ("yes", " yes")))
    '{{ say | upper }}'
    >>> pattern("10%.", Option("10", ("10%", " 10%")))
    '{{ say }}.'
    >>> pattern("10\n", Option("10", ("10%", " 10%")))
    '{{ say | replace("%", "") }}\n'
    """
    say = option.forms[0].strip()
    spellings = {
        "{{ say }}": say,
        "{{ say | upper }}": say.upper(),
        "{{ say | capitalize }}": say[:1].upper() + say[1:],
        "{{ say | lower }}": say.lower(),
    }
    if say.endswith(_PERCENT):
        for written in (" percent", " per cent", " %"):
            spellings[f'{{{{ say | replace("%", "{written}") }}}}'] = say.replace(_PERCENT, written)
        spellings['{{ say | replace("%", "") }}'] = say.replace(_PERCENT, "")
    for template, spelling in spellings.items():
        before, found, after = text.partition(spelling)
        if not found:
            continue
        # After a word the rest does not matter. A number needs it: "10" is also the beginning of "100". So
        # does a declared form: a tokenizer may have one token for its end and what follows.
        if spelling[-1:].isdigit() or before + spelling in option.forms:
            return before + template + after if before + spelling + after not in option.forms else None
        return before + template
    return None


def declared(experiment: Experiment, kind: str) -> tuple[str | None, formats.Options] | None:
    """Name (None if it has none) and declaration of the options of a kind of question; None for free text."""
    asked = next((one.options for one in experiment.file.ask if one.name == kind), None)
    if asked is None:
        return None
    return (asked, experiment.study.file.options[asked]) if isinstance(asked, str) else (None, asked)


def lines(experiment: Experiment, kind: str, patterns: Iterable[str]) -> list[str]:
    """The lines of the study file that declare further forms for a kind of question."""
    found = declared(experiment, kind)
    if found is None:
        return []
    name, options = found
    before = BUILT_IN[options.forms] if isinstance(options.forms, str) else options.forms
    both = dict.fromkeys((*before, *patterns))
    entries = [f"    forms: [{_listed(both)}]"]
    if options.model_fields_set == {"names"}:
        # Such a set may be written as a list, which has no place for forms.
        entries.insert(0, f"    names: [{_listed(options.names)}]")
    return ["options:", f"  {name}:", *entries] if name else [f"- name: {kind}", "  options:", *entries]


def _listed(texts: Iterable[str]) -> str:
    """Texts as they stand in a YAML list. Every JSON text is a YAML text."""
    return ", ".join(json.dumps(text, ensure_ascii=False) for text in texts)
