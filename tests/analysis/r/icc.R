# One-way random effects with unequal groups: components from the mean squares of aov.
args <- commandArgs(TRUE)
d <- read.csv(args[1])
found <- summary(aov(y ~ factor(stimulus), d))[[1]]
ms <- found[["Mean Sq"]]
n <- table(d$stimulus)
size <- (sum(n) - sum(n^2) / sum(n)) / (length(n) - 1)
between <- max(0, (ms[1] - ms[2]) / size)
write.csv(data.frame(within = ms[2], between = between, icc = between / (between + ms[2])), args[2], row.names = FALSE)
