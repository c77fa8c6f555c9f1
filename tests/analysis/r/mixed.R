# Linear mixed models with one, two crossed, and two nested random intercepts.
args <- commandArgs(TRUE)
suppressPackageStartupMessages(library(lme4))
d <- read.csv(args[1], stringsAsFactors = TRUE)
control <- lmerControl(optCtrl = list(ftol_abs = 1e-15, xtol_abs = 1e-12), check.conv.singular = "ignore")
rows <- do.call(rbind, lapply(c(
  "mean ~ amount * tense + (1 | item)",
  "mean ~ amount * tense + size + (1 | item) + (1 | participant)",
  "mean ~ amount + (1 | item / tense)"
), function(formula) {
  fit <- lmer(as.formula(formula), d, control = control)
  table <- coef(summary(fit))
  data.frame(formula = formula, estimate = table[, 1], se = table[, 2], sd_residual = sigma(fit))
}))
write.csv(rows, args[2], row.names = FALSE)
