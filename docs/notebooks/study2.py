"""Study 2: is a model polite as people are?

A speaker who wants to be kind and honest says that a bad soup "wasn't terrible" (Yoon, Tessler, Goodman &
Frank, 2020). The human counts are in the package.

Set `runs` to a run folder of `grace run study2-exp2`, or to a folder with the runs of several models.
"""

# %%
from pathlib import Path

import plotnine as p9

from grace_client import analysis
from grace_client.analysis import compare, figures, reference, rsa

runs = Path("runs")
out = Path("figures")
frame = analysis.read(runs, experiment="study2-exp2")

# %% [markdown]
# Negation by goal and state, models beside people.

# %%
negation = analysis.study2.negation(frame)
print(negation.round(3).to_string(index=False))
figures.save(figures.negation(negation, people=reference.study2_negation()), out, "study2-negation")

# %% [markdown]
# All eight utterances. A figure is a plotnine figure: change it with `+`, as in ggplot2.

# %%
means = analysis.study2.utterances(frame)
figure = figures.utterances(means, people=reference.study2(), rsa=rsa.predict_study2(rsa.people()))
figures.save(figure + p9.theme(figure_size=(11, 7)), out, "study2-utterances")

# %% [markdown]
# How close is each model to people, and how close could it be? A second sample of people, of the same size,
# is not at distance 0, because it has noise of its own. The true shares would be closer. The intervals come
# from new draws of domains and of people's answers.

# %%
human = reference.study2().rename(columns={"share": "prob"})
model = means.rename(columns={"mean": "prob"})
items = analysis.study2.by_item(frame)
closeness = compare.closeness(items, human, keys=("goal", "state"), outcome="utterance", across=["goal"])
print(closeness.round(3).to_string(index=False))
print(reference.noise_ceiling().drop(columns="source").round(3).to_string(index=False))
print(
    compare.ranking(items, human, keys=("goal", "state"), outcome="utterance").round(3).to_string(index=False)
)

# %% [markdown]
# What does a rational speaker want who speaks like the model? The meanings of the words are those of people.

# %%
semantics = rsa.people().semantics
for name, cells in model.groupby("model"):
    fit = rsa.fit_study2(cells[["goal", "state", "utterance", "prob", "n"]], semantics=semantics)
    print(name, fit.statistics)
    print(fit.parameters.round(3).to_string(index=False))
