"""Study 2: is a model polite as people are?

Who wants to be kind and honest at once says that a bad soup "wasn't terrible" (Yoon, Tessler, Goodman &
Frank, 2020). The human counts come with the package.

Run it as a script, or cell by cell in an editor that knows the percent format. Name a run folder, or a folder
of several models' runs, as `grace run study2-exp2` writes them.
"""

# %%
import sys
from pathlib import Path

from grace_client import analysis
from grace_client.analysis import compare, figures, reference, rsa

runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
out = Path(sys.argv[2] if len(sys.argv) > 2 else "figures")
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
import plotnine as p9  # noqa: E402

means = analysis.study2.utterances(frame)
figure = figures.utterances(means, people=reference.study2(), rsa=rsa.predict_study2(rsa.people()))
figures.save(figure + p9.theme(figure_size=(11, 7)), out, "study2-utterances")

# %% [markdown]
# How close is each model to people, and how close could it be? A second sample of people of the same size has
# noise of its own. The true shares are closer. Intervals draw domains and people's answers.

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
# Which goals would make a rational speaker talk like the model? The word meanings are those of people.

# %%
semantics = rsa.people().semantics
for name, cells in model.groupby("model"):
    fit = rsa.fit_study2(cells[["goal", "state", "utterance", "prob", "n"]], semantics=semantics)
    print(name, fit.statistics)
    print(fit.parameters.round(3).to_string(index=False))
