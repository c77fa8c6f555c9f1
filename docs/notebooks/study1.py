"""Study 1: does a model consider what the speaker knows?

A speaker who has looked at all three parcels and says "two of them have dents" means exactly two. One who
has looked at two of them may mean at least two. People bet accordingly (Goodman & Stuhlmüller, 2013).

Set `runs` to a run folder of `grace run study1-exp2`, or to a folder with the runs of several models.
"""

# %%
from pathlib import Path

from grace_client import analysis
from grace_client.analysis import figures, reference, rsa

runs = Path("runs")
out = Path("figures")

# %% [markdown]
# Everything starts from one table: a row for each trial, question and option.

# %%
frame = analysis.read(runs, experiment="study1-exp2")
print(frame[["model", "access", "observe", "question", "option", "prob_norm"]].head())

# %% [markdown]
# First the option mass: how much probability does the model put on any of the offered answers?

# %%
print(analysis.quality.option_mass(frame).round(3).to_string(index=False))

# %% [markdown]
# Bets on the four states. `n` counts trials, `n_distinct` counts the stories among them. The intervals take
# stories as the observations, because the texts of one story are almost copies. The figures show the
# rational listener at three base rates, because the stories say that almost all things have the property.

# %%
means = analysis.study1.cell_means(frame)
print(means.round(1).to_string(index=False))
for base_rate in (0.5, 0.8, 0.9):
    theory = rsa.predict_study1(alpha=4.0, base_rate=base_rate)
    figures.save(figures.states(means, rsa=theory), out, f"study1-states-{round(100 * base_rate)}")

# %% [markdown]
# The eight planned contrasts, beside what people do.

# %%
contrasts = analysis.study1.contrasts(frame)
people = reference.study1()[["access", "observe", "greater", "lesser", "holds"]]
beside = contrasts.merge(people, on=["access", "observe", "greater", "lesser"])
columns = ["model", "access", "observe", "greater", "lesser", "difference", "p", "d_z", "holds", "n_distinct"]
print(beside[columns].round(3).to_string(index=False))

# %% [markdown]
# How close is the model to a rational listener? `lapse` is the part of its belief that is uniform, whatever
# the speaker says. `kl` (bits) is the distance that remains after the fit.

# %%
for model, cells in means.assign(prob=means["mean"] / 100).groupby("model"):
    fit = rsa.fit_study1(cells[["access", "observe", "state", "prob"]])
    print(model, fit.parameters.round(3).to_dict("records"), fit.statistics)
