"""Study 1: does a model mind what the speaker knows?

A speaker who has looked at all three parcels and says "two of them have dents" means exactly two. One who
has looked at two of them may mean at least two. People bet accordingly (Goodman & Stuhlmüller, 2013).

Run it as a script, or cell by cell in an editor that knows the percent format. Name a run folder, or a folder
of several models' runs, as `grace run study1-exp2` writes them.
"""

# %%
import sys
from pathlib import Path

from grace_client import analysis
from grace_client.analysis import figures, reference, rsa

runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
out = Path(sys.argv[2] if len(sys.argv) > 2 else "figures")

# %% [markdown]
# Everything starts from one tidy frame: a row for each trial, question and option.

# %%
frame = analysis.read(runs, experiment="study1-exp2")
print(frame[["model", "access", "observe", "question", "option", "prob_norm"]].head())

# %% [markdown]
# First the option mass: how much probability does the model give to all offered answers together?

# %%
print(analysis.quality.option_mass(frame).round(3).to_string(index=False))

# %% [markdown]
# Bets on the four states. `n` counts trials, `n_distinct` the stories among them. The intervals are over
# stories, because texts of one story are nearly copies of each other. The listener is shown at three base
# rates, because the stories say that nearly all things have the property.

# %%
means = analysis.study1.cell_means(frame)
print(means.round(1).to_string(index=False))
for base_rate in (0.5, 0.8, 0.9):
    theory = rsa.predict_study1(alpha=4.0, base_rate=base_rate)
    figures.save(figures.states(means, rsa=theory), out, f"study1-states-{round(100 * base_rate)}")

# %% [markdown]
# The eight planned contrasts, beside those of people.

# %%
contrasts = analysis.study1.contrasts(frame)
people = reference.study1()[["access", "observe", "greater", "lesser", "holds"]]
beside = contrasts.merge(people, on=["access", "observe", "greater", "lesser"])
columns = ["model", "access", "observe", "greater", "lesser", "difference", "p", "d_z", "holds", "n_distinct"]
print(beside[columns].round(3).to_string(index=False))

# %% [markdown]
# How close is the model to a rational listener? `lapse` is the part of its bets that is uniform whatever the
# speaker says. `kl` (bits) is the distance between model and fit.

# %%
for model, cells in means.assign(prob=means["mean"] / 100).groupby("model"):
    fit = rsa.fit_study1(cells[["access", "observe", "state", "prob"]])
    print(model, fit.parameters.round(3).to_dict("records"), fit.statistics)
